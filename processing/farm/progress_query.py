"""How the jobs stand, in counts that a daemon can decide by."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from db.jobs import count_ready
from db.models import JobState
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
        ready, later = count_ready(tx)
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
