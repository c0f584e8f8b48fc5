"""What stage runs said of their results, recorded with the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import utc_now
from db.models import (
    CaptureSession,
    Job,
    JobState,
    JobSubject,
    JobTake,
    ProtocolExpression,
    RunReview,
    RunVerdict,
    Subject,
    Take,
)


@dataclass(frozen=True)
class ReviewedRun:
    """A run's verdict as it is listed."""

    key: str
    stage: str
    take: str  # its code; empty for a run of a subject
    label: str  # subject and FaceScape's name, as in 'S001 2_smile'
    verdict: RunVerdict
    reasons: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)
    picture: str | None = None
    reviewed_at: datetime | None = None


def save_run_review(
    tx: Session,
    job_id: int,
    verdict: RunVerdict,
    reasons: Sequence[str],
    figures: Mapping[str, Any],
    picture: str | None = None,
) -> None:
    """Record a run's verdict; an earlier one of the same run is replaced. Call it in the run's last transaction."""
    row = tx.get(RunReview, job_id) or RunReview(job_id=job_id)
    row.verdict, row.reasons, row.figures = verdict, "\n".join(reasons), dict(figures)
    row.picture, row.reviewed_at = picture, utc_now()
    tx.add(row)


def count_verdicts(tx: Session) -> dict[RunVerdict, int]:
    """How many done runs there are of each verdict."""
    query = (
        select(RunReview.verdict, func.count())
        .join(Job, Job.id == RunReview.job_id)
        .where(Job.state == JobState.DONE)
        .group_by(RunReview.verdict)
    )
    return dict(tx.execute(query).all())


def reviewed_runs(tx: Session, *verdicts: RunVerdict, limit: int = 100) -> list[ReviewedRun]:
    """Done runs with one of these verdicts (all by default), the newest first: a row for each take served.

    A run of a subject has no take, and is labelled by the subject alone.
    """
    query = (
        select(RunReview, Job.key, Job.stage, Take.code, Subject.code, ProtocolExpression)
        .join(Job, Job.id == RunReview.job_id)
        .outerjoin(JobTake, JobTake.job_id == Job.id)
        .outerjoin(Take, Take.id == JobTake.take_id)
        .outerjoin(CaptureSession, CaptureSession.id == Take.session_id)
        .outerjoin(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .outerjoin(JobSubject, (JobSubject.job_id == Job.id) & Job.subject_id.is_not(None))
        .join(Subject, Subject.id == func.coalesce(CaptureSession.subject_id, JobSubject.subject_id))
        .where(Job.state == JobState.DONE)
        .order_by(Job.id.desc(), Take.id)
        .limit(limit)
    )
    if verdicts:
        query = query.where(RunReview.verdict.in_(verdicts))
    return [
        ReviewedRun(
            key,
            stage,
            take or "",
            f"{subject} {expression.label}" if expression else subject,
            review.verdict,
            tuple(review.reasons.splitlines()),
            review.figures,
            review.picture,
            review.reviewed_at,
        )
        for review, key, stage, take, subject, expression in tx.execute(query)
    ]
