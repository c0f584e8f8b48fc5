"""What a qualification of a camera found: the report, which is kept, and how figures become one.

Its form is versioned: a report of another `form` is refused, not guessed at.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from camera_nodes.errors import BadSettings
from common.bounded.files import read_bytes
from common.bounded.limits import OutOfBounds

FORM: Final = 1
Verdict = Literal["fit", "fit_with_remarks", "unfit"]
_SIZE_LIMIT = 8 << 20


class SampleSummary(Struct, frozen=True, forbid_unknown_fields=True):
    """Many figures as a few, in the unit of the field that holds it."""

    count: int  # of figures
    mean: float  # arithmetic
    sigma: float  # standard deviation
    least: float  # the smallest
    median: float  # one of them, as all percentiles
    p90: float  # 90th percentile
    p99: float  # 99th percentile
    most: float  # the largest


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the body puts photographs."""

    choices: tuple[str, ...] = ()  # that it offers
    found: str | None = None  # what it was set to before
    set_to: str | None = None  # what it was set to now
    read_back: str | None = None  # what it says after that
    after_reopening: str | None = None  # ... and on a new connection


class Store(Struct, frozen=True, forbid_unknown_fields=True):
    """A card slot or memory, as the body tells of it."""

    place: str  # its path on the body
    label: str = ""  # as the body names it
    capacity_mb: int | None = None  # in all
    free_mb: int | None = None  # free
    free_photos: int | None = None  # photographs that fit
    read_only: bool | None = None  # it is locked


class Setting(Struct, frozen=True, forbid_unknown_fields=True):
    """A setting as it stands."""

    name: str  # libgphoto2's
    value: str  # of now
    choices: tuple[str, ...] = ()  # at most the first 60
    read_only: bool = False  # it cannot be set


