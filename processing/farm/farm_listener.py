"""What a farm's daemon tells of itself: to whoever listens while it works, and at its end."""

from dataclasses import dataclass, field

from db.models import JobState
from db.stage_runs.job_counts import JobCounts


class FarmListener:
    """Hears what a daemon does; this one does not care. Every call comes from one of the daemon's threads."""

    def started(self, label: str, stage: str) -> None:
        """A run was handed to a worker."""

    def progressed(self, label: str, stage: str, done: float, message: str) -> None:
        """A running stage says how far it is."""

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None:
        """A run ended; `state` is what the job became."""

    def counted(self, jobs: JobCounts) -> None:
        """How all jobs stand."""

    def warned(self, message: str) -> None:
        """Something a person should know."""


@dataclass
class Summary:
    """What this daemon did, and how the jobs stand at its end."""

    done: int = 0  # runs whose results were recorded
    failed_attempts: int = 0
    planned: int = 0  # runs that were asked for
    seconds: float = 0.0
    jobs: JobCounts = field(default_factory=JobCounts)  # of the whole farm
    problems: dict[str, str] = field(default_factory=dict)  # session -> why it has no runs; "disk", "store", "workers"
