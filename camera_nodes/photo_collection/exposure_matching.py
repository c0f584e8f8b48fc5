"""Whose is this file?  Exposures that wait for a photograph, files that a body has come up with, and what joins them.

That a file came next proves nothing: it may be late, a copy in the second slot, a raw file whose photograph is filed
already, or one that somebody took by hand.  What counts, strongest first:

1. the stem: a file named as one that an exposure has already is that exposure's (DCF, CIPA DC-009: files of one
   exposure share number and letters);
2. the capture time that the body wrote into it, by the body's own clock, where that clock is known;
3. the body's counter: an exposure has the next number after those before it;
4. that there is one exposure waiting, and one file, and the body has nothing more to say.

What these do not settle is nobody's: a stray.  Pure functions: no camera, no disk, no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from camera_nodes.photo_collection.file_types import Kind, next_number, read_name

SAME_MOMENT_S = 3.0  # capture times are whole seconds, and the shutter has a lag
_ZONES_S = 900.0  # clocks of two time zones differ by a multiple of this
_BEHIND = 10  # no file is late by more exposures: a counter that is further behind was set
ARMED_S = 60.0  # an armed camera is fired or disarmed by then
CLOCK_CHANGED_S = 600.0  # no file is as late as that: somebody has set the body's clock


@dataclass(frozen=True)
class CandidateFile:
    """A file that was read."""

    folder: str  # on the body
    name: str  # there
    kind: Kind  # what its bytes are
    sha256: str  # of its bytes
    taken_s: float | None = None  # capture time by the body's clock face, read as UTC
    epoch: int = 0  # connection on which it was announced; 0: a search found it
    heard_s: float | None = None  # when the node came to know of it, UTC: it is of no exposure that was armed later

    @property
    def path(self) -> str:
        return f"{self.folder.rstrip('/')}/{self.name}"

    @property
    def stem(self) -> str:
        return read_name(self.name).stem

    @property
    def number(self) -> int | None:
        found = read_name(self.name)
        return None if found.made_up else found.number


@dataclass(frozen=True)
class PendingExposure:
    """An exposure without a photograph; a sequence of them is in the order of release."""

    fire_id: str  # which
    released_s: float | None  # UTC; None: no release was written down
    number: int | None = None  # what the body's counter should give it; None: not known
    proof: bool = False  # it may never have been, or was given up: nothing but a capture time gives it a file
    # when it was armed; without a release written down, the shutter opened up to ARMED_S later, or never
    armed_s: float | None = None


@dataclass
class MatchResult:
    """Whose the files are; those that are not named are undecided yet."""

    own: dict[str, CandidateFile] = field(default_factory=dict)  # file of each exposure
    strays: list[tuple[CandidateFile, str]] = field(default_factory=list)  # files of nobody, with the reason
    clock_s: float | None = None  # what the body's clock face adds to UTC, as far as it is known now
    ambiguous: bool = False  # what came leaves open whose it is, and nothing that may come yet can tell
    by_time: bool = False  # a capture time made a stray
    # by capture time as well of an exposure that failed or was given up
    contested: list[CandidateFile] = field(default_factory=list)
    behind: list[CandidateFile] = field(default_factory=list)  # their number made these strays


@dataclass(frozen=True)
class FiledFile:
    """A file that an exposure has already."""

    path: str  # on the body
    kind: Kind  # what its bytes are
    sha256: str  # of its bytes
    epoch: int  # connection on which it was announced; 0: a search found it


@dataclass(frozen=True)
class ResolvedExposure:
    """An exposure that has files: what a companion is told by."""

    fire_id: str  # which
    stem: str  # of its files' names
    files: tuple[FiledFile, ...]  # which it has
    taken_s: float | None = None  # capture time by the body's clock face, read as UTC


@dataclass(frozen=True)
class CompanionFile:
    """A file that belongs to an exposure which has files."""

    fire_id: str  # which exposure
    copy: bool = False  # the same bytes as one that it has; else one more


def companion(candidate: CandidateFile, holders: Sequence[ResolvedExposure]) -> CompanionFile | None:
    """The exposure that this file accompanies, by its stem; None when it stands for itself.

    holders: newest last.  The same path once more with other bytes is a new photograph under an old name, as bodies
    do that begin their count anew; the same path with the same bytes, on the connection on which it was told before, is
    the same event once more.
    """
    for holder in reversed(holders):
        if any(_is_copy(candidate, one) for one in holder.files if one.sha256 == candidate.sha256):
            return CompanionFile(holder.fire_id, copy=True)
        if holder.stem != candidate.stem or not all(_beside(candidate, one) for one in holder.files):
            continue
        if _apart(candidate.taken_s, holder.taken_s):
            continue
        if read_name(candidate.name).made_up and all(one.epoch != candidate.epoch for one in holder.files):
            continue
        return CompanionFile(holder.fire_id)
    return None


def _is_copy(candidate: CandidateFile, one: FiledFile) -> bool:
    """Whether two files of the same bytes are one photograph: told twice, or in two slots (the first folder).

    Two names in one slot are two files even so: what serves the same picture again and again is no body, but a test.
    """
    if one.path == candidate.path:
        return one.epoch == candidate.epoch or not candidate.epoch  # else its count began anew
    return _slot(one.path) != _slot(candidate.path) or read_name(one.path.rpartition("/")[2]).stem == candidate.stem


def _beside(candidate: CandidateFile, one: FiledFile) -> bool:
    """Whether a file of the same stem can be of the same exposure as this one.

    In one slot it is in the same folder and of another kind: numbers begin again in the next folder.
    """
    if _slot(one.path) != _slot(candidate.path):
        return True
    return one.kind != candidate.kind and one.path.rpartition("/")[0] == candidate.folder.rstrip("/")


def twins(one: CandidateFile, other: CandidateFile) -> bool:
    """Whether two photographs are of one exposure, in two slots."""
    return one.stem == other.stem and _slot(one.path) != _slot(other.path) and not _apart(one.taken_s, other.taken_s)


def copy_in_other_slot(one: CandidateFile, path: str) -> bool:
    """Whether a file of this path is of the same exposure as a photograph in another slot."""
    folder, _, name = path.rpartition("/")
    same_place = folder.rpartition("/")[2] == one.folder.rstrip("/").rpartition("/")[2]
    return same_place and _slot(path) != _slot(one.path) and read_name(name).stem == one.stem


def _slot(path: str) -> str:
    """The card that a path is on: libgphoto2's first folder (store_00010001)."""
    return path.rpartition("/")[0].strip("/").partition("/")[0]


