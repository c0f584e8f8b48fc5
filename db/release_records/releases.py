"""Releases in the records: begun, completed with the manifest's hash, or failed. Complete ones never change."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import String, case, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.audit.number_floors import versions_given
from db.consents.withdrawals import take_withdrawn
from db.engine import changed, utc_now
from db.errors import ConsentError, NotFound, StateConflict
from db.models import (
    Artefact,
    Calibration,
    CaptureSession,
    Consent,
    Job,
    ProtocolExpression,
    Release,
    ReleaseItem,
    ReleaseState,
    Rig,
    RunReview,
    SessionState,
    Subject,
    Take,
    TakeState,
)
from db.release_records.released_models import record_released_models


@dataclass(frozen=True)
class ReleasedTake:
    """A take that leaves the studio."""

    #: Whose it is.
    subject_id: int
    #: Its row.
    take_id: int
    #: Whether its photographs leave as well.
    photographs: bool
    #: Whether pictures of the subject may be shown.
    publishable: bool
    #: Whether the eyes are covered in all its pictures.
    mosaicked: bool = False
    #: Of its files, '2_smile'.
    label: str | None = None


@dataclass(frozen=True)
class ReleasedRun:
    """The stage run that made a file: all that determines it, what it said of its result, and its files by output."""

    #: Its name.
    stage: str
    #: Of the stage.
    version: int
    #: As the stage was given them.
    params: Mapping[str, Any]
    #: Equal key, equal result.
    key: str
    outputs: Mapping[str, str]  # output -> SHA-256
    #: Of its review; None where nobody judges it.
    verdict: str | None = None
    #: Of the verdict.
    reasons: tuple[str, ...] = ()
    #: On which the verdict rests.
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReleasedCapture:
    """How a take was photographed. Milliseconds; None: not measured."""

    #: The session's code.
    session: str
    #: The rig's row.
    rig_id: int
    #: Its name.
    rig: str
    #: The calibration that counts for the take; None: there is none.
    calibration_id: int | None
    #: Of the rig's calibrations.
    calibration_version: int | None
    #: As in "board".
    calibration_method: str | None
    #: The calibration itself: params.json with what its method adds.
    calibration: Mapping[str, Any]
    #: Name of the settings of cameras and lights.
    profile: str
    #: Between the first and the last command.
    command_skew_ms: float | None
    #: Of the cameras' clocks.
    clock_uncertainty_ms: float | None
    #: Between the first and the last exposure.
    exposure_skew_ms: float | None
    #: How that was measured.
    exposure_source: str


@dataclass(frozen=True)
class GivenConsent:
    """A consent as it was given."""

    #: When; None: it was recorded without a date.
    day: date | None
    #: Which text was signed.
    form_version: str | None = None
    #: The signed form's hash.
    document_sha256: str | None = None


@dataclass(frozen=True)
class EarlierTake:
    """A take in a complete version of a release."""

    #: Of the release.
    version: int
    #: Whose it is.
    subject_id: int
    #: The subject's.
    code: str
    #: Its row.
    take_id: int
    #: Of its files, '2_smile'.
    label: str
    #: Whether that version has its photographs.
    photographs: bool
    #: Whether the eyes are covered there.
    mosaicked: bool


@dataclass(frozen=True)
class EarlierSubject:
    """A subject in complete versions of a release."""

    #: Its row.
    subject_id: int
    #: As in S012.
    code: str
    #: The newest that has it.
    last_version: int
    #: The newest that has its photographs; None: none does.
    last_shown: int | None


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
        version=max(last or 0, versions_given(tx, name)) + 1,
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
    audit_log.record(tx, "release.begin", "release", f"{name} {release.version}", criteria)
    return release


def complete_release(
    tx: Session,
    release: Release,
    manifest_sha256: str,
    takes: Sequence[ReleasedTake],
    models: Collection[int] = (),
) -> None:
    """building -> complete, with the manifest's hash and what left. models: ids. Raises StateConflict."""
    values = {"state": ReleaseState.COMPLETE, "manifest_sha256": manifest_sha256, "finished_at": utc_now()}
    _end(tx, release, values)
    if takes:
        tx.execute(insert(ReleaseItem), [{"release_id": release.id, **asdict(take)} for take in takes])
        _refuse_withdrawn(tx, release)
    record_released_models(tx, release, models)
    said = {"manifest_sha256": manifest_sha256, "takes": len(takes), "models": len(models)}
    audit_log.record(tx, "release.complete", "release", f"{release.name} {release.version}", said)


