"""The reviewed file: who leaves, decided by rules, read and signed by a person, then built as it stands.

`mien release select` writes it, a person edits decisions and fills in [review], `mien release build --selection` builds
exactly the takes in it, or refuses and says what no longer holds.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from bounded.files import read_bytes
from bounded.limits import MAX_TOML_BYTES
from bounded.text import check_toml
from db.models import ConsentScope
from processing.release.errors import SelectionError
from processing.release.rules import Options, Quality, Split, draw_held_back
from processing.release.select import SelectedSubject, SelectedTake, Selection, Skipped
from processing.whole_file import whole_file

FORMAT = 1
HEAD = """# What a release will hold. Written by `mien release select`, to be read by a person.
#
# decision: "publish", "hold_back" (kept for evaluation) or "leave_out"; change it where the rules are wrong.
# [subject.takes]: expression -> what it was made from; delete a line to leave that expression out.
# Then write your name and the day under [review] and run: mien release build NAME --selection THIS_FILE
# [quality] may also have: max_surface_mm, min_matched, max_exposure_skew_ms.
# [options] exr = false leaves out the displacement's OpenEXR files.
# After changing [quality], [split] or [options], run: mien release select NAME --rules THIS_FILE --out NEW_FILE

"""


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who read the file, and when."""

    by: str = ""
    on: date | None = None


class SubjectLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A subject and what is decided of it. Days: of its consents. takes: label -> digest of what it is made from."""

    code: str
    decision: Literal["publish", "hold_back", "leave_out"]
    why: str = ""
    research_release: date | None = None
    publication: date | None = None
    eyes_mosaicked: bool = False
    takes: dict[str, str] = {}
    left_out: dict[str, str] = {}


class SelectionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. day: consents are judged on it."""

    format: int
    name: str
    day: date
    review: Review = Review()
    quality: Quality = Quality()
    split: Split = Split()
    options: Options = Options()
    subject: tuple[SubjectLine, ...] = ()


@dataclass(frozen=True)
class Reviewed:
    """A selection file as it was read, and the hash of its bytes."""

    file: SelectionFile
    sha256: str


def propose(
    name: str,
    selection: Selection,
    *,
    quality: Quality,
    split: Split,
    options: Options,
    published: Mapping[str, int],
) -> SelectionFile:
    """The file that the rules make of what may leave. published: code -> last version that had it."""
    incomplete = {s.code for s in selection.subjects if {t.label for t in s.takes} < set(s.expected)}
    good = [s.code for s in selection.subjects if not (quality.complete and s.code in incomplete)]
    held = draw_held_back(split, good, published)
    lines = []
    for subject in selection.subjects:
        decision: Literal["publish", "hold_back", "leave_out"] = "publish"
        why = ""
        if subject.code not in good:
            decision, why = "leave_out", f"{len(subject.takes)} of {len(subject.expected)} expressions are there"
        elif subject.code in held:
            decision, why = "hold_back", "drawn by the split rule"
        left = {s.take: s.why for s in selection.skipped if s.subject == subject.code and s.take}
        lines.append(
            SubjectLine(
                code=subject.code,
                decision=decision,
                why=why,
                research_release=_day(subject, ConsentScope.RESEARCH_RELEASE),
                publication=_day(subject, ConsentScope.PUBLICATION),
                eyes_mosaicked=subject.mosaic,
                takes={take.label: digest(take) for take in subject.takes},
                left_out=left,
            )
        )
    named = {line.code for line in lines}
    stay: dict[str, str] = {}
    for skipped in selection.skipped:
        if skipped.subject not in named:
            stay.setdefault(skipped.subject, f"{skipped.take} {skipped.why}".strip())
    lines += [SubjectLine(code=code, decision="leave_out", why=why) for code, why in stay.items()]
    return SelectionFile(FORMAT, name, selection.day, Review(), quality, split, options, tuple(lines))


def digest(take: SelectedTake) -> str:
    """What a take is made from, in 16 digits: every file that leaves or is read for it."""
    return hashlib.sha256("\n".join(take.hashes).encode()).hexdigest()[:16]


def write_selection(path: Path, file: SelectionFile) -> None:
    """Write it for a person to read. Raises SelectionError where a file is that somebody may have edited."""
    if path.exists():
        raise SelectionError(f"{path} is there; a reviewed file is not written over: name another --out")
    plain = msgspec.to_builtins(file, builtin_types=(date,))
    with whole_file(path) as temporary:
        temporary.write_text(HEAD + tomli_w.dumps(_without_none(plain)), encoding="utf-8")