def _apart(one_s: float | None, other_s: float | None) -> bool:
    return one_s is not None and other_s is not None and abs(one_s - other_s) > SAME_MOMENT_S


def match_files(
    files: Sequence[CandidateFile],
    waiting: Sequence[PendingExposure],
    clock_s: float | None,
    *,
    final: bool = False,
    patient: bool = False,
    newest: int | None = None,
    counts: bool = True,
    proven: bool = True,
) -> MatchResult:
    """Join photographs (JPEG, one of each exposure) with the exposures that wait for one.

    Asked when the body has nothing more to say just now; `patient`: and has had nothing for a while; `final`: nothing
    more will come that could decide it.
    newest: the counter's last number that was seen.
    clock_s: the body's clock face minus UTC, None when unknown or meaningless.  counts: the body's counter goes on from
    one connection to the next, as a simulation's does not.  proven: a photograph has told the clock; else the body has
    said it, and its time zone is open.
    """
    verdict = MatchResult()
    files = _not_there_before(files, waiting, verdict)
    rest, open_waiting = _by_time(files, waiting, clock_s, _ZONES_S if not proven else 0.0, verdict)
    if counts:
        rest = _not_before(rest, open_waiting, verdict)
    if rest and not open_waiting:
        verdict.strays += [(one, "no exposure waits for a photograph") for one in rest]
    elif rest:
        next_one = None if newest is None else next_number(newest)
        _by_number(rest, open_waiting, verdict, final, patient or final, next_one)
    _learn_clock(verdict, waiting, clock_s)
    return verdict