def fail_release(tx: Session, release: Release, problem: str) -> None:
    """building -> failed; its version number becomes free. Raises StateConflict."""
    _end(tx, release, {"state": ReleaseState.FAILED, "problem": problem[:1000], "finished_at": utc_now()})
    audit_log.record(tx, "release.fail", "release", f"{release.name} {release.version}")


def abandon_builds(tx: Session, name: str) -> int:
    """Mark builds of this name that never ended as failed (their process died); how many there were."""
    dead = (Release.name == name, Release.state == ReleaseState.BUILDING)
    values = {"state": ReleaseState.FAILED, "problem": "abandoned", "finished_at": utc_now()}
    return changed(tx, update(Release).where(*dead).values(values))


def building_release(tx: Session, name: str) -> Release | None:
    """The build of this name that is under way, or died without a word."""
    return tx.scalar(select(Release).where(Release.name == name, Release.state == ReleaseState.BUILDING))


def runs_of(tx: Session, job_ids: Collection[int]) -> dict[int, ReleasedRun]:
    """Stage runs, by their jobs."""
    ids = list(job_ids)
    files: dict[int, dict[str, str]] = {job: {} for job in ids}
    made = select(Artefact.job_id, Artefact.output, Artefact.sha256).where(Artefact.job_id.in_(ids))
    for job_id, output, sha256 in tx.execute(made.order_by(Artefact.id)):
        files[job_id][output] = sha256
    found: dict[int, ReleasedRun] = {}
    query = select(Job, RunReview).outerjoin(RunReview, RunReview.job_id == Job.id).where(Job.id.in_(ids))
    for job, review in tx.execute(query):
        said = (str(review.verdict), tuple(review.reasons.splitlines()), review.figures) if review else (None, (), {})
        found[job.id] = ReleasedRun(job.stage, job.version, job.params, job.key, files[job.id], *said)
    return found


def captures_of(tx: Session, take_ids: Collection[int]) -> dict[int, ReleasedCapture]:
    """take -> how it was photographed, with the calibration that counts for it."""
    counts = func.coalesce(Take.calibration_id, CaptureSession.calibration_id)
    query = (
        select(Take, CaptureSession.code, Rig.id, Rig.name, counts)
        .join(CaptureSession, Take.session_id == CaptureSession.id)
        .join(Rig, CaptureSession.rig_id == Rig.id)
        .where(Take.id.in_(list(take_ids)))
    )
    rows = tx.execute(query).all()
    wanted = {row[4] for row in rows if row[4] is not None}
    calibrations = {one.id: one for one in tx.scalars(select(Calibration).where(Calibration.id.in_(wanted)))}
    found = {}
    for take, session, rig_id, rig, number in rows:
        calibration = calibrations.get(number)
        found[take.id] = ReleasedCapture(
            session=session,
            rig_id=rig_id,
            rig=rig,
            calibration_id=calibration.id if calibration else None,
            calibration_version=calibration.version if calibration else None,
            calibration_method=calibration.method if calibration else None,
            calibration=calibration.data if calibration else {},
            profile=take.profile,
            command_skew_ms=take.command_skew_ms,
            clock_uncertainty_ms=take.clock_uncertainty_ms,
            exposure_skew_ms=take.exposure_skew_ms,
            exposure_source=str(take.exposure_source),
        )
    return found


def open_consents(tx: Session, subject_ids: Collection[int]) -> dict[int, dict[str, GivenConsent]]:
    """What these subjects consent to and did not withdraw: subject -> scope -> consent."""
    query = select(Consent).where(Consent.withdrawn_at.is_(None)).order_by(Consent.id)
    found: dict[int, dict[str, GivenConsent]] = {}
    for row in tx.scalars(query):
        if row.subject_id in subject_ids:
            given = GivenConsent(row.given_on, row.form_version, row.document_sha256)
            found.setdefault(row.subject_id, {})[str(row.scope)] = given
    return found


def accepted_counts(tx: Session) -> dict[str, tuple[int, int]]:
    """code -> how many takes of a subject are accepted, and how many of these lie in sessions that are not closed."""
    unclosed = func.sum(case((CaptureSession.state != SessionState.CLOSED, 1), else_=0))
    query = (
        select(Subject.code, func.count(), unclosed)
        .join(CaptureSession, CaptureSession.subject_id == Subject.id)
        .join(Take, Take.session_id == CaptureSession.id)
        .where(Take.state == TakeState.ACCEPTED)
        .group_by(Subject.id, Subject.code)
        .order_by(Subject.id)
    )
    return {code: (accepted, int(waiting)) for code, accepted, waiting in tx.execute(query)}


