"""Records of a built release: its manifest's hash, and what has been withdrawn since."""

from collections.abc import Iterable, Sequence
from datetime import date

from sqlalchemy.orm import Session

from common.take_codes import SubjectCode, TakeLabel
from db.consents.scope_consents import consenting_subjects, masked_subjects
from db.consents.withdrawals import withdrawn_takes
from db.engine import reading, utc_now
from db.models import ConsentScope
from db.release_records.released_models import EarlierModel, leaving_models, models_released_before
from db.release_records.releases import EarlierTake, get_release, released_before, takes_released_before
from db.studio import StudioRecords
from processing.release.formats.released_files import model_folder
from processing.release.formats.tombstones import NoLonger, Tombstone, What, WhyNot
from processing.release.studio.selection.selection import Selection


def recorded(studio: StudioRecords, name: str, version: int) -> tuple[str, list[Tombstone]]:
    """The manifest's hash, and tombstones of all that was withdrawn or narrowed by today. Raises NotFound."""
    with reading(studio.engine) as tx:
        digest = get_release(tx, name, version).manifest_sha256
        tombstones = find_tombstones(tx, name, utc_now().date())
    assert digest is not None
    return digest, list(tombstones)


def find_tombstones(tx: Session, name: str, day: date) -> tuple[Tombstone, ...]:
    """What complete versions hold and nobody may hold any more on `day`: withdrawn, narrowed, or a take taken back."""
    may_leave = frozenset(consenting_subjects(tx, ConsentScope.RESEARCH_RELEASE, day))
    may_show = frozenset(consenting_subjects(tx, ConsentScope.PUBLICATION, day))
    masked, alone = frozenset(masked_subjects(tx, day)), frozenset(withdrawn_takes(tx))
    affected = {
        earlier.subject_id
        for earlier in released_before(tx, name)
        if earlier.subject_id not in may_leave
        or earlier.subject_id in masked
        or (earlier.last_shown is not None and earlier.subject_id not in may_show)
    }
    held = takes_released_before(tx, name, subjects=affected, takes=alone)
    of_subjects = make_tombstones(held, may_leave=may_leave, may_show=may_show, masked=masked, withdrawn_takes=alone)
    return of_subjects + _model_tombstones(tx, name, day)


def _model_tombstones(tx: Session, name: str, day: date) -> tuple[Tombstone, ...]:
    """Face models that complete versions hold and that a member has left by `day`."""
    versions: dict[int, list[EarlierModel]] = {}
    for earlier in models_released_before(tx, name):
        versions.setdefault(earlier.model_id, []).append(earlier)
    if not versions:
        return ()
    usable = {model.record.id: model.record for model in leaving_models(tx, day) if not model.why_not}
    found = []
    for model_id, held in versions.items():
        if model_id in usable:
            continue
        mine = held[0]
        later = [m.version for m in usable.values() if m.name == mine.name and m.version > mine.version]
        found.append(
            Tombstone(
                code=model_folder(mine.name, mine.version),
                index=0,
                last_version=held[-1].release_version,
                what="model",
                versions=tuple(earlier.release_version for earlier in held),
                next=model_folder(mine.name, max(later)) if later else "",
            )
        )
    return tuple(found)


def no_longer_part(
    tx: Session, name: str, selection: Selection, tombstones: Iterable[Tombstone], *, photographs: bool
) -> tuple[NoLonger, ...]:
    """What earlier versions had of takes whose consent stands, and this selection does not.

    photographs: whether the release that is made of the selection has any at all.
    """
    known = list(tombstones)
    here = {(s.code, take.label): s.publishable for s in selection.subjects for take in s.takes}
    why: dict[tuple[str, str], WhyNot] = {}
    for skipped in selection.skipped:
        if skipped.kind is not None:
            why.setdefault((skipped.subject, skipped.label), skipped.kind)
    newest: dict[tuple[str, str], list[int]] = {}  # last version with it, last with its photographs
    for held in takes_released_before(tx, name):
        last = newest.setdefault((held.code, held.label), [0, 0])
        last[0] = held.version
        last[1] = held.version if held.photographs else last[1]
    found = []
    for (code, label), (last_version, last_shown) in newest.items():
        withdrawn = _withdrawn(known, code, label)
        if (code, label) not in here:
            if "everything" not in withdrawn and "take" not in withdrawn:
                reason: WhyNot = why.get((code, label)) or why.get((code, "")) or "not_available"
                found.append(NoLonger(code, _index(code), label, last_version, "take", reason))
        elif last_shown and not (photographs and here[code, label]) and "photographs" not in withdrawn:
            found.append(NoLonger(code, _index(code), label, last_shown, "photographs", "left_out"))
    return tuple(found)


def _withdrawn(tombstones: Iterable[Tombstone], code: str, label: str) -> set[What]:
    """What a subject has withdrawn of an expression."""
    return {one.what for one in tombstones if one.code == code and (not one.takes or label in one.takes)}


def make_tombstones(
    held: Iterable[EarlierTake],
    *,
    may_leave: frozenset[int],
    may_show: frozenset[int],
    masked: frozenset[int],
    withdrawn_takes: frozenset[int],
) -> tuple[Tombstone, ...]:
    """Tombstones of all that earlier versions hold and the consents do not allow. Sets: ids of subjects, of takes."""
    by_subject: dict[int, list[EarlierTake]] = {}
    for take in held:
        by_subject.setdefault(take.subject_id, []).append(take)
    found: list[Tombstone] = []
    for subject_id, takes in by_subject.items():
        if subject_id not in may_leave:
            found += _tombstones("everything", takes)
            continue
        alone = [take for take in takes if take.take_id in withdrawn_takes]
        by_versions: dict[tuple[int, ...], list[EarlierTake]] = {}
        for label in dict.fromkeys(take.label for take in alone):
            same = [take for take in alone if take.label == label]
            by_versions.setdefault(_versions(same), []).extend(same)
        for same in by_versions.values():
            found += _tombstones("take", same, sorted({take.label for take in same}, key=_position))
        if subject_id not in may_show:
            found += _tombstones("photographs", [take for take in takes if take.photographs])
        if subject_id in masked:
            found += _tombstones("eyes", [take for take in takes if not take.mosaicked])
    return tuple(found)


def _tombstones(what: What, takes: Sequence[EarlierTake], labels: Iterable[str] = ()) -> list[Tombstone]:
    if not takes:
        return []
    versions, code = _versions(takes), takes[0].code
    return [Tombstone(code, _index(code), versions[-1], what, tuple(labels), versions)]


def _versions(takes: Iterable[EarlierTake]) -> tuple[int, ...]:
    return tuple(sorted({take.version for take in takes}))


def _position(label: str) -> tuple[int, str]:
    found = TakeLabel.find(label)
    return (0 if found is None else found.position, label)


def _index(code: str) -> int:
    """The folder of a subject in every layout."""
    return SubjectCode.parse(code).number
