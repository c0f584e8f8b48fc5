"""Selection file: who leaves, decided by rules, read and signed by a person, then built as it stands.

`mien release select` writes it, a person edits decisions and fills in [review], `mien release build --selection` builds
exactly the takes in it, or refuses and says what no longer holds.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from common.bounded.files import read_file_or_pipe
from common.bounded.json_toml import parse_toml
from common.bounded.limits import MAX_TOML_BYTES
from common.configuration.loader import Wording, from_table
from common.files.atomic_write import atomic_write
from common.plain_values import without_none
from db.models import ConsentScope
from processing.release.formats.errors import SelectionError
from processing.release.studio.selection.selection import SelectedSubject, SelectedTake, Selection, Waiting
from processing.release.studio.selection.selection_rules import Options, Quality, Split, draw_held_back

FORMAT = 1
HEAD = """# What a release will hold. Written by `mien release select`, to be read by a person.
#
# decision: "publish", "hold_back" (kept for evaluation) or "leave_out"; change it where the rules are wrong.
# research_release, publication, eyes_mosaicked: its consents, with the forms that were signed. Delete the line
#   `publication` to keep its photographs back; set eyes_mosaicked = true to cover its eyes although nobody asked.
# accepted, not_processed, not_closed: its accepted takes, and how many of them cannot leave yet.
# [subject.takes]: expression -> what it was made from; delete a line to leave that expression out.
# rig: its rig; delete the line to leave the rig out. A rig leaves where every take that it was made from does.
# [[model]]: a face model, made of many subjects, who all consent to that; decision as above.
# Then fill in both keys of [review] and run: mien release build NAME --selection THIS_FILE
# [quality] may also have: max_surface_mm, min_matched, max_exposure_skew_ms.
# [options] exr = false leaves out the displacement's OpenEXR files, rigs = false the rigs, models = false the models;
#   facescape = true writes models as FaceScape's own code reads them, too.
# After changing [quality] or [split], run: mien release select NAME --rules THIS_FILE --out NEW_FILE
# A signature that no change of a byte outlives: minisign -Sm THIS_FILE, or
#   ssh-keygen -Y sign -n mien-selection -f KEY THIS_FILE

"""
_WORDING = Wording(unknown="unknown field `{key}`{place}")
LATER = ("rigs", "models", "facescape")
# What `select` writes into every file. A key that is not there is refused: its default may allow more than was signed.
_REQUIRED = {
    "": ("format", "name", "day", "judged", "review", "quality", "split", "options"),
    "review": ("by",),
    "quality": ("verdicts", "complete"),
    "split": ("hold_back", "seed"),
    "options": ("photographs", "colour", "exr"),
}


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who read the file, and when."""

    #: Their name; empty: nobody has.
    by: str = ""
    #: The day.
    on: date | None = None


class SubjectLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A subject, and what is decided of it."""

    #: As in S012.
    code: str
    decision: Literal["publish", "hold_back", "leave_out"]
    #: Why it is not simply published.
    why: str = ""
    #: How many accepted takes it has.
    accepted: int = 0
    #: Of these, not processed yet.
    not_processed: int = 0
    #: Of these, in sessions that are not closed.
    not_closed: int = 0
    #: The day of this consent.
    research_release: date | None = None
    #: Which text was signed, and the start of the signed form's hash.
    research_release_form: str | None = None
    #: The day of this consent.
    publication: date | None = None
    #: As above.
    publication_form: str | None = None
    #: Whether its eyes are covered.
    eyes_mosaicked: bool = False
    #: As above.
    eyes_mosaicked_form: str | None = None
    #: Label -> digest of what it is made from.
    takes: dict[str, str] = {}
    #: Code of a take -> why.
    left_out: dict[str, str] = {}
    #: Digest of what the rig was made from; empty: none leaves.
    rig: str = ""


class ModelLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A face model, and what is decided of it."""

    name: str
    version: int
    decision: Literal["publish", "leave_out"]
    #: Why it is not simply published.
    why: str = ""
    #: How many subjects are in it.
    members: int = 0
    #: Digest of its files.
    files: str = ""


class SelectionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    #: FORMAT of the program that wrote it.
    format: int
    #: The release's.
    name: str
    #: Consents are judged on it.
    day: date
    #: Digest of the rules by which it was proposed.
    judged: str = ""
    review: Review = Review()
    quality: Quality = Quality()
    split: Split = Split()
    options: Options = Options()
    subject: tuple[SubjectLine, ...] = ()
    model: tuple[ModelLine, ...] = ()