def released_before(tx: Session, name: str) -> list[EarlierSubject]:
    """Subjects in complete versions of this release, in order of code row."""
    shown = func.max(case((ReleaseItem.photographs, Release.version)))
    query = (
        select(Subject.id, Subject.code, func.max(Release.version), shown)
        .join(ReleaseItem, ReleaseItem.subject_id == Subject.id)
        .join(Release, Release.id == ReleaseItem.release_id)
        .where(Release.name == name, Release.state == ReleaseState.COMPLETE)
        .group_by(Subject.id, Subject.code)
        .order_by(Subject.id)
    )
    return [EarlierSubject(*row) for row in tx.execute(query)]


def takes_released_before(
    tx: Session, name: str, *, subjects: Collection[int] | None = None, takes: Collection[int] = ()
) -> list[EarlierTake]:
    """Every take in every complete version of this release, by subject, version and place in it.

    subjects: of these alone, and of those with one of `takes`.
    """
    now = ProtocolExpression.position.cast(String) + "_" + ProtocolExpression.name
    query = (
        select(
            Release.version,
            Subject.id,
            Subject.code,
            ReleaseItem.take_id,
            func.coalesce(ReleaseItem.label, now),
            ReleaseItem.photographs,
            ReleaseItem.mosaicked,
        )
        .join(Release, Release.id == ReleaseItem.release_id)
        .join(Subject, Subject.id == ReleaseItem.subject_id)
        .join(Take, Take.id == ReleaseItem.take_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(Release.name == name, Release.state == ReleaseState.COMPLETE)
        .order_by(Subject.id, Release.version, ReleaseItem.id)
    )
    if subjects is not None:
        with_takes = select(ReleaseItem.subject_id).where(ReleaseItem.take_id.in_(list(takes)))
        query = query.where(or_(Subject.id.in_(list(subjects)), Subject.id.in_(with_takes)))
    return [EarlierTake(*row) for row in tx.execute(query)]


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


def captured_days(tx: Session, take_ids: Collection[int]) -> tuple[str, str] | None:
    """The first and the last day (UTC, ISO 8601) on which one of these takes was fired; None where none was."""
    first: datetime | None = None
    last: datetime | None = None
    ids = sorted(take_ids)
    for start in range(0, len(ids), 500):
        query = select(func.min(Take.fired_at), func.max(Take.fired_at)).where(Take.id.in_(ids[start : start + 500]))
        low, high = tx.execute(query).one()
        first = low if first is None else min(first, low or first)
        last = high if last is None else max(last, high or last)
    return None if first is None or last is None else (first.date().isoformat(), last.date().isoformat())


def releases_of_subject(tx: Session, subject: Subject) -> list[Release]:
    """Complete releases that contain takes of this subject: where a withdrawal must be told."""
    contained = select(ReleaseItem.release_id).where(ReleaseItem.subject_id == subject.id)
    query = select(Release).where(Release.id.in_(contained), Release.state == ReleaseState.COMPLETE)
    return list(tx.scalars(query.order_by(Release.id)))


def subjects_of_release(tx: Session, release: Release) -> list[str]:
    """Codes of the subjects in a release, in order."""
    contained = select(ReleaseItem.subject_id).where(ReleaseItem.release_id == release.id)
    return list(tx.scalars(select(Subject.code).where(Subject.id.in_(contained)).order_by(Subject.id)))


def _refuse_withdrawn(tx: Session, release: Release) -> None:
    """Raise ConsentError when a take of it was withdrawn; one that is withdrawn now waits for this transaction."""
    inside = select(ReleaseItem.take_id).where(ReleaseItem.release_id == release.id)
    held = select(Take.id).where(Take.id.in_(inside)).order_by(Take.id)
    tx.execute(held.with_for_update(read=True)).all()
    query = select(Take.code).where(Take.id.in_(inside), take_withdrawn(Take.id)).order_by(Take.id)
    withdrawn = list(tx.scalars(query))
    if withdrawn:
        raise ConsentError(f"Withdrawn while the release was built: {', '.join(withdrawn[:5])}; build it again")


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