def read_selection(path: Path, *, rules_only: bool = False) -> Reviewed:
    """Read it and look at it by itself. rules_only: its subjects do not matter.

    Raises SelectionError naming the key, the subject or what is missing.
    """
    try:
        data = read_bytes(path, MAX_TOML_BYTES)
        check_toml(data.decode("utf-8"))
        file = msgspec.toml.decode(data, type=SelectionFile)
    except OSError as error:
        raise SelectionError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise SelectionError(f"{path} is no selection: {error}") from None
    if file.format != FORMAT:
        raise SelectionError(f"{path} has format {file.format}, this Mien reads {FORMAT}; run mien release select")
    if rules_only:
        return Reviewed(file, hashlib.sha256(data).hexdigest())
    problems = [
        f"subject {code} stands {times} times"
        for code, times in Counter(line.code for line in file.subject).items()
        if times > 1
    ]
    for line in file.subject:
        if line.decision != "publish":
            continue
        if line.research_release is None:
            problems.append(f"subject {line.code} is to be published, and its consent to release has no date")
        if not line.takes:
            problems.append(f"subject {line.code} is to be published without a single take")
    if problems:
        raise SelectionError(f"{path} cannot be built:\n  " + "\n  ".join(problems))
    return Reviewed(file, hashlib.sha256(data).hexdigest())


def narrowed(selection: Selection, reviewed: Reviewed, path: Path) -> Selection:
    """What the file publishes, out of what may leave now.

    Raises SelectionError naming every subject and take that may no longer leave, or is not what was reviewed.
    """
    file = reviewed.file
    if not file.review.by.strip() or file.review.on is None:
        raise SelectionError(f"{path} is not reviewed: read it, then write your name and the day under [review]")
    may = {subject.code: subject for subject in selection.subjects}
    why_not = {skipped.subject: skipped.why for skipped in selection.skipped if not skipped.take}
    why_take = {(skipped.subject, skipped.take): skipped.why for skipped in selection.skipped if skipped.take}
    problems: list[str] = []
    chosen: list[SelectedSubject] = []
    skipped = [Skipped(line.code, "", f"{line.decision}: {line.why}") for line in file.subject if not _out(line)]
    for line in file.subject:
        if not _out(line):
            continue
        subject = may.get(line.code)
        if subject is None:
            problems.append(f"{line.code}  {why_not.get(line.code, 'has nothing that may leave')}")
            continue
        given = _day(subject, ConsentScope.RESEARCH_RELEASE)
        if given != line.research_release:
            problems.append(
                f"{line.code}  the records have a consent of {given}, the file one of {line.research_release}"
            )
        if subject.mosaic and not line.eyes_mosaicked:
            problems.append(f"{line.code}  consented with eyes mosaicked; the file says otherwise")
        takes = {take.label: take for take in subject.takes}
        for label, made_from in line.takes.items():
            if label not in takes:
                reasons = (why for (code, take), why in why_take.items() if code == line.code and _is(take, label))
                problems.append(f"{line.code} {label}  {next(reasons, 'may not leave')}")
            elif digest(takes[label]) != made_from:
                problems.append(f"{line.code} {label}  was processed anew since the review")
        kept = tuple(take for take in subject.takes if take.label in line.takes)
        left = [take for take in subject.takes if take.label not in line.takes]
        skipped += [Skipped(line.code, take.code, "left out by the reviewer") for take in left]
        chosen.append(replace(subject, takes=kept, mosaic=subject.mosaic or line.eyes_mosaicked))
    if problems:
        what = "\n  ".join(problems[:40])
        raise SelectionError(f"{path} no longer holds; run mien release select again and review it:\n  {what}")
    skipped += [s for s in selection.skipped if s.subject in {subject.code for subject in chosen}]
    return Selection(selection.day, tuple(chosen), tuple(skipped))


def _without_none(value: Any) -> Any:
    """TOML knows no null: what is not set is not there."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list | tuple) else value


def _day(subject: SelectedSubject, scope: ConsentScope) -> date | None:
    consent = subject.consents.get(scope)
    return consent.day if consent else None


def _out(line: SubjectLine) -> bool:
    return line.decision == "publish"


def _is(take_code: str, label: str) -> bool:
    """Whether S001-1-E07-2 is a take of '7_jaw_forward'."""
    position = take_code.rpartition("-E")[2].partition("-")[0]
    return position.isdecimal() and int(position) == int(label.partition("_")[0])
