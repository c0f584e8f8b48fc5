"""Releases in the records: begun, completed with the manifest's hash, or failed. Complete ones never change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db import audit
from db.engine import changed, utc_now
from db.errors import NotFound, StateConflict
from db.models import Release, ReleaseItem, ReleaseState, Subject


@dataclass(frozen=True)
class ReleasedTake:
    """A take that leaves the studio."""

    subject_id: int
    take_id: int
    photographs: bool
    publishable: bool


def begin_release(
    tx: Session, name: str, *, schema_version: int, consent_day: date, criteria: Mapping[str, Any]
) -> Release:
    """The next version of a release, building. Raises StateConflict while another build of this name is under way."""
    building = tx.scalar(select(Release).where(Release.name == name, Release.state == ReleaseState.BUILDING))
    if building is not None:
        raise _under_way(building)
    last = tx.scalar(
        select(func.max(Release.version)).where(Release.name == name, Release.state == ReleaseState.COMPLETE)
    )
    release = Release(
        name=name,
        version=(last or 0) + 1,
        state=ReleaseState.BUILDING,
        schema_version=schema_version,
        consent_day=consent_day,
        criteria=dict(criteria),
        started_at=utc_now(),
    )
    try:
        with tx.begin_nested():
            tx.add(release)
    except IntegrityError as error:
        raise _under_way(release) from error
    audit.record(tx, "release.begin", "release", f"{name} {release.version}", criteria)
    return release


def complete_release(tx: Session, release: Release, manifest_sha256: str, takes: Sequence[ReleasedTake]) -> None:
    """building -> complete, with the manifest's hash and what left. Raises StateConflict."""
    values = {"state": ReleaseState.COMPLETE, "manifest_sha256": manifest_sha256, "finished_at": utc_now()}
    _end(tx, release, values)
    if takes:
        tx.execute(insert(ReleaseItem), [{"release_id": release.id, **asdict(take)} for take in takes])
    about = f"{release.name} {release.version}"
    audit.record(tx, "release.complete", "release", about, {"manifest_sha256": manifest_sha256, "takes": len(takes)})


def fail_release(tx: Session, release: Release, problem: str) -> None:
    """building -> failed; its version number becomes free. Raises StateConflict."""
    _end(tx, release, {"state": ReleaseState.FAILED, "problem": problem[:1000], "finished_at": utc_now()})
    audit.record(tx, "release.fail", "release", f"{release.name} {release.version}")


def abandon_builds(tx: Session, name: str) -> int:
    """Mark builds of this name that never ended as failed (their process died); how many there were."""
    dead = (Release.name == name, Release.state == ReleaseState.BUILDING)
    values = {"state": ReleaseState.FAILED, "problem": "abandoned", "finished_at": utc_now()}
    return changed(tx, update(Release).where(*dead).values(values))


def get_release(tx: Session, name: str, version: int | None = None) -> Release:
    """A complete release; the newest version by default. Raises NotFound."""
    query = select(Release).where(Release.name == name, Release.state == ReleaseState.COMPLETE)
    if version is not None:
        query = query.where(Release.version == version)
    release = tx.scalar(query.order_by(Release.version.desc()).limit(1))
    if release is None:
        wanted = name if version is None else f"{name} version {version}"
        raise NotFound(f"No complete release {wanted}; see: mien release show")
    return release


def list_releases(tx: Session) -> list[Release]:
    """All releases, also failed ones, oldest first."""
    return list(tx.scalars(select(Release).order_by(Release.id)))


def releases_of_subject(tx: Session, subject: Subject) -> list[Release]:
    """Complete releases that contain takes of this subject: where a withdrawal must be told."""
    contained = select(ReleaseItem.release_id).where(ReleaseItem.subject_id == subject.id)
    query = select(Release).where(Release.id.in_(contained), Release.state == ReleaseState.COMPLETE)
    return list(tx.scalars(query.order_by(Release.id)))


def subjects_of_release(tx: Session, release: Release) -> list[str]:
    """Codes of the subjects in a release, in order."""
    contained = select(ReleaseItem.subject_id).where(ReleaseItem.release_id == release.id)
    return list(tx.scalars(select(Subject.code).where(Subject.id.in_(contained)).order_by(Subject.id)))


def _end(tx: Session, release: Release, values: Mapping[str, Any]) -> None:
    guard = (Release.id == release.id, Release.state == ReleaseState.BUILDING)
    won = changed(tx, update(Release).where(*guard).values(values)) == 1
    tx.refresh(release)
    if not won:
        raise StateConflict(f"Release {release.name} {release.version} is {release.state}; it cannot change any more")


def _under_way(release: Release) -> StateConflict:
    return StateConflict(
        f"Release {release.name} {release.version} is being built since {release.started_at:%Y-%m-%d %H:%M} UTC; "
        "wait for it, or if that build died: mien release build --abandon"
    )