class SettleTime(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a setting takes to be there."""

    name: str  # libgphoto2's
    near_ms: SampleSummary | None = None  # one step away
    far_ms: SampleSummary | None = None  # far away
    refused: tuple[str, ...] = ()  # set and never read back, as it read
    holds: bool | None = None  # over a new connection


class Times(Struct, frozen=True, forbid_unknown_fields=True):
    """How long things take."""

    open_s: SampleSummary | None = None  # connecting
    arm_ms: SampleSummary | None = None  # arming
    release_ms: SampleSummary | None = None  # from the command until the body answered it
    file_ms: SampleSummary | None = None  # from the command to the photograph's announcement
    raw_ms: SampleSummary | None = None  # from the command to the raw file's announcement
    read_mb_s: SampleSummary | None = None  # reading a file
    poll_ms: SampleSummary | None = None  # how long single polls for events lasted beyond the time that they were given


class Exposures(Struct, frozen=True, forbid_unknown_fields=True):
    """What came of the exposures, counted."""

    wanted: int  # asked for
    made: int = 0  # the body took the command
    whole: int = 0  # its photograph came, and was whole
    without: int = 0  # it did not come in time
    late: int = 0  # of these, those that came before the next exposure
    cut: int = 0  # it came short or without its end
    copies: int = 0  # the same photograph in a second place
    raw_wanted: int = 0  # exposures that should give a raw file
    raw_came: int = 0  # raw files that came
    duplicates: int = 0  # announced again
    strays: int = 0  # files that no exposure of ours made
    unmatched_raw: int = 0  # raw files with another stem than the photograph's
    order: Literal["raw_first", "jpeg_first", "either", "no raw files"] = "no raw files"  # which was announced first
    kinds: tuple[str, ...] = ()  # endings of the names


class Events(Struct, frozen=True, forbid_unknown_fields=True):
    """What else the body says."""

    kinds: dict[str, int] = {}  # how often, by kind
    busiest: int = 0  # the most events around one exposure
    runs_dry: bool | None = None  # whether its queue is ever empty


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """An error of the body or of libgphoto2."""

    where: str  # the call
    code: str  # libgphoto2's
    count: int  # how often
    example: str  # the newest text


class Lag(Struct, frozen=True, forbid_unknown_fields=True):
    """From the release's command to the true exposure."""

    ms: SampleSummary  # in milliseconds
    source: str  # what the exposure was seen by


class Deletion(Struct, frozen=True, forbid_unknown_fields=True):
    """What came of deleting the photographs, counted."""

    tried: int = 0  # asked for
    deleted: int = 0  # gone
    refused: int = 0  # the body refused
    still_there: int = 0  # said to be deleted, and found on the card afterwards


class Recovery(Struct, frozen=True, forbid_unknown_fields=True):
    """After the connection was closed (or the cable pulled) between exposure and reading."""

    how: Literal["reopened", "cable pulled"]  # what was done
    seconds: float | None = None  # until the body answered again
    found: bool | None = None  # that exposure's photograph is on the card then
    shoots: bool | None = None  # the next exposure works


class BodyClock(Struct, frozen=True, forbid_unknown_fields=True):
    """The clock of the body."""

    settings: tuple[str, ...] = ()  # those that read or set it
    error_s: float | None = None  # the body's clock minus this computer's
    set_by: str | None = None  # the setting that set it
    error_after_s: float | None = None  # the error after that


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a body is not simply fit: what was found, beside the limit it is held to."""

    unfit: bool  # it makes the body unfit; else it is a remark
    what: str  # was found
    limit: str = ""  # it is held to


class QualificationReport(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A qualification; the content of its file."""

    form: Literal[1] = FORM  # of this report
    made_at: str  # UTC, ISO 8601
    mien: str  # version
    library: str  # libgphoto2's version
    address: str  # of the camera
    release: str = ""  # what released it; empty: the camera itself
    model: str  # as the body names itself
    serial: str  # of the body
    firmware: str = ""  # of the body
    table: tuple[str, ...] = ()  # entries of the table of models that were gone by
    finished: bool = False  # not broken off
    target: Target = Target()  # where photographs go
    stores: tuple[Store, ...] = ()  # cards and memory
    formats: tuple[Setting, ...] = ()  # image formats of the slots
    settles: tuple[SettleTime, ...] = ()  # settings, and how long they take
    times: Times = Times()  # of everything else
    exposures: Exposures = Exposures(0)  # what came of them
    events: Events = Events()  # what the body says
    busy_answers: int = 0  # calls that were answered "busy"
    busy_longest_s: float = 0.0  # the longest that it stayed busy
    faults: tuple[Fault, ...] = ()  # errors, by call and code
    lag: Lag | None = None  # of the shutter; None: nothing saw the exposures
    deletion: Deletion = Deletion()  # of photographs
    recoveries: tuple[Recovery, ...] = ()  # from a lost connection
    clock: BodyClock = BodyClock()  # of the body
    battery_percent: int | None = None  # at the end
    photos_left: int | None = None  # at the end, as the body says
    verdict: Verdict = "unfit"  # fit, fit with remarks or unfit
    reasons: tuple[Reason, ...] = ()  # for it, the worst first


def spread(values: Iterable[float]) -> SampleSummary | None:
    """The figures of some values; None for none.  Percentiles by the nearest rank, so that each was really seen."""
    found = sorted(values)
    if not found:
        return None

    def at(share: float) -> float:
        return found[max(0, math.ceil(share * len(found)) - 1)]

    figures = (
        statistics.fmean(found), statistics.pstdev(found), found[0], at(0.5), at(0.9), at(0.99), found[-1],
    )  # fmt: skip
    return SampleSummary(len(found), *(round(value, 4) for value in figures))


def encode(report: QualificationReport) -> bytes:
    """The report as JSON, indented, for a file."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def decode(data: bytes, where: str) -> QualificationReport:
    """A report from JSON.  Raises BadSettings naming `where` and the field."""
    if len(data) > _SIZE_LIMIT:
        raise BadSettings(f"{where}: {len(data)} bytes are no report of a camera")
    try:
        return msgspec.json.decode(data, type=QualificationReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadSettings(f"{where}: not a report of `mien camera qualify`, form {FORM}: {error}") from None


def read_report(path: Path) -> QualificationReport:
    """The report in a file.  Raises BadSettings."""
    try:
        data = read_bytes(path, _SIZE_LIMIT)
    except (OSError, OutOfBounds) as error:
        raise BadSettings(f"{path} cannot be read: {error}") from None
    return decode(data, str(path))


def order_of(seen: Sequence[str]) -> Literal["raw_first", "jpeg_first", "either", "no raw files"]:
    """Which came first over many exposures; `seen`: "raw" or "jpeg" for each that had both."""
    if not seen:
        return "no raw files"
    if all(first == "raw" for first in seen):
        return "raw_first"
    return "jpeg_first" if all(first == "jpeg" for first in seen) else "either"
