"""Workers whose machine is at fault, while a daemon works: told once, and taken back when they run things again."""

from collections import Counter

from db.stage_runs.job_queue import worker_aside
from processing.farm.farm_listener import FarmListener
from processing.farm.scheduling.tasks import TaskOutcome

COUNTED = (TaskOutcome.INPUT, TaskOutcome.ATTEMPT)  # outcomes of an attempt that counts
FORGIVEN = 2  # times that a run may meet a full disk or a lack of memory before that counts as its own fault


class WorkersAside:
    """Whom this daemon has set aside, and why; how often runs met a machine that failed them in the middle."""

    def __init__(self, listener: FarmListener) -> None:
        self._listener = listener
        self._reasons: dict[str, str] = {}
        self._met: Counter[str] = Counter()

    def put(self, worker: str, reason: str) -> None:
        """This worker gets nothing for now."""
        known = self._reasons.get(worker) == reason
        self._reasons[worker] = reason
        if not known:
            self._listener.warned(f"{worker_aside(worker, reason)}. Its runs wait for another, or for it")

    def take_back(self, worker: str) -> None:
        """A run has ended there by itself."""
        if self._reasons.pop(worker, None) is not None:
            self._listener.warned(f"worker {worker} runs things again")

    @property
    def told(self) -> str:
        """All of them, in a line; empty when there are none."""
        return "; ".join(worker_aside(name, reason) for name, reason in self._reasons.items())

    def failed(self, key: str, outcome: TaskOutcome) -> None:
        """A run has met a machine at fault."""
        self._met[key] += outcome in (TaskOutcome.MACHINE, TaskOutcome.DISK_FULL)

    def forgives(self, key: str, outcome: TaskOutcome) -> bool:
        """Whether a run that ended so is not to blame: one that meets full disks again and again fills them itself."""
        if outcome in (TaskOutcome.MACHINE, TaskOutcome.DISK_FULL):
            return self._met[key] < FORGIVEN
        return outcome not in COUNTED
