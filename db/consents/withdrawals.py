"""What a withdrawal does beside closing consents: pending work stops, and what was released is marked.

A consent that is narrowed (eyes_mosaicked, after pictures with open eyes have left) is a withdrawal of what it no
longer allows, and a take can be withdrawn by itself. What holders of a release must delete is worked out from the
consents and these marks whenever somebody asks: see processing.release.studio.withdrawals.release_records.

A subject has withdrawn when it gave consents and none of them is open. That is judged from the consents themselves, so
a new consent makes it a participant again; its work waits for `mien farm retry`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.consents.capture_consent import consents, today
from db.consents.scope_consents import consenting_subjects
from db.engine import changed
from db.models import (
    CaptureSession,
    Consent,
    ConsentScope,
    FaceModel,
    FaceModelMember,
    Job,
    JobInput,
    JobState,
    JobSubject,
    JobTake,
    Learned,
    LearnedSubject,
    Leaving,
    Release,
    ReleaseItem,
    ReleaseModel,
    ReleaseState,
    Subject,
    Take,
    TakeWithdrawal,
)

STOPPED = "the subject withdrew its consent"
PARKED: Mapping[str, object] = {"state": JobState.PARKED, "error": STOPPED, "lease_until": None, "not_before": None}


@dataclass(frozen=True)
class Withdrawal:
    """What a withdrawal changed."""

    closed: tuple[ConsentScope, ...]
    stopped: int = 0  # stage runs that will not be made
    released: tuple[str, ...] = ()  # releases that have the subject under what it withdrew, as in 'faces 2'
    models: tuple[str, ...] = ()  # versions of face models that it is in, likewise
    weights: tuple[str, ...] = ()  # learned weights that were trained on it, as in 'regressor 3f2a90c1b7de'


def withdrew(subject_id: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]) -> ColumnElement[bool]:
    """Condition: the subject of this column gave consents, and none of them is open."""
    given = exists().where(Consent.subject_id == subject_id)
    return given & ~given.where(Consent.withdrawn_at.is_(None))


def stopped() -> ColumnElement[bool]:
    """Condition on Job: its subject withdrew, and it serves nobody who did not; or its takes were; or a study's member.

    A run of a subject is stopped with any take that it reads, one of a study with any member.
    """
    kept = exists().where(JobTake.job_id == Job.id, ~take_withdrawn(JobTake.take_id)).correlate(Job)
    alone = withdrew(Job.subject_id) & ~_serves_a_participant()
    return alone | (take_withdrawn(Job.take_id) & ~kept) | reads_withdrawn_take() | lacks_a_member()


def reads_withdrawn_take() -> ColumnElement[bool]:
    """Condition on Job: a run of a subject that reads what was made of a withdrawn take, and of no other take."""
    maker, other = aliased(Job), aliased(JobTake)
    kept = exists().where(other.job_id == maker.id, ~take_withdrawn(other.take_id)).correlate(maker)
    read = exists().where(
        JobInput.job_id == Job.id, maker.id == JobInput.from_job_id, take_withdrawn(maker.take_id), ~kept
    )
    return and_(Job.take_id.is_(None), Job.subject_id.is_not(None), read.correlate(Job))


def lacks_a_member() -> ColumnElement[bool]:
    """Condition on Job: a run of a study with somebody who does not consent to be part of a statistical model."""
    allows = exists().where(
        Consent.subject_id == JobSubject.subject_id,
        Consent.scope == ConsentScope.STATISTICAL_MODEL,
        Consent.withdrawn_at.is_(None),
    )
    member = exists().where(JobSubject.job_id == Job.id, ~allows).correlate(Job)
    return and_(Job.take_id.is_(None), Job.subject_id.is_(None), member)


def may_be_modelled(tx: Session) -> set[int]:
    """Ids of subjects that consent today to be part of a statistical model."""
    return consenting_subjects(tx, ConsentScope.STATISTICAL_MODEL, today())


def take_withdrawn(take_id: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]) -> ColumnElement[bool]:
    """Condition: the take of this column was withdrawn by its subject."""
    return exists().where(TakeWithdrawal.take_id == take_id)


def lock_participants(tx: Session, subject_ids: Collection[int]) -> set[int]:
    """Those of these subjects that consent today; their withdrawal waits until this transaction ends."""
    ids = sorted(subject_ids)
    if not ids:
        return set()
    # A statement of its own: what follows sees every withdrawal that this one waited for.
    tx.execute(select(Subject.id).where(Subject.id.in_(ids)).with_for_update(read=True, key_share=True))
    return set(tx.scalars(select(Subject.id).where(Subject.id.in_(ids), consents(Subject.id, today()))))


def stop_work(tx: Session, subject: Subject) -> int:
    """Park every unfinished stage run that serves only takes of subjects who withdrew; how many there were.

    A run that is being computed loses its lease, so that its result is refused.
    """
    takes = select(Take.id).join(CaptureSession).where(CaptureSession.subject_id == subject.id)
    served = exists().where(JobTake.job_id == Job.id, JobTake.take_id.in_(takes)).correlate(Job)
    mine = (Job.state != JobState.DONE, or_(Job.subject_id == subject.id, served))
    return changed(tx, update(Job).where(*mine, ~_serves_a_participant()).values(PARKED))


def stop_models(tx: Session, subject: Subject) -> int:
    """Park every unfinished run of a study that the subject is in; how many there were."""
    member = exists().where(JobSubject.job_id == Job.id, JobSubject.subject_id == subject.id).correlate(Job)
    study = (Job.state != JobState.DONE, Job.take_id.is_(None), Job.subject_id.is_(None), member)
    return changed(tx, update(Job).where(*study).values(PARKED))


def mark_released(
    tx: Session,
    subject: Subject,
    scopes: Sequence[ConsentScope],
    when: datetime,
    takes: Collection[int] | None = None,
) -> tuple[str, ...]:
    """Mark what left under these scopes in complete releases, and name those releases.

    takes: ids of takes of this subject that are withdrawn by themselves, whole, whatever the scopes; they never leave
    again (see withdrawn_takes), while a scope that is given anew lets the rest leave.
    """
    left = [ReleaseItem.subject_id == subject.id]
    if takes is None and set(scopes) == {ConsentScope.STATISTICAL_MODEL}:  # takes leave as before: see mark_models
        return ()
    if takes is not None:
        left.append(ReleaseItem.take_id.in_(list(takes)))
    elif ConsentScope.RESEARCH_RELEASE not in scopes:
        left.append(or_(ReleaseItem.photographs, ReleaseItem.publishable))
    return _mark(tx, left, {"withdrawn_at": func.coalesce(ReleaseItem.withdrawn_at, when)})


def releases_with_models(tx: Session, subject: Subject) -> tuple[str, ...]:
    """Complete releases that hold a face model which the subject is in, as in 'faces 2'."""
    inside = select(FaceModelMember.model_id).where(FaceModelMember.subject_id == subject.id)
    held = select(ReleaseModel.release_id).where(ReleaseModel.model_id.in_(inside))
    query = select(Release.name, Release.version).where(Release.id.in_(held), Release.state == ReleaseState.COMPLETE)
    return tuple(f"{name} {version}" for name, version in tx.execute(query.order_by(Release.id)))


def mark_models(
    tx: Session, subject: Subject, why: Leaving, when: datetime, jobs: Collection[int] | None = None
) -> tuple[str, ...]:
    """Mark the face models that the subject is in: they are neither shown nor released any more; as in 'faces 2'.

    jobs: those alone that these runs made.
    """
    inside = select(FaceModelMember.model_id).where(FaceModelMember.subject_id == subject.id)
    which = [FaceModel.id.in_(inside)]
    if jobs is not None:
        which.append(FaceModel.job_id.in_(sorted(jobs)))
    ids = list(tx.scalars(select(FaceModel.id).where(*which)))
    left = (FaceModelMember.model_id.in_(ids), FaceModelMember.subject_id == subject.id)
    unmarked = FaceModelMember.left_at.is_(None)
    changed(tx, update(FaceModelMember).where(*left, unmarked).values(left_at=when, why=why))
    marked = {"marked_at": func.coalesce(FaceModel.marked_at, when)}
    changed(tx, update(FaceModel).where(FaceModel.id.in_(ids)).values(marked))
    named = select(FaceModel.name, FaceModel.version).where(FaceModel.id.in_(ids)).order_by(FaceModel.id)
    return tuple(f"{name} {version}" for name, version in tx.execute(named))


def mark_weights(
    tx: Session,
    subject: Subject,
    why: Leaving,
    when: datetime,
    *,
    takes: Collection[int] | None = None,
    jobs: Collection[int] = (),
    pictured: bool = False,
) -> tuple[str, ...]:
    """Mark the learned weights that were trained on the subject: they are neither used nor released any more.

    takes: those alone of a release that has one of these takes, or of a face model that one of these jobs made.
    pictured: those alone that hold a picture of the subject. Named as in 'regressor 3f2a90c1b7de'.
    """
    inside = select(LearnedSubject.learned_id).where(LearnedSubject.subject_id == subject.id)
    if pictured:
        inside = inside.where(LearnedSubject.pictured)
    which: list[ColumnElement[bool]] = [Learned.id.in_(inside)]
    if takes is not None:
        held = select(ReleaseItem.release_id).where(ReleaseItem.take_id.in_(sorted(takes)))
        made = select(FaceModel.id).where(FaceModel.job_id.in_(sorted(jobs)))
        which.append(or_(Learned.release_id.in_(held), Learned.model_id.in_(made)))
    rows = tx.execute(select(Learned.id, Learned.kind, Learned.sha256).where(*which).order_by(Learned.id)).all()
    ids = [number for number, _, _ in rows]
    left = (LearnedSubject.learned_id.in_(ids), LearnedSubject.subject_id == subject.id)
    unmarked = LearnedSubject.left_at.is_(None)
    changed(tx, update(LearnedSubject).where(*left, unmarked).values(left_at=when, why=why))
    marked = {"marked_at": func.coalesce(Learned.marked_at, when)}
    changed(tx, update(Learned).where(Learned.id.in_(ids)).values(marked))
    return tuple(f"{kind} {sha256[:12]}" for _, kind, sha256 in rows)


def mark_narrowed(tx: Session, subject: Subject, when: datetime) -> tuple[str, ...]:
    """Mark what left with open eyes, now that they are to be mosaicked, and name the releases that show them.

    A release that completes just now has either been seen here or sees the consent: both lock the subject.
    """
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())
    marked = {"withdrawn_at": func.coalesce(ReleaseItem.withdrawn_at, when)}
    return _mark(tx, [ReleaseItem.subject_id == subject.id, ~ReleaseItem.mosaicked], marked)


def releases_that_show_eyes(tx: Session, subject: Subject) -> tuple[str, ...]:
    """Complete releases with pictures of this subject's open eyes, as in 'faces 2'."""
    return _named(tx, [ReleaseItem.subject_id == subject.id, ~ReleaseItem.mosaicked])