def _by_time(
    files: Sequence[CandidateFile],
    waiting: Sequence[PendingExposure],
    clock_s: float | None,
    zones_s: float,
    verdict: MatchResult,
) -> tuple[list[CandidateFile], list[PendingExposure]]:
    """Settle what capture times settle; what is left to other evidence is returned."""
    if clock_s is None:
        return list(files), list(waiting)
    fits = {one.path: [w.fire_id for w in waiting if _fits(one, w, clock_s, zones_s)] for one in files}
    surely = {w.fire_id for w in waiting if w.released_s is not None}
    for path, fires in fits.items():  # a release that is known is the better evidence
        fits[path] = [fire for fire in fires if fire in surely] or fires
    rest: list[CandidateFile] = []
    for one in files:
        here = fits[one.path]
        rivals = [other for other in files if set(here) & set(fits[other.path])]
        off_s = _off_s(one, waiting, clock_s, zones_s)
        if len(here) == 1 and len(rivals) == 1:
            verdict.own[here[0]] = one
        elif here and any(w.proof for w in waiting if w.fire_id in here):
            verdict.contested.append(one)
            rest.append(one)
        elif here or off_s is None or abs(off_s) > CLOCK_CHANGED_S:
            rest.append(one)
        else:
            when = "before" if off_s < 0 else "after"
            verdict.by_time = True
            verdict.strays.append((one, f"by its clock it was taken {abs(off_s):.0f} s {when} the exposure"))
    return rest, [w for w in waiting if w.fire_id not in verdict.own]


def _fits(one: CandidateFile, waiting: PendingExposure, clock_s: float, zones_s: float) -> bool:
    if one.heard_s is not None and waiting.armed_s is not None and one.heard_s < waiting.armed_s:
        return False
    off_s = _off_s(one, [waiting], clock_s, zones_s)
    return off_s is not None and abs(off_s) <= SAME_MOMENT_S


def _off_s(one: CandidateFile, waiting: Sequence[PendingExposure], clock_s: float, zones_s: float) -> float | None:
    """How far the file was taken from the exposure nearest to it; None when that cannot be said."""
    if one.taken_s is None:
        return None
    offs = []
    for w in waiting:
        begin_s, long_s = (w.released_s, 0.0) if w.released_s is not None else (w.armed_s, ARMED_S)
        if begin_s is None:
            continue
        off_s = one.taken_s - clock_s - begin_s
        if zones_s:
            before_s = (zones_s - long_s) / 2
            off_s = (off_s + before_s) % zones_s - before_s
        offs.append(min(off_s, 0.0) + max(off_s - long_s, 0.0))
    return min(offs, key=abs, default=None)


def _not_before(
    files: list[CandidateFile], waiting: list[PendingExposure], verdict: MatchResult
) -> list[CandidateFile]:
    """Without those whose number says that they were made before any exposure that waits and is not given up."""
    numbers = [w.number for w in waiting if not w.proof]
    first = numbers[0] if numbers and None not in numbers else None
    rest = []
    for one in files:
        if first is not None and one.number is not None and one.number != first and _steps(one.number, first) < _BEHIND:
            verdict.behind.append(one)
            verdict.strays.append((one, "by its number it was made before the exposure that waits for one"))
        else:
            rest.append(one)
    return rest