@dataclass(frozen=True)
class Reviewed:
    """A selection file as it was read."""

    file: SelectionFile
    #: Of its bytes.
    sha256: str
    #: Where it lies.
    path: Path
    #: Its bytes.
    data: bytes = b""
    #: Whose signature of it counts.
    signer: str | None = None


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
                **{**_counts(selection, subject.code), **consents_of(subject)},
                eyes_mosaicked=subject.mosaic,
                takes={take.label: digest(take) for take in subject.takes},
                left_out=left,
                rig=digest_of(subject.rig.files.values()) if subject.rig and options.rigs else "",
            )
        )
    named = {line.code for line in lines}
    stay: dict[str, str] = {}
    for skipped in selection.skipped:
        if skipped.subject not in named:
            stay.setdefault(skipped.subject, f"{skipped.take} {skipped.why}".strip())
    for code, waiting in selection.waiting.items():
        if code not in named and waiting.unclosed == waiting.accepted:
            stay.setdefault(code, "its sessions are not closed")
    lines += [
        SubjectLine(code=code, decision="leave_out", why=why, **_counts(selection, code)) for code, why in stay.items()
    ]
    judged = judged_by(quality, split)
    models = tuple(_model_lines(selection)) if options.models else ()
    return SelectionFile(FORMAT, name, selection.day, judged, Review(), quality, split, options, tuple(lines), models)


def _model_lines(selection: Selection) -> Iterator[ModelLine]:
    for model in selection.models:
        files = digest_of(sha256 for _, sha256 in model.files)
        yield ModelLine(model.name, model.version, "publish", members=len(model.members), files=files)
    for kept in selection.models_kept:
        yield ModelLine(kept.name, kept.version, "leave_out", kept.why)


def consents_of(subject: SelectedSubject) -> dict[str, Any]:
    """A subject's consents as its lines say them: days and forms."""
    found: dict[str, Any] = {}
    for scope in ConsentScope:
        consent = subject.consents.get(scope)
        if consent is None or (scope == ConsentScope.PUBLICATION and not subject.publishable):
            continue
        if scope == ConsentScope.STATISTICAL_MODEL:  # models stand for themselves
            continue
        if scope != ConsentScope.EYES_MOSAICKED:
            found[str(scope)] = consent.day
        if consent.form_version or consent.document_sha256:
            document = (consent.document_sha256 or "-")[:16]
            found[f"{scope}_form"] = f"{consent.form_version or '-'} {document}"
    return found


def judged_by(quality: Quality, split: Split) -> str:
    """The rules that proposed a file, in 16 digits: after them it was read, so they do not change any more."""
    plain = msgspec.json.encode(msgspec.to_builtins((quality, split)))
    return hashlib.sha256(plain).hexdigest()[:16]


def _counts(selection: Selection, code: str) -> dict[str, Any]:
    waiting = selection.waiting.get(code, Waiting())
    return {"accepted": waiting.accepted, "not_processed": waiting.unprocessed, "not_closed": waiting.unclosed}


def digest(take: SelectedTake) -> str:
    """What a take is made from, in 16 digits: every file that leaves or is read for it."""
    return digest_of(take.hashes)


def digest_of(hashes: Iterable[str]) -> str:
    """Of files by their hashes, in 16 digits."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def write_selection(path: Path, file: SelectionFile) -> None:
    """Write it for a person to read. Raises SelectionError where a file is that somebody may have edited."""
    if path.exists():
        raise SelectionError(f"{path} is there; a reviewed file is not written over: name another --out")
    plain = msgspec.to_builtins(file, builtin_types=(date,))
    text = tomli_w.dumps(without_none(plain))
    unsigned = '[review]\nby = ""\n'
    text = text.replace(unsigned, f"{unsigned}# on = {file.day.isoformat()}\n", 1)  # TOML knows no empty day
    with atomic_write(path) as temporary:
        temporary.write_text(HEAD + text, encoding="utf-8")


def read_selection(path: Path, *, rules_only: bool = False) -> Reviewed:
    """Read it and look at it by itself. rules_only: its subjects do not matter. A pipe will do: it is read once.

    Raises SelectionError naming the key, the subject or what is missing.
    """
    try:
        data = read_file_or_pipe(path, MAX_TOML_BYTES)
        written = parse_toml(data)
    except OSError as error:
        raise SelectionError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SelectionError(f"{path} is no selection: {error}") from None
    for product in LATER:  # of a file from before they could leave: what nobody signed stays
        if isinstance(options := written.get("options"), dict):
            options.setdefault(product, False)
    file = from_table(SelectionFile, written, str(path), SelectionError, wording=_WORDING)
    if file.format != FORMAT:
        raise SelectionError(f"{path} has format {file.format}, this Mien reads {FORMAT}; run mien release select")
    reviewed = Reviewed(file, hashlib.sha256(data).hexdigest(), path, data)
    if rules_only:
        return reviewed
    problems = _lacking(written)
    if not problems and file.judged != judged_by(file.quality, file.split):
        problems.append(
            "[quality] or [split] was changed after the choice; run mien release select --rules, and review that"
        )
    problems += [
        f"subject {code} stands {times} times"
        for code, times in Counter(line.code for line in file.subject).items()
        if times > 1
    ]
    problems += [
        f"model {name} stands {times} times; a release has one version of it"
        for name, times in Counter(line.name for line in file.model if line.decision == "publish").items()
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
    return reviewed


def _lacking(written: Mapping[str, Any]) -> list[str]:
    """Keys that `select` wrote and that are gone."""
    return [
        f"{f'[{table}] ' if table else ''}lacks `{key}`, which `mien release select` writes"
        for table, keys in _REQUIRED.items()
        for key in keys
        if key not in (written.get(table, {}) if table else written) and (not table or table in written)
    ]
