"""What the records say of a release that was built: its manifest's hash, and who has withdrawn since."""

from datetime import date

from sqlalchemy.orm import Session

from db.engine import reading, utc_now
from db.models import ConsentScope
from db.queries import consenting_subjects
from db.releases import get_release, released_before
from db.studio import StudioRecords
from processing.release.manifest import Tombstone


def recorded(studio: StudioRecords, name: str, version: int) -> tuple[str, list[Tombstone]]:
    """The manifest's hash, and tombstones of everyone who has withdrawn by today. Raises NotFound."""
    with reading(studio.engine) as tx:
        digest = get_release(tx, name, version).manifest_sha256
        tombstones = find_tombstones(tx, name, utc_now().date())
    assert digest is not None
    return digest, list(tombstones)


def find_tombstones(tx: Session, name: str, day: date) -> tuple[Tombstone, ...]:
    """Subjects of complete versions who no longer consent on `day`: to the release, or to their photographs in it."""
    may_leave = consenting_subjects(tx, ConsentScope.RESEARCH_RELEASE, day)
    may_show = consenting_subjects(tx, ConsentScope.PUBLICATION, day)
    found = []
    for earlier in released_before(tx, name):
        index = int(earlier.code[1:])
        if earlier.subject_id not in may_leave:
            found.append(Tombstone(earlier.code, index, earlier.last_version, "everything"))
        elif earlier.last_shown is not None and earlier.subject_id not in may_show:
            found.append(Tombstone(earlier.code, index, earlier.last_shown, "photographs"))
    return tuple(found)
