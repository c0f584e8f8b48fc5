"""How the jobs stand, in counts that a daemon and a page can go by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import CaptureSession, Job, JobState, ProtocolExpression, Subject, Take
from db.stage_runs.farm_status import farm_status
from db.stage_runs.job_queue import count_ready, count_set_aside, db_now

COUNTS = ("done", "running", "ready", "later", "blocked", "failed", "parked", "stopped", "total")


@dataclass(frozen=True)
class JobCounts:
    """All jobs by what they wait for, or how they ended."""

    done: int = 0
    running: int = 0
    ready: int = 0  # queued with every input made
    later: int = 0  # the same, waiting for its back-off to end
    blocked: int = 0  # queued behind others
    failed: int = 0  # the input is at fault
    parked: int = 0  # out of attempts
    stopped: int = 0  # withdrawn, or replaced by a later take
    stages: Mapping[str, Mapping[JobState, int]] = field(default_factory=dict)  # stage -> state -> jobs
    workers: tuple[tuple[str, str, str], ...] = ()  # worker, stage, key

    @property
    def total(self) -> int:
        waiting = self.ready + self.later + self.blocked
        return self.done + self.running + waiting + self.failed + self.parked + self.stopped

    @property
    def troubled(self) -> bool:
        return self.failed + self.parked > 0


def count_jobs(tx: Session) -> JobCounts:
    """Counts of all jobs."""
    status = farm_status(tx)
    queued = status.total(JobState.QUEUED)
    ready = later = 0
    if queued:
        ready, later = count_ready(tx)
    parked = status.total(JobState.PARKED)
    stopped = count_set_aside(tx) if parked else 0
    return JobCounts(
        done=status.total(JobState.DONE),
        running=status.total(JobState.LEASED),
        ready=ready,
        later=later,
        blocked=queued - ready - later,
        failed=status.total(JobState.FAILED),
        parked=parked - stopped,
        stopped=stopped,
        stages=status.counts,
        workers=status.running,
    )


def counts(jobs: JobCounts) -> dict[str, int]:
    """The numbers by name, as JSON has them."""
    return {name: int(getattr(jobs, name)) for name in COUNTS}


def running_runs(tx: Session) -> list[dict[str, Any]]:
    """What is leased: who has it, whose it is, since when, and for how long its daemon has been silent."""
    whose = Subject.__table__.alias("whose")
    query = (
        select(Job, func.coalesce(Subject.code, whose.c.code), ProtocolExpression)
        .outerjoin(Take, Take.id == Job.take_id)
        .outerjoin(CaptureSession, CaptureSession.id == Take.session_id)
        .outerjoin(Subject, Subject.id == CaptureSession.subject_id)
        .outerjoin(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .outerjoin(whose, whose.c.id == Job.subject_id)
        .where(Job.state == JobState.LEASED)
        .order_by(Job.started_at, Job.id)
    )
    now = db_now(tx)
    return [
        {
            "key": job.key, "stage": job.stage,
            "label": f"{subject} {expression.label}" if expression else subject or "",
            "worker": job.worker or "", "attempt": job.attempts,
            "seconds": round((now - (job.started_at or now)).total_seconds(), 1),
            "silent_s": round((now - (job.heartbeat_at or now)).total_seconds(), 1),
        }
        for job, subject, expression in tx.execute(query)
    ]  # fmt: skip
