"""What the records say of a release that was built: its manifest's hash, and what has been withdrawn since."""

from collections.abc import Iterable, Mapping
from datetime import date

from sqlalchemy.orm import Session

from db.consents.scope_consents import consenting_subjects, masked_subjects
from db.consents.withdrawals import withdrawn_takes
from db.engine import reading, utc_now
from db.models import ConsentScope
from db.release_records.releases import get_release, released_before, takes_released_before
from db.studio import StudioRecords
from processing.release.formats.tombstones import NoLonger, Tombstone, WhyNot, tombstones_of
from processing.release.studio.selection import Selection


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
    return tombstones_of(held, may_leave=may_leave, may_show=may_show, masked=masked, withdrawn_takes=alone)


def no_longer_part(
    tx: Session, name: str, selection: Selection, tombstones: Iterable[Tombstone], *, photographs: bool
) -> tuple[NoLonger, ...]:
    """What earlier versions had of takes whose consent stands, and this selection does not.

    photographs: whether the release that is made of the selection has any at all.
    """
    stones = list(tombstones)
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
        told = _told(stones, code, label)
        if (code, label) not in here:
            if "everything" not in told and "take" not in told:
                reason: WhyNot = why.get((code, label)) or why.get((code, "")) or "not_available"
                found.append(NoLonger(code, int(code[1:]), label, last_version, "take", reason))
        elif last_shown and not (photographs and here[code, label]) and "photographs" not in told:
            found.append(NoLonger(code, int(code[1:]), label, last_shown, "photographs", "left_out"))
    return tuple(found)


def _told(stones: Iterable[Tombstone], code: str, label: str) -> Mapping[str, Tombstone]:
    return {s.what: s for s in stones if s.code == code and (not s.takes or label in s.takes)}
