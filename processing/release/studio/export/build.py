"""Building a release: it is either whole in its folder and complete in the records, or it is not there.

A build works in OUT/.NAME-VERSION.building and is renamed from there when its last byte is on the disk. What an
interrupted build wrote stays there and is used by the next one as far as it is still what it would write.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from common.files.atomic_write import write_new
from common.files.durable import fsync_file, fsync_folder
from common.guarding.file_modes import share_with_others
from common.progress import Progress, no_progress, part
from db.consents.scope_consents import consenting_subjects, masked_subjects
from db.consents.withdrawals import lock_participants, withdrawn_takes
from db.engine import reading, transaction, utc_now
from db.errors import StateConflict
from db.models import ConsentScope, Release
from db.release_records.releases import (
    ReleasedTake,
    abandon_builds,
    begin_release,
    building_release,
    captured_days,
    complete_release,
    fail_release,
)
from db.studio import StudioRecords
from processing.release.formats.errors import ReleaseError
from processing.release.formats.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    Manifest,
    ManifestHead,
    make_manifest,
    write_manifest,
)
from processing.release.formats.metadata.release_description import ReleaseFacts
from processing.release.formats.metadata.studio_statement import read_about
from processing.release.formats.signing import RELEASE, PublicKey, public_of, read_small, sign, studio_key
from processing.release.formats.tombstones import NoLonger, Tombstone
from processing.release.studio.export.export import ExportPlan, export
from processing.release.studio.selection.derived_selection import models_still_leave
from processing.release.studio.selection.selection import Selection, Skipped, select_takes
from processing.release.studio.selection.selection_file import Reviewed, read_selection
from processing.release.studio.selection.selection_review import narrowed, require_review
from processing.release.studio.selection.selection_rules import Options
from processing.release.studio.selection.selection_signers import trusted_signers
from processing.release.studio.withdrawals.release_records import find_tombstones, no_longer_part

DEFAULT_LICENCE = "Research use only, under the agreement signed with the studio"
DEFAULT_DESCRIPTION = (
    "Registered face meshes, displacement maps, textures, scans and photographs of people in expressions."
)
# The version of the form that a subject made by a program "signed": nobody is behind it.
SYNTHETIC = "synthetic"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class BuildRequest:
    """What a build is asked for."""

    #: A reviewed file; without it the rules decide alone.
    selection: Path | None = None
    #: Of that file, by somebody whom the studio trusts ([release] signers in studio.toml).
    signature: Path | None = None
    #: The secret key that signs the manifest; None: the studio's own.
    sign_key: Path | None = None
    #: Consents must be valid on it; None: today, or the file's.
    day: date | None = None
    #: Narrows to these codes; None: all.
    subjects: Sequence[str] | None = None
    #: The licence's address or name.
    licence: str = DEFAULT_LICENCE
    #: The whole of it, for LICENCE.txt.
    licence_text: str | None = None
    #: What the datasheet says first.
    description: str = DEFAULT_DESCRIPTION


@dataclass(frozen=True)
class BuiltRelease:
    """A release that is there."""

    name: str
    version: int
    folder: Path
    manifest: Manifest
    manifest_sha256: str
    #: What stayed, and why.
    skipped: tuple[Skipped, ...]
    #: With whose secret the manifest was signed.
    key: PublicKey


@dataclass(frozen=True)
class _Contents:
    """What a version will hold, as the records say on its day."""

    selection: Selection
    #: What is withdrawn of earlier versions.
    tombstones: tuple[Tombstone, ...]
    #: What of earlier versions is not here, and may be kept.
    no_longer: tuple[NoLonger, ...]
    #: The first and the last day on which a take was fired.
    captured: tuple[str, str] | None


def build_release(
    studio: StudioRecords,
    name: str,
    out: Path,
    request: BuildRequest | None = None,
    *,
    abandon: bool = False,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> BuiltRelease:
    """Build the next version of `name` into the folder `out/<name>-<version>`.

    abandon: an earlier build of this name that died elsewhere is given up; one that died here is taken up. Raises
    ReleaseError when nothing may leave and nobody is to be told of a withdrawal, or the folder exists; StateConflict
    when a build is under way. Whatever is raised, no folder is left that looks like a release, and the version number
    stays free.
    """
    if not _NAME.fullmatch(name):
        raise ReleaseError(f"'{name}' cannot name a release: use lower-case letters, digits, '.', '_' and '-'")
    request = request or BuildRequest()
    about = read_about(studio.settings.sections.get("release", {}))
    reviewed = _read(studio, name, request)
    options = reviewed.file.options if reviewed else Options()
    contents = _contents(studio, name, request, reviewed, photographs=options.photographs != "none")
    selection = contents.selection
    key = request.sign_key or studio_key(studio.settings.keys)
    criteria = {
        "subjects": list(request.subjects or ()) or "all",
        "licence": request.licence,
        "selection": reviewed.sha256 if reviewed else None,
    }
    with _claimed(studio, name, out, selection.day, criteria, abandon) as (release, building):
        plan = ExportPlan(
            selection=selection,
            store=studio.store,
            folder=building / "release",
            done=building / "done",
            facts=ReleaseFacts(
                name,
                release.version,
                request.licence,
                request.description,
                _reviewer(reviewed),
                about=about,
                captured=contents.captured,
                synthetic=is_synthetic(selection),
            ),
            options=options,
            licence_text=request.licence_text or f"{request.licence}.",
            tombstones=contents.tombstones,
            no_longer=contents.no_longer,
            public_key=public_of(key),
        )
        return _build(studio, release, plan, out / f"{name}-{release.version}", reviewed, key, workers, progress)


def _contents(
    studio: StudioRecords, name: str, request: BuildRequest, reviewed: Reviewed | None, *, photographs: bool
) -> _Contents:
    """What may leave. Raises ReleaseError for a day that is not over, and where there is nothing to release."""
    day = (reviewed.file.day if reviewed else request.day) or utc_now().date()
    if day > utc_now().date():
        raise ReleaseError(f"Consents cannot be judged on {day}: that day is not yet over; leave --day out")
    quality = reviewed.file.quality if reviewed else None
    with reading(studio.engine) as tx:
        chosen = select_takes(tx, studio.store, day, only=request.subjects, quality=quality)
        tombstones = find_tombstones(tx, name, day)
        if reviewed:
            chosen = narrowed(chosen, reviewed)
        captured = captured_days(tx, [take.take_id for subject in chosen.subjects for take in subject.takes])
        asked = replace(chosen, skipped=(*chosen.skipped, *_not_asked(chosen, request.subjects)))
        gone = no_longer_part(tx, name, asked, tombstones, photographs=photographs)
    if not chosen.subjects and not tombstones:
        raise ReleaseError(_nothing(chosen))
    return _Contents(chosen, tombstones, gone, captured)


def is_synthetic(selection: Selection) -> bool:
    """Whether no subject is a person: every consent was recorded as to the form SYNTHETIC."""
    forms = [given.form_version for subject in selection.subjects for given in subject.consents.values()]
    return bool(forms) and all(form == SYNTHETIC for form in forms)


def _read(studio: StudioRecords, name: str, request: BuildRequest) -> Reviewed | None:
    """The reviewed file; None where none was given. Raises ReleaseError, SelectionError."""
    if request.selection is None:
        if request.signature is not None:
            raise ReleaseError("--signature is of a reviewed file: name that with --selection")
        return None
    reviewed = read_selection(request.selection)
    if reviewed.file.name != name:
        raise ReleaseError(f"{request.selection} selects for release '{reviewed.file.name}', not for '{name}'")
    if request.day is not None or request.subjects:
        raise ReleaseError(f"{request.selection} says the day and the subjects; leave --day and --subject out")
    made = read_small(request.signature, "the signature") if request.signature else None
    return require_review(reviewed, made, trusted_signers(studio.settings))


def _not_asked(chosen: Selection, subjects: Sequence[str] | None) -> list[Skipped]:
    left = chosen.known - set(subjects) if subjects else set()
    return [Skipped(code, "", "not asked for", "not_asked") for code in sorted(left)]


def _reviewer(reviewed: Reviewed | None) -> str | None:
    if reviewed is None:
        return None
    by = reviewed.file.review.by
    return by if reviewed.signer is None else f"{by} (signature of {reviewed.signer})"


@contextmanager
def _claimed(
    studio: StudioRecords, name: str, out: Path, day: date, criteria: dict[str, Any], abandon: bool
) -> Iterator[tuple[Release, Path]]:
    """The release's row, building, and the folder to work in, both this process's alone.

    A row whose process died is taken up where its folder is here and nobody holds its lock. An error fails the row.
    """
    out.mkdir(parents=True, exist_ok=True)
    with transaction(studio.engine) as tx:
        if abandon:
            abandon_builds(tx, name)
        dead = building_release(tx, name)
        if dead is not None and _started_here(_building(out, dead), dead):
            release, lock = dead, _lock(_building(out, dead), dead)
            release.consent_day, release.criteria = day, criteria
        else:
            release = begin_release(tx, name, schema_version=SCHEMA_VERSION, consent_day=day, criteria=criteria)
            lock = _lock(_building(out, release), release)
    building = _building(out, release)
    try:
        (building / "build.json").write_text(json.dumps({"release": release.id}))
        yield release, building
    except BaseException as error:
        with transaction(studio.engine) as tx:
            fail_release(tx, tx.merge(release, load=False), f"{type(error).__name__}: {error}")
        if isinstance(error, ConsentChanged) or not any(building.glob("done/*.json")):
            shutil.rmtree(building, ignore_errors=True)
        raise
    finally:
        os.close(lock)
    shutil.rmtree(building, ignore_errors=True)


class ConsentChanged(ReleaseError):
    """Somebody withdrew while the release was built: nothing of it is kept."""


def _building(out: Path, release: Release) -> Path:
    return out / f".{release.name}-{release.version}.building"


def _started_here(building: Path, release: Release) -> bool:
    try:
        return bool(json.loads((building / "build.json").read_text())["release"] == release.id)
    except (OSError, ValueError, KeyError):
        return False


def _lock(building: Path, release: Release) -> int:
    """An open descriptor that holds the folder's lock, which goes with its process. Raises StateConflict."""
    building.mkdir(parents=True, exist_ok=True)
    handle = os.open(building / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise StateConflict(
            f"Release {release.name} {release.version} is being built in {building} by another process; wait for it"
        ) from None
    return handle


def _build(
    studio: StudioRecords,
    release: Release,
    plan: ExportPlan,
    folder: Path,
    reviewed: Reviewed | None,
    key: Path,
    workers: int | None,
    progress: Progress,
) -> BuiltRelease:
    if folder.exists():
        # Renamed by a build that died before the records had it: only then are there takes' records and no folder.
        if plan.folder.exists() or not any(plan.done.glob("*.json")):
            raise ReleaseError(f"{folder} is there, but not in the records; move it away, or name another --out")
        folder.rename(plan.folder)
    plan.folder.mkdir(exist_ok=True)
    entries = export(plan, workers=workers, progress=part(progress, 0.0, 0.8))
    progress(0.8, "hashing")
    head = ManifestHead(
        name=plan.facts.name,
        version=plan.facts.version,
        consent_day=plan.selection.day.isoformat(),
        subjects=tuple(subject.code for subject in plan.selection.subjects),
        tombstones=plan.tombstones,
        selection_sha256=reviewed.sha256 if reviewed else None,
        no_longer=plan.no_longer,
    )
    manifest = make_manifest(plan.folder, entries, head)
    changed = [entry.path for entry in manifest.files if entries[entry.path].sha256 != entry.sha256]
    if changed:
        raise ReleaseError(f"{', '.join(changed[:5])} changed on the disk while the release was built; build it again")
    progress(0.95, "manifest")
    for name in entries:
        fsync_file(plan.folder / name)
    digest = write_manifest(plan.folder, manifest)
    about = f"{manifest.name} {manifest.version}"
    signed = sign((plan.folder / MANIFEST).read_bytes(), key, RELEASE, about)
    write_new(plan.folder / f"{MANIFEST}{signed.ending}", signed.content)
    share_with_others(plan.folder)  # made to be read by others, unlike all else
    for at, _, _ in os.walk(plan.folder):
        fsync_folder(Path(at))
    # Consents may have been withdrawn while the files were written: judge once more, in the last transaction.
    moved = False
    try:
        with transaction(studio.engine) as tx:
            _still_allowed(tx, plan)
            models = [model.model_id for model in plan.selection.models if plan.options.models]
            complete_release(tx, tx.merge(release, load=False), digest, _items(plan), models)
            plan.folder.rename(folder)
            moved = True
        fsync_folder(folder.parent)
    except BaseException:
        if moved:  # renamed, but the records did not take it
            folder.rename(plan.folder)
        raise
    progress(1.0, f"{len(manifest.files)} files")
    skipped = plan.selection.skipped
    return BuiltRelease(plan.facts.name, plan.facts.version, folder, manifest, digest, skipped, signed.key)


def _items(plan: ExportPlan) -> list[ReleasedTake]:
    return [
        ReleasedTake(
            subject.subject_id,
            take.take_id,
            bool(take.photographs) and plan.options.photographs != "none",
            subject.publishable,
            subject.mosaic,
            take.label,
        )
        for subject in plan.selection.subjects
        for take in subject.takes
    ]


def _still_allowed(tx: Session, plan: ExportPlan) -> None:
    day, chosen = plan.selection.day, plan.selection.subjects
    # Whoever withdraws or narrows now waits until this is complete, and then finds it.
    models = plan.selection.models if plan.options.models else ()
    lock_participants(tx, {s.subject_id for s in chosen}.union(*(model.members for model in models)))
    may_leave = consenting_subjects(tx, ConsentScope.RESEARCH_RELEASE, day, lock=True)
    may_show = consenting_subjects(tx, ConsentScope.PUBLICATION, day, lock=True)
    masked = masked_subjects(tx, day)
    alone = withdrawn_takes(tx, {take.take_id for s in chosen for take in s.takes})
    withdrawn = [
        s.code
        for s in chosen
        if s.subject_id not in may_leave
        or (s.publishable and s.subject_id not in may_show)
        or (s.subject_id in masked and not s.mosaic)
        or any(take.take_id in alone for take in s.takes)
    ]
    if withdrawn:
        raise ConsentChanged(f"Consent of {', '.join(withdrawn)} changed while the release was built; build it again")
    gone = models_still_leave(tx, day, models)
    if gone:
        raise ConsentChanged(f"A member left face model {', '.join(gone)} while the release was built; build it again")
    if find_tombstones(tx, plan.facts.name, day) != plan.tombstones:
        raise ConsentChanged("A subject of an earlier version withdrew while the release was built; build it again")


def _nothing(selection: Selection) -> str:
    lines = ["Nothing may leave: no subject has both a valid consent and a processed take."]
    lines += [f"  {skipped.subject} {skipped.take}  {skipped.why}" for skipped in selection.skipped[:20]]
    if not selection.skipped:
        lines.append("  No closed session has an accepted take; see: mien session show")
    return "\n".join(lines)


def as_report(built: BuiltRelease) -> dict[str, object]:
    """A built release for --json."""
    return {
        "name": built.name,
        "version": built.version,
        "folder": str(built.folder),
        "manifest_sha256": built.manifest_sha256,
        "signed_with": built.key.text,
        "files": len(built.manifest.files),
        "bytes": built.manifest.bytes,
        "subjects": list(built.manifest.subjects),
        "skipped": [asdict(skipped) for skipped in built.skipped],
    }