def _not_there_before(
    files: Sequence[CandidateFile], waiting: Sequence[PendingExposure], verdict: MatchResult
) -> list[CandidateFile]:
    """Without those that the node knew of before any exposure that waits was armed, as one that could not be read."""
    rest = []
    for one in files:
        heard_s = one.heard_s
        later = [w for w in waiting if heard_s is not None and w.armed_s is not None and w.armed_s > heard_s]
        if waiting and len(later) == len(waiting):
            verdict.strays.append((one, "it was on the card before the exposure that waits for one"))
        else:
            rest.append(one)
    return rest


def _steps(number: int, to: int) -> int:
    """How many exposures after `number` the counter is at `to`."""
    return (to - number) % 9999


def _by_number(
    files: list[CandidateFile],
    waiting: list[PendingExposure],
    verdict: MatchResult,
    final: bool,
    patient: bool,
    next_one: int | None,
) -> None:
    """The counter's word, and the last resort: one file, one exposure.

    A number that an exposure given up should have had is the next one's as well, if that exposure never was.  Were it
    late instead, the next one's own file would come as well: so it is waited for.  Behind a number that was seen
    (next_one comes after it) it is the late one's.  An exposure that was given up
    without its number being known, and so by a person, is out of account here.
    """
    live = [w for w in waiting if not w.proof]
    given_up = _numbers_given_up(waiting)
    early = [
        one
        for one in files
        if one.heard_s is not None and any(w.armed_s is not None and w.armed_s > one.heard_s for w in live)
    ]
    verdict.strays += [(one, "it was on the card before the exposure that waits for one") for one in early]
    files = [one for one in files if one not in early]
    doubtful = [
        one
        for one in files
        if one in verdict.contested or (given_up and (one.number is None or one.number in given_up))
    ]
    certain = [one for one in files if one not in doubtful]
    if len(live) == 1 and len(certain) == 1 and (not doubtful or certain[0].number == live[0].number):
        verdict.own[live[0].fire_id] = certain[0]
        files = doubtful
    elif (
        patient and len(live) == 1 and len(doubtful) == 1 and not certain and doubtful[0] not in verdict.contested
        and (doubtful[0].number is None or next_one is None or doubtful[0].number == next_one)
    ):  # fmt: skip
        verdict.own[live[0].fire_id] = doubtful[0]
        files = []
    elif len(certain) > len(live) or (live and len(certain) + len(doubtful) > len(waiting)):
        verdict.strays += [(one, _crowd(len(files), len(waiting))) for one in files]
        verdict.ambiguous = True
        return
    if final or not live:
        verdict.strays += [
            (one, "it may be of an exposure that failed or was given up, and nothing proves it") for one in files
        ]


def _numbers_given_up(waiting: Sequence[PendingExposure]) -> set[int]:
    """Numbers that files of exposures given up may have.

    One that may never have been has its number or none: whoever was given up after it has its own number, or one that
    is higher by each of those before it that were.
    """
    found: set[int] = set()
    given_up = [w for w in waiting if w.proof]
    for before, one in enumerate(given_up):
        if one.number is not None:
            found.update(accumulate(range(before), lambda number, _: next_number(number), initial=one.number))
    return found


def _crowd(files: int, waiting: int) -> str:
    were = "exposure waits" if waiting == 1 else "exposures wait"
    return f"{files} photographs came and {waiting} {were} for one: which is whose cannot be told"


def _learn_clock(verdict: MatchResult, waiting: Sequence[PendingExposure], clock_s: float | None) -> None:
    """A file that is an exposure's tells the clock, also where it was not known or was set meanwhile."""
    verdict.clock_s = clock_s
    released = {w.fire_id: w.released_s for w in waiting}
    for fire_id, one in verdict.own.items():
        at_s = released.get(fire_id)
        if one.taken_s is None or at_s is None:
            continue
        off_s = one.taken_s - at_s
        verdict.clock_s = off_s


def expected_number(last: int | None, waiting_before: int) -> int | None:
    """The counter that the next exposure gets, `waiting_before` exposures after `last` having none in sight yet."""
    if last is None:
        return None
    for _ in range(waiting_before + 1):
        last = next_number(last)
    return last
