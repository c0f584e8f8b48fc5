"""The exposure skew of a take from the LED board in its photographs: every camera read, rows corrected, max minus min.

Moments are the middle of each exposure at the middle row of its sensor, so cameras with other exposure times and with
the board at another height of their picture compare. Where the time from a sensor's first to its last row is not in the
rig file, it is learnt from the board's two copies of the code: over all cameras of one model together, for one camera
alone tells it less well.
"""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.bounded.decoder_pool import decode
from common.bounded.limits import MAX_PIXELS
from controller.optical_skew.board_detection import BoardUnreadable, Lamps, measure_lamps
from controller.optical_skew.exposure_timing import ExposureInterval, find_exposure
from controller.optical_skew.led_board import LedBoard
from controller.shutter_lag.lag_statistics import expected_range

EXIF_IFD, EXPOSURE_TIME, MODEL = 0x8769, 0x829A, 0x0110
UNSURE_MS = 1.0  # a moment known less well than this is none
MOST_CLIPPED = 0.5  # share of overexposed pairs above which the photograph is said to be overexposed
READOUT_GOOD_MS = 4.0  # a model's readout known better than this is used for its cameras


@dataclass(frozen=True)
class BoardPhotograph:
    """A camera whose photograph may show the board."""

    camera: str  # its name
    tier: str  # of the rig file
    photograph: Path  # the JPEG
    readout_ms: float | None = None  # first to last row, where the rig file has it


@dataclass(frozen=True)
class Reading:
    """What one camera's photograph tells; None is not known."""

    camera: str  # its name
    problem: str = ""  # why it tells nothing; "" when it does
    moment_ms: float | None = None  # after the earliest camera of the rig
    sigma_ms: float | None = None  # standard error of moment_ms
    exposure_ms: float | None = None  # length of the exposure
    readout_ms: float | None = None  # first to last row
    face: int | None = None  # which board face it shows
    markers: int = 0  # that were found
    pairs: int = 0  # of lamps that were used
    overexposed: bool = False  # whether lamps were


@dataclass(frozen=True)
class OpticalSkew:
    """Latest minus earliest exposure over the cameras that read the board, and what is left to the lamps' noise."""

    readings: tuple[Reading, ...]  # one for each photograph
    skew_ms: float | None  # None with fewer than two readings
    sigma_ms: float | None  # standard error of skew_ms
    noise_ms: float | None  # what reading errors alone would make of perfect sync
    readouts_ms: Mapping[str, float] = field(default_factory=dict)  # camera model -> what was learnt of its rows
    missing: tuple[str, ...] = ()  # cameras without a photograph

    @property
    def read(self) -> tuple[Reading, ...]:
        return tuple(reading for reading in self.readings if reading.moment_ms is not None)

    @property
    def cameras(self) -> int:
        return len(self.readings) + len(self.missing)

    @property
    def complete(self) -> bool:
        return bool(self.readings) and len(self.read) == self.cameras


class Readout(NamedTuple):
    """From a sensor's first to its last row, and its standard error."""

    ms: float
    sigma_ms: float


@dataclass(frozen=True)
class _Seen:
    """A photograph whose board was looked for."""

    view: BoardPhotograph  # the camera and its file
    lamps: Lamps | None  # None: no board was found
    model: str  # of the camera by its EXIF, else its tier; cameras of one share what is learnt
    nominal_ms: float | None  # length of the exposure by its EXIF; None where it does not say
    first: ExposureInterval | None  # the estimate before the rows are known
    problem: str = ""  # why there is none


def measure_skew(
    board: LedBoard,
    views: Sequence[BoardPhotograph],
    missing: Sequence[str] = (),
    report_progress: Callable[[str], None] = lambda _text: None,
) -> OpticalSkew:
    """Read the board in every photograph. `missing`: cameras of the rig without a photograph."""

    def look(view: BoardPhotograph) -> _Seen:
        seen = _look(board, view)
        report_progress(f"{view.camera}: {seen.problem or 'read'}")
        return seen

    workers = min(len(views), os.cpu_count() or 1) or 1
    with ThreadPoolExecutor(workers) as pool:
        seen = list(pool.map(look, views))
        learnt = _learn_readouts(seen)
        exposed = list(pool.map(lambda one: _again(board, one, learnt), seen))
    return _compare(board, seen, exposed, learnt, tuple(missing))


def _look(board: LedBoard, view: BoardPhotograph) -> _Seen:
    model, nominal_ms = view.tier, None
    try:
        said, nominal_ms = _exif(view.photograph)
        model = said or view.tier
        try:
            (photo,), _ = decode("picture", Path(view.photograph), most_pixels=MAX_PIXELS)
        except (OSError, ValueError):
            return _Seen(view, None, model, nominal_ms, None, "the photograph does not decode")
        lamps = measure_lamps(photo, board)
        exposed = find_exposure(board, lamps, nominal_ms, view.readout_ms)
    except BoardUnreadable as problem:
        return _Seen(view, None, model, nominal_ms, None, str(problem))
    return _Seen(view, lamps, model, nominal_ms, exposed)


