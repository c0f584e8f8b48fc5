"""Who should be here and who is: expected cameras against present ones, every difference named."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["missing", "unknown", "duplicate", "swapped"]


@dataclass(frozen=True)
class Expected:
    """A camera of the rig file. Without a serial any body may stand at that place."""

    name: str
    serial: str = ""


@dataclass(frozen=True)
class Present:
    """A camera that a node has announced; `fault` says why no body answers there."""

    name: str
    serial: str
    node: str
    fault: str = ""


@dataclass(frozen=True)
class Discrepancy:
    """One difference between the rig file and the studio; `text` is for the operator."""

    kind: Kind
    camera: str
    text: str


@dataclass(frozen=True)
class Roster:
    """The comparison: cameras that may fire, and every reason why another may not."""

    expected: tuple[str, ...]
    ready: tuple[str, ...]
    discrepancies: tuple[Discrepancy, ...]

    @property
    def complete(self) -> bool:
        return not self.discrepancies

    def of_kind(self, kind: Kind) -> tuple[Discrepancy, ...]:
        return tuple(item for item in self.discrepancies if item.kind == kind)

    def describe(self) -> str:
        """A line for the whole and a line for each difference."""
        head = f"{len(self.ready)} of {len(self.expected)} cameras are ready."
        width = max((len(item.camera) for item in self.discrepancies), default=0)
        return "\n".join([head, *(f"  {item.camera:<{width}}  {item.text}" for item in self.discrepancies)])


def compare(expected: Iterable[Expected], present: Iterable[Present]) -> Roster:
    """Match by name, then check the body behind the name by its serial.

    A camera is ready when exactly one node announces it and the serial, where the rig file gives one, agrees.
    A body found under another camera's name is "swapped": both places are named, since both cables are wrong.
    """
    wanted = {camera.name: camera for camera in expected}
    by_name: dict[str, list[Present]] = defaultdict(list)
    for camera in present:
        by_name[camera.name].append(camera)
    home_of = {camera.serial: camera.name for camera in wanted.values() if camera.serial}

    found: list[Discrepancy] = []
    ready: list[str] = []
    for name, want in wanted.items():
        bodies = by_name.get(name, [])
        if not bodies:
            found.append(Discrepancy("missing", name, "no node announces it: check its power, cable and node"))
        elif len(bodies) > 1:
            nodes = ", ".join(sorted(body.node for body in bodies))
            found.append(Discrepancy("duplicate", name, f"announced by {len(bodies)} nodes: {nodes}"))
        elif bodies[0].fault:
            found.append(
                Discrepancy("missing", name, f"{bodies[0].node} is here, its camera is not: {bodies[0].fault}")
            )
        elif want.serial and bodies[0].serial != want.serial:
            belongs = home_of.get(bodies[0].serial)
            if belongs is not None:
                found.append(Discrepancy("swapped", name, f"the body here ({bodies[0].serial}) belongs to {belongs}"))
            else:
                text = f"body {bodies[0].serial or 'without serial'} instead of {want.serial}"
                found.append(Discrepancy("unknown", name, text))
        else:
            ready.append(name)
    for name in sorted(by_name.keys() - wanted.keys()):
        nodes = ", ".join(sorted(body.node for body in by_name[name]))
        found.append(Discrepancy("unknown", name, f"not in the rig file; announced by {nodes}"))
    found += _shared_bodies(wanted, by_name)
    shared = {item.camera for item in found}
    kept = tuple(name for name in ready if name not in shared)
    return Roster(tuple(wanted), kept, tuple(found))


def _shared_bodies(wanted: dict[str, Expected], by_name: dict[str, list[Present]]) -> list[Discrepancy]:
    """Two names over one body. Virtual cameras all say 0.1, so this counts only where the rig file gives serials."""
    names: dict[str, list[str]] = defaultdict(list)
    for name, bodies in by_name.items():
        if len(bodies) == 1 and name in wanted and wanted[name].serial and bodies[0].serial == wanted[name].serial:
            names[bodies[0].serial].append(name)
    return [
        Discrepancy("duplicate", name, f"serial {serial} is also given to {', '.join(n for n in same if n != name)}")
        for serial, same in names.items()
        if len(same) > 1
        for name in sorted(same)
    ]
