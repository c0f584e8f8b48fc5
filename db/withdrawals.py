"""What a withdrawal does beside closing consents: pending work stops, and what was released is marked.

A subject has withdrawn when it gave consents and none of them is open. That is judged from the consents themselves, so
a new consent makes it a participant again; its work waits for `mien farm retry`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.capture_consent import consents, today
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
)

STOPPED = "the subject withdrew its consent"


@dataclass(frozen=True)
class Withdrawal:
    """What a withdrawal changed. stopped: stage runs that will not be made; released: releases that have the subject
    under what it withdrew, as in 'faces 2'."""

    closed: tuple[ConsentScope, ...]
    stopped: int = 0
    released: tuple[str, ...] = ()


def withdrew(subject_id: InstrumentedAttribute[int] | InstrumentedAttribute[int | None]) -> ColumnElement[bool]:
    """Condition: the subject of this column gave consents, and none of them is open."""
    given = exists().where(Consent.subject_id == subject_id)
    return given & ~given.where(Consent.withdrawn_at.is_(None))


def stopped() -> ColumnElement[bool]:
    """Condition on Job: its subject withdrew, and it serves no take of anybody who did not."""
    return withdrew(Job.subject_id) & ~_serves_a_participant()


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


def mark_released(tx: Session, subject: Subject, scopes: Sequence[ConsentScope], when: datetime) -> tuple[str, ...]:
    """Mark what left under these scopes in complete releases, and name those releases."""
    left = [ReleaseItem.subject_id == subject.id]
    if ConsentScope.RESEARCH_RELEASE not in scopes:
        left.append(or_(ReleaseItem.photographs, ReleaseItem.publishable))
    complete = select(Release.id).where(Release.state == ReleaseState.COMPLETE)
    unmarked = update(ReleaseItem).where(
        *left, ReleaseItem.withdrawn_at.is_(None), ReleaseItem.release_id.in_(complete)
    )
    changed(tx, unmarked.values(withdrawn_at=when))
    query = (
        select(Release.name, Release.version)
        .where(Release.id.in_(select(ReleaseItem.release_id).where(*left)), Release.state == ReleaseState.COMPLETE)
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