def withdrawn_takes(tx: Session, take_ids: Collection[int] | None = None) -> set[int]:
    """Takes, of these or of all, that were withdrawn by themselves (db.erasure.take_withdrawals):

    they never leave again.
    """
    found = set(tx.scalars(select(TakeWithdrawal.take_id)))  # few in a whole study
    return found if take_ids is None else found & set(take_ids)


def withdrawn_scopes(tx: Session) -> dict[str, dict[str, date]]:
    """code -> scope -> the last day (UTC) on which the subject withdrew it, also where it was given anew since."""
    rows = tx.execute(
        select(Subject.code, Consent.scope, Consent.withdrawn_at)
        .join(Subject, Subject.id == Consent.subject_id)
        .where(Consent.withdrawn_at.is_not(None))
        .order_by(Consent.withdrawn_at)
    )
    found: dict[str, dict[str, date]] = {}
    for code, scope, when in rows:
        assert when is not None
        found.setdefault(code, {})[str(scope)] = when.date()
    return found


def _mark(tx: Session, which: Sequence[ColumnElement[bool]], values: Mapping[str, object]) -> tuple[str, ...]:
    complete = select(Release.id).where(Release.state == ReleaseState.COMPLETE)
    changed(tx, update(ReleaseItem).where(*which, ReleaseItem.release_id.in_(complete)).values(values))
    return _named(tx, which)


def _named(tx: Session, which: Sequence[ColumnElement[bool]]) -> tuple[str, ...]:
    query = (
        select(Release.name, Release.version)
        .where(Release.id.in_(select(ReleaseItem.release_id).where(*which)), Release.state == ReleaseState.COMPLETE)
        .order_by(Release.id)
    )
    return tuple(f"{name} {version}" for name, version in tx.execute(query))


def _serves_a_participant() -> ColumnElement[bool]:
    served = (
        exists()
        .where(JobTake.job_id == Job.id, Take.id == JobTake.take_id, CaptureSession.id == Take.session_id)
        .where(~withdrew(CaptureSession.subject_id))
        .correlate(Job)
    )
    return served | exists().where(JobSubject.job_id == Job.id, ~withdrew(JobSubject.subject_id)).correlate(Job)
