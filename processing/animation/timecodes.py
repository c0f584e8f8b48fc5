"""Timecodes of recordings to seconds: HH:MM:SS:FF, with fractions of a frame, drop-frame, and over midnight.

Drop-frame (SMPTE ST 12-1: 29.97 and 59.94 frames a second, written with ';' before the frames): frame numbers 0 and 1,
at 59.94 0 to 3, are left out at each full minute but every tenth, so that the clock on the wall is kept.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats

RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 120.0)
DAY_S = 86_400.0
_TIMECODE = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})([:;.])(\d{1,3})(?:\.(\d{1,9}))?")


@dataclass(frozen=True)
class Timecode:
    hours: int
    minutes: int
    seconds: int
    frames: int
    fraction: float  # of a frame
    drop: bool  # whether it is drop-frame

    @staticmethod
    def parse(text: str) -> "Timecode | None":
        """None for what is none."""
        found = _TIMECODE.fullmatch(text.strip())
        if found is None:
            return None
        hours, minutes, seconds, frames = (int(found[k]) for k in (1, 2, 3, 5))
        if hours > 23 or minutes > 59 or seconds > 59:
            return None
        return Timecode(hours, minutes, seconds, frames, float(f"0.{found[6] or 0}"), found[4] == ";")

    def at_s(self, rate: float) -> float:
        """Seconds since midnight. rate: frames a second by their numbers, 60 for 59.94 too."""
        frames = self.frames + self.fraction
        if not self.drop:
            return 3600 * self.hours + 60 * self.minutes + self.seconds + frames / rate
        minutes = 60 * self.hours + self.minutes
        left_out = round(rate / 15) * (minutes - minutes // 10)
        return (60 * rate * minutes + rate * self.seconds + frames - left_out) * 1.001 / rate


def rate_of(codes: Sequence[Timecode], usual: float = 60.0) -> float:
    """Frames a second that the numbers of a recording speak of: `usual` where it is too short to say.

    A recording of some whole seconds at 60 has frames beyond 49 in it; one at 30 none beyond 29.
    """
    seconds = {(code.hours, code.minutes, code.seconds) for code in codes}
    most = max((code.frames for code in codes), default=0)
    return next((rate for rate in RATES if rate > most and (len(seconds) > 3 or rate >= usual)), float(most + 1))


def over_midnight(at_s: Floats) -> Floats:
    """(T,) the same, going on where a day ends: what goes back by more than half a day is the next one."""
    days = np.concatenate([[0], np.cumsum(np.diff(at_s) < -DAY_S / 2)])
    return np.asarray(at_s + DAY_S * days)
