"""Roster of the rig, who should be here and who is: expected cameras against present ones, every difference named."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["missing", "sleeping", "unknown", "duplicate", "swapped"]


@dataclass(frozen=True)
class Expected:
    """A camera of the rig file, known by its serial or, without one, by the port that its node should find it at.

    With neither, any body may stand at that place.
    """

    name: str  # as the rig file has it
    serial: str = ""  # of the body; "" when the rig file gives none
    url: str = ""  # of the port; "" when the rig file gives none


@dataclass(frozen=True)
class Present:
    """A camera that a node has announced."""

    name: str  # under which it is announced
    serial: str  # of the body that answers
    node: str  # that announces it
    fault: str = ""  # why no body answers there; "" when one does
    url: str = ""  # where the node finds it
    model: str = ""  # of the body
    last_serial: str = ""  # of the body that answered there before, since the studio was started


@dataclass(frozen=True)
class Discrepancy:
    """One difference between the rig file and the studio."""

    kind: Kind  # what is wrong
    camera: str  # its name
    text: str  # for the operator


@dataclass(frozen=True)
class Roster:
    """Expected cameras compared with present ones."""

    expected: tuple[str, ...]  # names, in the rig file's order
    ready: tuple[str, ...]  # of these, that may fire
    discrepancies: tuple[Discrepancy, ...]  # every reason why another may not
    aside: tuple[str, ...] = ()  # cameras of whom nothing is asked

    def without(self, aside: Collection[str]) -> "Roster":
        """The same when these cameras are aside: neither expected nor missed, though they may answer."""
        return replace(
            self,
            expected=tuple(name for name in self.expected if name not in aside),
            ready=tuple(name for name in self.ready if name not in aside),
            discrepancies=tuple(item for item in self.discrepancies if item.camera not in aside),
            aside=tuple(name for name in self.expected if name in aside),
        )

    def describe(self) -> str:
        """A line for the whole and a line for each difference."""
        aside = f" Aside: {', '.join(self.aside)}." if self.aside else ""
        head = f"{len(self.ready)} of {len(self.expected)} cameras are ready.{aside}"
        width = max((len(item.camera) for item in self.discrepancies), default=0)
        return "\n".join([head, *(f"  {item.camera:<{width}}  {item.text}" for item in self.discrepancies)])


def compare(expected: Iterable[Expected], present: Iterable[Present]) -> Roster:
    """Match by name, then check the body behind the name by its serial, or by its port where there is no serial.

    A camera is ready when exactly one node announces it and serial or port, where the rig file gives one, agree.
    A body found under another camera's name is "swapped", unless it answers at its own place too ("duplicate": one of
    the two serials is misread or set twice). A body that answered and does not any more is "sleeping".
    """
    wanted = {camera.name: camera for camera in expected}
    by_name: dict[str, list[Present]] = defaultdict(list)
    for camera in present:
        by_name[camera.name].append(camera)
    places = _Places(wanted, {name: bodies[0] for name, bodies in by_name.items() if len(bodies) == 1})

    found: list[Discrepancy] = []
    ready: list[str] = []
    for name, want in wanted.items():
        bodies = by_name.get(name, [])
        if not bodies:
            found.append(Discrepancy("missing", name, "no node announces it: check its power, cable and node"))
        elif len(bodies) > 1:
            nodes = ", ".join(sorted(body.node for body in bodies))
            found.append(Discrepancy("duplicate", name, f"announced by {len(bodies)} nodes: {nodes}"))
        elif (difference := places.difference(want, bodies[0])) is not None:
            found.append(difference)
        else:
            ready.append(name)
    for name in sorted(by_name.keys() - wanted.keys()):
        nodes = ", ".join(sorted(body.node for body in by_name[name]))
        body = _describe(by_name[name][0])
        found.append(Discrepancy("unknown", name, f"not in the rig file; announced by {nodes} ({body})"))
    return Roster(tuple(wanted), tuple(ready), tuple(found))


class _Places:
    """What is expected and what is there, to tell to whom a body belongs."""

    def __init__(self, wanted: Mapping[str, Expected], there: Mapping[str, Present]) -> None:
        self._wanted = wanted
        self._there = there
        self._place_of = {camera.serial: camera.name for camera in wanted.values() if camera.serial}

    def difference(self, want: Expected, body: Present) -> Discrepancy | None:
        """What is wrong with the one body that is announced under this name."""
        if body.fault:
            return _absent(want, body)
        if want.serial:
            return self._by_serial(want, body)
        place = self._place_of.get(body.serial)
        if place is not None:
            return self._misplaced(want, body, place)
        return self._by_port(want, body) if want.url and body.url != want.url else None

    def _by_serial(self, want: Expected, body: Present) -> Discrepancy | None:
        if body.serial == want.serial:
            return None
        place = self._place_of.get(body.serial)
        if place is not None:
            return self._misplaced(want, body, place)
        return Discrepancy("unknown", want.name, f"unknown body {_describe(body)} instead of {want.serial}")

    def _misplaced(self, want: Expected, body: Present, place: str) -> Discrepancy:
        """A body whose serial the rig file gives to another camera."""
        there = self._there.get(place)
        if there is not None and there.serial == body.serial and not there.fault:
            return Discrepancy(
                "duplicate", want.name, f"serial {body.serial} answers here and at {place}, where it belongs"
            )
        return Discrepancy("swapped", want.name, f"the body here ({body.serial}) belongs to {place}")

    def _by_port(self, want: Expected, body: Present) -> Discrepancy:
        """Ports repeat from computer to computer, so a swap is told by two cameras that have each other's."""
        for other in self._wanted.values():
            there = self._there.get(other.name)
            if other.url == body.url and there is not None and there.url == want.url and other.name != want.name:
                return Discrepancy("swapped", want.name, f"its node uses {body.url}, which is the port of {other.name}")
        return Discrepancy("unknown", want.name, f"{_describe(body)} at {body.url} instead of {want.url}")


def _absent(want: Expected, body: Present) -> Discrepancy:
    if body.last_serial:
        text = f"its body ({body.last_serial}) answered before and does not now: asleep, switched off or unplugged"
        return Discrepancy("sleeping", want.name, f"{text}. {body.fault}")
    return Discrepancy("missing", want.name, f"{body.node} is here, its camera is not: {body.fault}")


def _describe(body: Present) -> str:
    return " ".join(part for part in (body.model, body.serial or "without serial") if part)
