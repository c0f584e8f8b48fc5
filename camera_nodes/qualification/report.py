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

    count: int
    mean: float
    sigma: float
    least: float
    median: float
    p90: float
    p99: float
    most: float


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the body puts photographs: its choices, what it was set to, what it says after, and on a new connection."""

    choices: tuple[str, ...] = ()
    found: str | None = None
    set_to: str | None = None
    read_back: str | None = None
    after_reopening: str | None = None


class Store(Struct, frozen=True, forbid_unknown_fields=True):
    """A card slot or memory, as the body tells of it."""

    place: str
    label: str = ""
    capacity_mb: int | None = None
    free_mb: int | None = None
    free_photos: int | None = None
    read_only: bool | None = None


class Setting(Struct, frozen=True, forbid_unknown_fields=True):
    """A setting as it stands.  choices: at most the first 60."""

    name: str
    value: str
    choices: tuple[str, ...] = ()
    read_only: bool = False


class SettleTime(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a setting takes to be there, one step and far apart.  refused: set and never read back, as it read."""

    name: str
    near_ms: SampleSummary | None = None
    far_ms: SampleSummary | None = None
    refused: tuple[str, ...] = ()
    holds: bool | None = None  # over a new connection


class Times(Struct, frozen=True, forbid_unknown_fields=True):
    """release_ms: from the command until the body answered it.  file_ms, raw_ms: from the command to the announcement.
    poll_ms: how long single polls for events lasted beyond the time that they were given."""

    open_s: SampleSummary | None = None
    arm_ms: SampleSummary | None = None
    release_ms: SampleSummary | None = None
    file_ms: SampleSummary | None = None
    raw_ms: SampleSummary | None = None
    read_mb_s: SampleSummary | None = None
    poll_ms: SampleSummary | None = None


class Exposures(Struct, frozen=True, forbid_unknown_fields=True):
    """wanted: asked for.  made: the body took the command.  whole: its photograph came, and was whole.
    without: it did not come in time.  late: of these, those that came before the next exposure.  cut: it came short or
    without its end.  copies: the same photograph in a second place.  duplicates: announced again.  strays: files that
    no exposure of ours made.  unmatched_raw: raw files with another stem than the photograph's.  kinds: endings."""

    wanted: int
    made: int = 0
    whole: int = 0
    without: int = 0
    late: int = 0
    cut: int = 0
    copies: int = 0
    raw_wanted: int = 0
    raw_came: int = 0
    duplicates: int = 0
    strays: int = 0
    unmatched_raw: int = 0
    order: Literal["raw_first", "jpeg_first", "either", "no raw files"] = "no raw files"
    kinds: tuple[str, ...] = ()


class Events(Struct, frozen=True, forbid_unknown_fields=True):
    """What else the body says.  kinds: how often, by kind.  busiest: the most events around one exposure.
    runs_dry: whether its queue is ever empty."""

    kinds: dict[str, int] = {}
    busiest: int = 0
    runs_dry: bool | None = None


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """An error, how often, and one example of it."""

    where: str
    code: str
    count: int
    example: str


class Lag(Struct, frozen=True, forbid_unknown_fields=True):
    """From the release's command to the true exposure, by what it was seen."""

    ms: SampleSummary
    source: str


class Deletion(Struct, frozen=True, forbid_unknown_fields=True):
    """still_there: said to be deleted, and found on the card afterwards."""

    tried: int = 0
    deleted: int = 0
    refused: int = 0
    still_there: int = 0


class Recovery(Struct, frozen=True, forbid_unknown_fields=True):
    """After the connection was closed (or the cable pulled) in between exposure and reading.

    found: whether that exposure's photograph is on the card then.  shoots: whether the next exposure works.
    """

    how: Literal["reopened", "cable pulled"]
    seconds: float | None = None
    found: bool | None = None
    shoots: bool | None = None


class BodyClock(Struct, frozen=True, forbid_unknown_fields=True):
    """error_s: the body's clock minus this computer's.  settings: those that read or set it."""

    settings: tuple[str, ...] = ()
    error_s: float | None = None
    set_by: str | None = None
    error_after_s: float | None = None


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a body is not simply fit: what was found, beside the limit it is held to."""

    unfit: bool
    what: str
    limit: str = ""


class QualificationReport(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A qualification.  finished: not broken off.  table: entries of the table of models that were gone by."""

    form: Literal[1] = FORM
    made_at: str
    mien: str
    library: str
    address: str
    release: str = ""
    model: str
    serial: str
    firmware: str = ""
    table: tuple[str, ...] = ()
    finished: bool = False
    target: Target = Target()
    stores: tuple[Store, ...] = ()
    formats: tuple[Setting, ...] = ()
    settles: tuple[SettleTime, ...] = ()
    times: Times = Times()
    exposures: Exposures = Exposures(0)
    events: Events = Events()
    busy_answers: int = 0
    busy_longest_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    lag: Lag | None = None
    deletion: Deletion = Deletion()
    recoveries: tuple[Recovery, ...] = ()
    clock: BodyClock = BodyClock()
    battery_percent: int | None = None
    photos_left: int | None = None
    verdict: Verdict = "unfit"
    reasons: tuple[Reason, ...] = ()


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
