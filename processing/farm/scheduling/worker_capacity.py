"""Who has room for what: workers with their slots, memory and graphics processors, and what they hold now."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from processing.stages.base import Resources, Stage


@dataclass(frozen=True)
class WorkerCapacity:
    """What a worker takes at a time."""

    name: str  # its address; empty: this machine's own workers, which share it
    slots: int  # runs at a time
    ram_gb: float  # for all of them
    gpus: int = 0  # runs at a time that may use a graphics processor
    label: str = ""  # what people call it


class CapacityTracker:
    """What the workers of a farm have, and what they hold now. Not for more than one thread."""

    def __init__(self, stages: Mapping[str, Stage], device: str) -> None:
        self._stages = stages
        self._gpu = device != "cpu"
        self._workers: dict[str, WorkerCapacity] = {}
        self._held: dict[str, tuple[str, Resources]] = {}  # job's key -> worker, needs
        self._shut: dict[str, float] = {}
        self._doubted: set[str] = set()
        self._refused: set[tuple[str, str]] = set()

    def update(self, workers: Sequence[WorkerCapacity]) -> None:
        """These are all there are now; what is known of others is forgotten: a worker that is mended starts anew."""
        self._workers = {worker.name: worker for worker in workers}
        self._shut = {name: until for name, until in self._shut.items() if name in self._workers}
        self._refused = {(name, stage) for name, stage in self._refused if name in self._workers}
        self._doubted &= self._workers.keys()

    def choice(self, nothing: Collection[frozenset[str]] = ()) -> tuple[WorkerCapacity, dict[str, int]] | None:
        """The worker with the most free slots, and the stages (with their versions) that it has room for.

        nothing: sets of stages of which no run is to be had; workers that could take no other are passed over.
        """
        now = time.monotonic()
        found: tuple[int, WorkerCapacity, dict[str, int]] | None = None
        for worker in self._workers.values():
            held = sum(name == worker.name for name, _ in self._held.values())
            free = (1 if worker.name in self._doubted else worker.slots) - held
            if free <= 0 or self._shut.get(worker.name, 0.0) > now or (found is not None and found[0] >= free):
                continue
            fitting = self._fitting(worker)
            if fitting and not any(fitting.keys() <= known for known in nothing):
                found = free, worker, fitting
        return None if found is None else found[1:]

    def worker(self, name: str) -> WorkerCapacity:
        return self._workers[name]

    def needs(self, stage: str, worker: WorkerCapacity) -> Resources:
        """What a run of this stage takes of this worker: never more memory than there is, or it could run nowhere."""
        wanted = self._stages[stage].resources
        return Resources(min(wanted.ram_gb, worker.ram_gb), wanted.gpu and self._gpu)

    def take(self, key: str, stage: str, worker: WorkerCapacity) -> None:
        self._held[key] = worker.name, self.needs(stage, worker)

    def label_of(self, key: str) -> str:
        """What people call the worker that this run is on; its address where it has left."""
        name = self._held[key][0] if key in self._held else ""
        worker = self._workers.get(name)
        return (worker.label if worker else "") or name

    def leave(self, key: str) -> str | None:
        """The worker that this run was on; None when it was on none."""
        return self._held.pop(key, (None, None))[0]

    def held_in(self, names: Collection[str]) -> list[str]:
        """The keys of the runs on these workers."""
        return [key for key, (name, _) in self._held.items() if name in names]

    def shut(self, name: str, seconds: float) -> None:
        """Give this worker nothing for a while, and then one run at a time until it is trusted."""
        self._shut[name] = time.monotonic() + seconds
        self._doubted.add(name)

    def trust(self, name: str) -> None:
        """A run has ended there by itself, well or not."""
        self._doubted.discard(name)

    def refuse(self, name: str, stage: str) -> None:
        """Give this worker no more runs of this stage: it has another version of it."""
        self._refused.add((name, stage))

    @property
    def all_shut(self) -> bool:
        """Whether there are workers, and none of them takes anything for now."""
        now = time.monotonic()
        return bool(self._workers) and all(self._shut.get(name, 0.0) > now for name in self._workers)

    def _fitting(self, worker: WorkerCapacity) -> dict[str, int]:
        """Stages whose memory and graphics processor are free; every one when nothing runs there, lest a large one
        never gets in."""
        used = [needs for name, needs in self._held.values() if name == worker.name]
        ram = sum(needs.ram_gb for needs in used)
        gpus = sum(needs.gpu for needs in used)
        fitting = {}
        for name, stage in self._stages.items():
            needs = self.needs(name, worker)
            fits = not used or ram + needs.ram_gb <= worker.ram_gb
            if fits and gpus + needs.gpu <= worker.gpus and (worker.name, name) not in self._refused:
                fitting[name] = stage.version
        return fitting
