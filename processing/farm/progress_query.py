"""How the jobs stand, in counts that a daemon can decide by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from db.jobs import db_now
from db.models import Job, JobInput, JobState
from db.queries import farm_status


@dataclass(frozen=True)
class Standing:
    """ready: queued with every input made; later: the same, waiting for its back-off to end; blocked: queued behind
    others. failed: the input is at fault; parked: out of attempts."""

    done: int = 0
    running: int = 0
    ready: int = 0
    later: int = 0
    blocked: int = 0
    failed: int = 0
    parked: int = 0
    stages: Mapping[str, Mapping[JobState, int]] = field(default_factory=dict)
    workers: tuple[tuple[str, str, str], ...] = ()  # worker, stage, key

    @property
    def total(self) -> int:
        return self.done + self.running + self.ready + self.later + self.blocked + self.failed + self.parked

    @property
    def troubled(self) -> bool:
        return self.failed + self.parked > 0


def standing(tx: Session) -> Standing:
    """Counts of all jobs."""
    status = farm_status(tx)
    queued = status.total(JobState.QUEUED)
    ready = later = 0
    if queued:
        ready, later = _ready(tx, db_now(tx))
    return Standing(
        done=status.total(JobState.DONE),
        running=status.total(JobState.LEASED),
        ready=ready,
        later=later,
        blocked=queued - ready - later,
        failed=status.total(JobState.FAILED),
        parked=status.total(JobState.PARKED),
        stages=status.counts,
        workers=status.running,
    )


def _ready(tx: Session, now: datetime) -> tuple[int, int]:
    maker = aliased(Job)
    waiting = exists().where(JobInput.job_id == Job.id, maker.id == JobInput.from_job_id, maker.state != JobState.DONE)
    queued = select(func.count()).select_from(Job).where(Job.state == JobState.QUEUED, ~waiting)
    due = or_(Job.not_before.is_(None), Job.not_before <= now)
    ready = tx.scalar(queued.where(due)) or 0
    return ready, (tx.scalar(queued) or 0) - ready
