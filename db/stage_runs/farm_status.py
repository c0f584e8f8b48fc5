"""How the farm stands: its runs by stage and state, and who works on what."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Job, JobState


@dataclass(frozen=True)
class FarmStatus:
    """Counts of jobs by stage and state, and who works on what."""

    counts: Mapping[str, Mapping[JobState, int]]
    running: tuple[tuple[str, str, str], ...]  # worker, stage, key

    def total(self, state: JobState) -> int:
        """Of all stages."""
        return sum(states.get(state, 0) for states in self.counts.values())


def farm_status(tx: Session) -> FarmStatus:
    """Counts of jobs by stage and state; leased jobs with their workers."""
    counts: dict[str, dict[JobState, int]] = {}
    grouped = select(Job.stage, Job.state, func.count()).group_by(Job.stage, Job.state).order_by(Job.stage)
    for stage, state, count in tx.execute(grouped):
        counts.setdefault(stage, {})[state] = count
    running = tx.execute(
        select(func.coalesce(Job.worker, ""), Job.stage, Job.key).where(Job.state == JobState.LEASED).order_by(Job.id)
    )
    return FarmStatus(counts, tuple(running))
