"""Whether a photograph belongs to its take, from what it says of itself: time, exposure, counter. Pure.

A node files what its body gave; this is the second look at that, from other evidence. The time refuses: a photograph
taken seconds before or after its take is another exposure's. The exposure flags: it was made, but not as it was asked
for. The counter is a note: some bodies number their files alike.

Times are aware UTC of the studio. A body writes local time, without its zone as a rule, and its clock is off besides;
`body_clock_error_ms` is its clock minus the true UTC, zone and all, as its node measured it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from common.setting_values import setting_number
from controller.image_files.photograph_reader import Exif

SLACK = timedelta(seconds=2)  # a body tells whole seconds, when it is asked and when it writes
UNSTAMPED = timedelta(seconds=3)  # how long after the journal's entry a fire can be, where no stamps say when it was
STOPS = 1 / 6  # beyond what names leave open (1/15 is 1/16), below the smallest step between them (1/13)
LEAP = 1000  # files that a body may have numbered between two frames, over the end of its counter
_COUNTER = 9999
_STAMP = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_DCF = re.compile(r"(\d{4})\.[^.]+\Z")
_ISO_UNKNOWN = 65535  # what EXIF's 16 bits say of any ISO that they do not hold


@dataclass(frozen=True)
class StampedExposure:
    """What is known of the exposure that a photograph is said to be of."""

    at: datetime  # when it was
    slack: timedelta  # how far from it that can be


def capture_time_mismatch(exif: Exif, exposed: StampedExposure, body_clock_error_ms: int | None) -> str:
    """Why the photograph is of another moment than its take; empty when it is not, or when nothing tells.

    DateTimeOriginal alone counts: DateTime is when the file was written.
    """
    written = _written(exif.taken_at, exif.taken_subsec)
    if written is None or body_clock_error_ms is None:
        return ""
    try:
        taken = [written - error for error in _errors(_zone(exif.taken_offset), body_clock_error_ms)]
        off = min((moment - exposed.at for moment in taken), key=abs)
    except OverflowError:
        return ""
    allowed = SLACK + exposed.slack + timedelta(seconds=min(exif.exposure_s or 0.0, 3600.0))
    if abs(off) <= allowed:
        return ""
    seconds, moment = abs(off).total_seconds(), exposed.at + off
    figure = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min" if seconds < 36_000 else "hours"
    told = "%H:%M:%S" if moment.date() == exposed.at.date() else "%Y-%m-%d %H:%M:%S"
    return (
        f"it was taken at {moment:{told}} UTC, {figure} {'before' if off < timedelta() else 'after'} its take, which "
        f"was fired at {exposed.at:{told}} (its EXIF says {exif.taken_at}{exif.taken_offset}, its body's clock is "
        f"{body_clock_error_ms / 1000:+.0f} s off): it is of another exposure"
    )


def _errors(zone: timedelta | None, body_clock_error_ms: int) -> list[timedelta]:
    """What to take off the time as written: the error alone where that has the zone in it, else both.

    A node measures the error against the body's local time, or, where the body tells its zone, against its UTC; the
    nearer of the two to no error at all is meant. A clock so wrong that both are as near leaves either possible.
    """
    error = timedelta(milliseconds=body_clock_error_ms)
    if not zone:
        return [error]
    local, universal = abs(error - zone), abs(error)
    if min(local, universal) >= abs(zone) / 2:
        return [error, error + zone]
    return [error] if local < universal else [error + zone]


def _written(taken_at: str, subsec: str) -> datetime | None:
    """The body's time as if it were UTC."""
    found = _STAMP.fullmatch(taken_at.strip())
    if found is None:
        return None
    fraction = float(f"0.{subsec.strip()}") if subsec.strip().isdecimal() and subsec.strip().isascii() else 0.0
    try:
        return datetime(*map(int, found.groups()), tzinfo=UTC) + timedelta(seconds=fraction)  # type: ignore[misc, arg-type]
    except (ValueError, OverflowError):  # "0000:00:00 00:00:00": a body whose clock was never set
        return None


def _zone(offset: str) -> timedelta | None:
    found = _OFFSET.fullmatch(offset.strip())
    if found is None:
        return None
    ahead = timedelta(hours=int(found[2]), minutes=int(found[3]))
    try:
        timezone(ahead)
    except ValueError:
        return None
    return -ahead if found[1] == "-" else ahead


def deviations(exif: Exif, setup: Mapping[str, str]) -> list[str]:
    """Where the photograph was exposed otherwise than its take was set up, in words; "bulb" and "auto" say nothing.

    setup: the camera settings that were sent ("1/125", "f/8"), by name of wire.Exposure.
    """
    iso = None if exif.iso is None or exif.iso >= _ISO_UNKNOWN else float(exif.iso)
    found = [
        _deviation("ISO {}", setup.get("iso"), iso, 1.0),
        _deviation("{} s", setup.get("shutter"), exif.exposure_s, 1.0),
        _deviation("f/{}", setup.get("aperture"), exif.f_number, 2.0),
    ]
    return [text for text in found if text]


def _deviation(unit: str, wanted: str | None, found: float | None, stops: float) -> str:
    """stops: that a factor of two makes."""
    asked = setting_number(wanted or "")
    if not asked or not found or stops * abs(math.log2(found / asked)) <= STOPS:
        return ""
    return f"{unit.format(_plain(found, unit))} instead of {unit.format(_plain(asked, unit))}"


def _plain(value: float, unit: str) -> str:
    return f"1/{round(1 / value, 1):g}" if unit == "{} s" and value < 0.3 else f"{value:g}"


def file_number(name: str) -> int | None:
    """The counter in a file's name by DCF (JEITA CP-3461): 123 of IMG_0123.JPG; None where there is none."""
    found = _DCF.search(name)
    return None if found is None or found[1] == "0000" else int(found[1])


def counter_advanced(earlier: int, later: int) -> bool:
    """Whether a counter that stood at `earlier` can stand at `later` now: it grew, or began anew after 9999."""
    return later > earlier or 0 < (later - earlier) % _COUNTER <= LEAP


@dataclass(frozen=True)
class FileNumberCounter:
    """What a camera's file names were like in a session."""

    number: int  # the last one
    grew: int = 0  # how often it grew

    def follow(self, number: int) -> tuple["FileNumberCounter", str]:
        """The counter after the next photograph, and what is odd about it.

        Nothing is, unless this body's numbers have been seen to grow: some begin anew with each connection.
        """
        if counter_advanced(self.number, number):
            return FileNumberCounter(number, self.grew + 1), ""
        if self.grew < 2:
            return FileNumberCounter(number), ""
        return FileNumberCounter(
            number
        ), f"its file's number {number:04d} does not follow its last one's, {self.number:04d}"
