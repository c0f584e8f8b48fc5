"""Building a release: it is either whole in its folder and complete in the records, or it is not there."""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from sqlalchemy.orm import Session

from db.engine import reading, transaction, utc_now
from db.models import ConsentScope, Release
from db.queries import consenting_subjects
from db.releases import ReleasedTake, abandon_builds, begin_release, complete_release, fail_release, get_release
from db.studio import StudioRecords
from processing.progress import Progress, part, silent
from processing.release.documents import ReleaseFacts
from processing.release.errors import ReleaseError
from processing.release.export import export
from processing.release.manifest import SCHEMA_VERSION, Manifest, make_manifest, write_manifest
from processing.release.select import Selection, Skipped, choose

DEFAULT_LICENCE = "Research use only, under the agreement signed with the studio"
DEFAULT_DESCRIPTION = (
    "Registered face meshes, displacement maps, textures, scans and photographs of people in expressions."
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class BuiltRelease:
    """A release that is there."""

    name: str
    version: int
    folder: Path
    manifest: Manifest
    manifest_sha256: str
    skipped: tuple[Skipped, ...]


def build_release(
    studio: StudioRecords,
    name: str,
    out: Path,
    *,
    day: date | None = None,
    subjects: list[str] | None = None,
    licence: str = DEFAULT_LICENCE,
    description: str = DEFAULT_DESCRIPTION,
    abandon: bool = False,
    progress: Progress = silent,
) -> BuiltRelease:
    """Build the next version of `name` into the folder `out/<name>-<version>`.

    day: consents must be valid on it (today). subjects: narrows to these codes. abandon: an earlier build of this name
    that died is given up. The folder is made under a temporary name and renamed when its last byte is on the disk.
    Raises ReleaseError when nothing may leave or the folder exists; StateConflict when a build is under way. Whatever
    is raised, no folder is left that looks like a release, and the version number stays free.
    """
    if not _NAME.fullmatch(name):
        raise ReleaseError(f"'{name}' cannot name a release: use lower-case letters, digits, '.', '_' and '-'")
    day = day or utc_now().date()
    if day > utc_now().date():
        raise ReleaseError(f"Consents cannot be judged on {day}: that day is not yet over; leave --day out")
    with reading(studio.engine) as tx:
        selection = choose(tx, studio.store, day, only=subjects)
    if not selection.subjects:
        raise ReleaseError(_nothing(selection))
    criteria = {"subjects": subjects or "all", "licence": licence}
    with transaction(studio.engine) as tx:
        if abandon:
            abandon_builds(tx, name)
        release = begin_release(tx, name, schema_version=SCHEMA_VERSION, consent_day=day, criteria=criteria)
    facts = ReleaseFacts(name, release.version, licence, description)
    try:
        return _build(studio, release, selection, out / f"{name}-{release.version}", facts, progress)
    except BaseException as error:
        with transaction(studio.engine) as tx:
            fail_release(tx, tx.merge(release, load=False), f"{type(error).__name__}: {error}")
        raise


def _build(
    studio: StudioRecords, release: Release, selection: Selection, folder: Path, facts: ReleaseFacts, progress: Progress
) -> BuiltRelease:
    if folder.exists():
        raise ReleaseError(f"{folder} is there, but not in the records; move it away, or name another --out")
    temporary = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    moved = False
    try:
        files = export(selection, studio.store, temporary, facts, progress=part(progress, 0.0, 0.8))
        progress(0.8, "hashing")
        manifest = make_manifest(
            temporary,
            files,
            name=facts.name,
            version=facts.version,
            consent_day=selection.day.isoformat(),
            subjects=[subject.code for subject in selection.subjects],
        )
        progress(0.95, "manifest")
        _sync(temporary, files)
        digest = write_manifest(temporary, manifest)
        _sync_folders(temporary)
        # Consents may have been withdrawn while the files were written: judge once more, in the last transaction.
        with transaction(studio.engine) as tx:
            _still_allowed(tx, selection)
            complete_release(tx, tx.merge(release, load=False), digest, _items(selection))
            temporary.rename(folder)
            moved = True
        _sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if moved:  # renamed, but the records did not take it
            shutil.rmtree(folder, ignore_errors=True)
        raise
    progress(1.0, f"{len(manifest.files)} files")
    return BuiltRelease(facts.name, facts.version, folder, manifest, digest, selection.skipped)


def recorded_hash(studio: StudioRecords, name: str, version: int) -> str:
    """The manifest's hash as the records have it. Raises NotFound."""
    with reading(studio.engine) as tx:
        digest = get_release(tx, name, version).manifest_sha256
    assert digest is not None
    return digest


def _items(selection: Selection) -> list[ReleasedTake]:
    return [
        ReleasedTake(subject.subject_id, take.take_id, bool(take.photographs), subject.publishable)
        for subject in selection.subjects
        for take in subject.takes
    ]


def _still_allowed(tx: Session, selection: Selection) -> None:
    may_leave = consenting_subjects(tx, ConsentScope.RESEARCH_RELEASE, selection.day, lock=True)
    may_show = consenting_subjects(tx, ConsentScope.PUBLICATION, selection.day, lock=True)
    withdrawn = [
        s.code
        for s in selection.subjects
        if s.subject_id not in may_leave or (s.publishable and s.subject_id not in may_show)
    ]
    if withdrawn:
        raise ReleaseError(f"Consent of {', '.join(withdrawn)} changed while the release was built; build it again")


def _nothing(selection: Selection) -> str:
    lines = ["Nothing may leave: no subject has both a valid consent and a processed take."]
    lines += [f"  {skipped.subject} {skipped.take}  {skipped.why}" for skipped in selection.skipped[:20]]
    if not selection.skipped:
        lines.append("  No closed session has an accepted take; see: mien session show")
    return "\n".join(lines)


def _sync(folder: Path, files: Iterable[str]) -> None:
    for name in files:
        _sync_folder(folder / name)


def _sync_folders(folder: Path) -> None:
    for at, _, _ in os.walk(folder):
        _sync_folder(Path(at))


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def as_report(built: BuiltRelease) -> dict[str, object]:
    """A built release for --json."""
    return {
        "name": built.name,
        "version": built.version,
        "folder": str(built.folder),
        "manifest_sha256": built.manifest_sha256,
        "files": len(built.manifest.files),
        "bytes": built.manifest.bytes,
        "subjects": list(built.manifest.subjects),
        "skipped": [asdict(skipped) for skipped in built.skipped],
    }
