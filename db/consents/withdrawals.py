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

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.consents.capture_consent import consents, today
from db.engine import changed
from db.models import (
    CaptureSession,
    Consent,
    ConsentScope,
    Job,
    JobState,
    JobTake,
    Release,
    ReleaseItem,
    ReleaseState,
    Subject,
    Take,
    TakeWithdrawal,
)

STOPPED = "the subject withdrew its consent"


@dataclass(frozen=True)
class Withdrawal:
    """What a withdrawal changed."""

    closed: tuple[ConsentScope, ...]
    stopped: int = 0  # stage runs that will not be made
    released: tuple[str, ...] = ()  # releases that have the subject under what it withdrew, as in 'faces 2'


def withdrew(subject_id: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]) -> ColumnElement[bool]:
    """Condition: the subject of this column gave consents, and none of them is open."""
    given = exists().where(Consent.subject_id == subject_id)
    return given & ~given.where(Consent.withdrawn_at.is_(None))


def stopped() -> ColumnElement[bool]:
    """Condition on Job: its subject withdrew, and it serves no take of anybody who did not; or its takes were."""
    kept = exists().where(JobTake.job_id == Job.id, ~take_withdrawn(JobTake.take_id)).correlate(Job)
    return (withdrew(Job.subject_id) & ~_serves_a_participant()) | (take_withdrawn(Job.take_id) & ~kept)


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
    values = {"state": JobState.PARKED, "error": STOPPED, "lease_until": None, "not_before": None}
    return changed(tx, update(Job).where(*mine, ~_serves_a_participant()).values(values))


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
    if takes is not None:
        left.append(ReleaseItem.take_id.in_(list(takes)))
    elif ConsentScope.RESEARCH_RELEASE not in scopes:
        left.append(or_(ReleaseItem.photographs, ReleaseItem.publishable))
    return _mark(tx, left, {"withdrawn_at": func.coalesce(ReleaseItem.withdrawn_at, when)})


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
    return (
        exists()
        .where(JobTake.job_id == Job.id, Take.id == JobTake.take_id, CaptureSession.id == Take.session_id)
        .where(~withdrew(CaptureSession.subject_id))
        .correlate(Job)
    )