def _exif(path: Path) -> tuple[str, float | None]:
    """(camera model, exposure time in ms) as the photograph says; EXIF that makes no sense counts as none."""
    try:
        with Image.open(path) as image:
            tags = image.getexif()
            seconds = float(tags.get_ifd(EXIF_IFD).get(EXPOSURE_TIME, 0) or 0)
            model = str(tags.get(MODEL, "") or "").strip("\0 ")
    except (OSError, ValueError, TypeError, ZeroDivisionError, SyntaxError):
        return "", None
    return model, 1000 * seconds if 1e-5 < seconds < 1 else None


def _learn_readouts(seen: Sequence[_Seen]) -> dict[str, Readout]:
    """By model, the error-weighted mean over its cameras; models of which too little is known are left out."""
    by_model: dict[str, list[ExposureInterval]] = defaultdict(list)
    for one in seen:
        if one.first is not None and one.view.readout_ms is None and one.first.readout_sigma_ms > 0:
            by_model[one.model].append(one.first)
    learnt: dict[str, Readout] = {}
    for model, found in by_model.items():
        middle = float(np.median([each.readout_ms for each in found]))
        near = [each for each in found if abs(each.readout_ms - middle) < 4 * each.readout_sigma_ms + 0.5]
        weights = [each.readout_sigma_ms**-2 for each in near]
        if near and math.sqrt(1 / sum(weights)) < READOUT_GOOD_MS:
            mean = sum(weight * each.readout_ms for weight, each in zip(weights, near, strict=True)) / sum(weights)
            learnt[model] = Readout(mean, math.sqrt(1 / sum(weights)))
    return learnt


def _again(board: LedBoard, one: _Seen, learnt: Mapping[str, Readout]) -> ExposureInterval | str:
    """The reading with the model's readout, or why there is none."""
    if one.lamps is None or one.first is None:
        return one.problem
    found = one.first
    if one.view.readout_ms is None and one.model in learnt:
        try:
            found = find_exposure(board, one.lamps, one.nominal_ms, *learnt[one.model])
        except BoardUnreadable:
            found = one.first
    if found.sigma_ms > UNSURE_MS:
        why = "; its lamps are overexposed" if one.lamps.clipped.mean() > MOST_CLIPPED else ""
        return f"its moment is known to {found.sigma_ms:.1f} ms only{why}"
    return found


def _compare(
    board: LedBoard,
    seen: Sequence[_Seen],
    exposed: Sequence[ExposureInterval | str],
    learnt: Mapping[str, Readout],
    missing: tuple[str, ...],
) -> OpticalSkew:
    good = [found for found in exposed if isinstance(found, ExposureInterval)]
    readouts_ms = {model: readout.ms for model, readout in learnt.items()}
    start = _earliest_ms([found.middle_ms for found in good], board.period_ms)
    readings = []
    for one, found in zip(seen, exposed, strict=True):
        lamps = one.lamps
        reading = Reading(one.view.camera)
        if lamps is not None:
            over = bool(lamps.clipped.mean() > MOST_CLIPPED)
            reading = replace(
                reading, face=lamps.face, markers=lamps.markers, pairs=int(lamps.usable.sum()), overexposed=over
            )
        if isinstance(found, str):
            readings.append(replace(reading, problem=found))
            continue
        readings.append(
            replace(
                reading,
                moment_ms=(found.middle_ms - start) % board.period_ms,
                sigma_ms=found.sigma_ms,
                exposure_ms=found.exposure_ms,
                readout_ms=found.readout_ms,
            )
        )
    read = sorted((each for each in readings if each.moment_ms is not None), key=lambda each: each.moment_ms or 0.0)
    if len(read) < 2:
        return OpticalSkew(tuple(readings), None, None, None, readouts_ms, missing)
    sigmas = [each.sigma_ms or 0.0 for each in read]
    return OpticalSkew(
        tuple(readings),
        (read[-1].moment_ms or 0.0) - (read[0].moment_ms or 0.0),
        math.hypot(sigmas[0], sigmas[-1]),
        expected_range(len(read)) * math.sqrt(sum(sigma**2 for sigma in sigmas) / len(sigmas)),
        readouts_ms,
        missing,
    )


def _earliest_ms(moments_ms: Sequence[float], period_ms: float) -> float:
    """Where to cut the board's circular time: after its longest stretch without a camera."""
    if not moments_ms:
        return 0.0
    order = sorted(moments_ms)
    gaps = [(order[(i + 1) % len(order)] - order[i]) % period_ms for i in range(len(order))]
    if len(order) == 1:
        return order[0]
    return order[(gaps.index(max(gaps)) + 1) % len(order)]
