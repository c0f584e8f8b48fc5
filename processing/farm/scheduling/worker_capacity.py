"""Who has room for what: workers with their slots, memory and graphics processors, and what they hold now."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from processing.stages.base import Resources, Stage


@dataclass(frozen=True)
class WorkerCapacity:
    """What a worker takes at a time. name: its address; empty: this machine's own workers, which share it."""

    name: str
    slots: int
    ram_gb: float
    gpus: int = 0


class CapacityTracker:
    """The rooms of a farm. Not for more than one thread."""

    def __init__(self, stages: Mapping[str, Stage], device: str) -> None:
        self._stages = stages
        self._gpu = device != "cpu"
        self._rooms: dict[str, WorkerCapacity] = {}
        self._held: dict[str, tuple[str, Resources]] = {}  # job's key -> room, needs
        self._shut: dict[str, float] = {}
        self._refused: set[tuple[str, str]] = set()

    def update(self, rooms: Sequence[WorkerCapacity]) -> None:
        """These are all there are now; what is known of others is forgotten: a worker that is mended starts anew."""
        self._rooms = {room.name: room for room in rooms}
        self._shut = {name: until for name, until in self._shut.items() if name in self._rooms}
        self._refused = {(name, stage) for name, stage in self._refused if name in self._rooms}

    def choice(self, nothing: Collection[frozenset[str]] = ()) -> tuple[WorkerCapacity, dict[str, int]] | None:
        """The room with the most free slots, and the stages (with their versions) that it has room for.

        nothing: sets of stages of which no run is to be had; rooms that could take no other are passed over.
        """
        now = time.monotonic()
        found: tuple[int, WorkerCapacity, dict[str, int]] | None = None
        for room in self._rooms.values():
            free = room.slots - sum(name == room.name for name, _ in self._held.values())
            if free <= 0 or self._shut.get(room.name, 0.0) > now or (found is not None and found[0] >= free):
                continue
            fitting = self._fitting(room)
            if fitting and not any(fitting.keys() <= known for known in nothing):
                found = free, room, fitting
        return None if found is None else found[1:]

    def room(self, name: str) -> WorkerCapacity:
        return self._rooms[name]

    def needs(self, stage: str, room: WorkerCapacity) -> Resources:
        """What a run of this stage takes of this room: never more memory than there is, or it could run nowhere."""
        wanted = self._stages[stage].resources
        return Resources(min(wanted.ram_gb, room.ram_gb), wanted.gpu and self._gpu)

    def take(self, key: str, stage: str, room: WorkerCapacity) -> None:
        self._held[key] = room.name, self.needs(stage, room)

    def leave(self, key: str) -> str | None:
        """The room that this run was in; None when it was in none."""
        return self._held.pop(key, (None, None))[0]

    def held_in(self, names: Collection[str]) -> list[str]:
        """The keys of the runs in these rooms."""
        return [key for key, (name, _) in self._held.items() if name in names]

    def shut(self, name: str, seconds: float) -> None:
        """Give this room nothing for a while."""
        self._shut[name] = time.monotonic() + seconds

    def refuse(self, name: str, stage: str) -> None:
        """Give this room no more runs of this stage: it has another version of it."""
        self._refused.add((name, stage))

    @property
    def all_shut(self) -> bool:
        """Whether there are rooms, and none of them takes anything for now."""
        now = time.monotonic()
        return bool(self._rooms) and all(self._shut.get(name, 0.0) > now for name in self._rooms)

    def _fitting(self, room: WorkerCapacity) -> dict[str, int]:
        """Stages whose memory and graphics processor are free; every one when nothing runs there, lest a large one
        never gets in."""
        used = [needs for name, needs in self._held.values() if name == room.name]
        ram = sum(needs.ram_gb for needs in used)
        gpus = sum(needs.gpu for needs in used)
        fitting = {}
        for name, stage in self._stages.items():
            needs = self.needs(name, room)
            fits = not used or ram + needs.ram_gb <= room.ram_gb
            if fits and gpus + needs.gpu <= room.gpus and (room.name, name) not in self._refused:
                fitting[name] = stage.version
        return fitting
