"""Registry of nodes: which node announces which camera, on which connection, when it was heard, who was turned away."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from camera_nodes import wire
from common.guarding.safe_text import plain
from controller.rig.roster import Expected, Present, Roster, compare
from controller.rig_file import Rig

TURNED_AWAY_NS = 10_000_000_000  # for so long a node that was refused is among those present


@dataclass
class NodeState:
    """What the controller knows of one camera's node; changed in the control thread alone."""

    route: bytes  # addresses its present connection
    node: str  # the name that its key is enrolled under
    hello: wire.Hello  # as it announced itself on that connection
    seen_ns: int  # monotonic, of its latest message
    status: wire.Status | None = None  # the latest; None before the first
    settings: Mapping[str, str] = field(default_factory=dict)  # of the body, as read back at its latest arming

    @property
    def camera(self) -> str:
        return self.hello.camera


@dataclass(frozen=True)
class LastSeen:
    """Where a camera was announced last, and since when its body is there; kept when its node is gone."""

    node: str  # the name that its node's key is enrolled under
    url: str  # the camera's address at its node
    disk: str  # as in wire.Hello: names the computer too
    came_ns: int  # monotonic: when the body came, or came back, or another one did; 0: none has answered


@dataclass(frozen=True)
class Announced:
    """A camera that a node announces."""

    present: Present
    status: wire.Status | None  # as its node reported last; None when it was turned away, or has not yet
    in_rig: bool  # whether the rig file has a camera of this name


class NodeRegistry:
    """The nodes of one rig. The control thread writes, any thread reads.

    changed: notified when a node comes, goes or reports its status.
    """

    def __init__(
        self, rig: Rig, ring: Callable[[str, str], None] = lambda _topic, _camera: None, admit_unknown: bool = False
    ) -> None:
        """admit_unknown: enrolled nodes may announce cameras that are not in the rig file.

        ring: told "cameras" and which one, "roster" when a node comes or goes; it returns at once."""
        self._ring = ring
        self._silence_ns = round(rig.sync.silence_s * 1e9)
        self._expected = [Expected(camera.name, camera.serial, camera.url) for camera in rig.cameras]
        self._names = {camera.name for camera in rig.cameras}
        self._admit_unknown = admit_unknown
        self._nodes: dict[bytes, NodeState] = {}  # by route
        self._turned_away: dict[tuple[str, str], tuple[Present, int]] = {}  # by node and camera; when, monotonic ns
        self._last_serial: dict[str, str] = {}  # of the bodies that have answered, by camera
        self._last_seen: dict[str, LastSeen] = {}  # by camera
        self._lock = threading.Lock()
        self.changed = threading.Condition(self._lock)

    # --- any thread ---

    def heard_lately(self) -> dict[str, NodeState]:
        """The nodes that were heard lately, by camera."""
        oldest = time.monotonic_ns() - self._silence_ns
        with self._lock:
            return {state.camera: state for state in self._nodes.values() if state.seen_ns >= oldest}

    def roster(self) -> Roster:
        """Expected against present, now."""
        since = time.monotonic_ns() - TURNED_AWAY_NS
        nodes = self.heard_lately().values()
        with self._lock:
            present = [_present(state.hello, state.node, self._last_serial) for state in nodes]
            present += [body for body, at_ns in self._turned_away.values() if at_ns >= since]
        return compare(self._expected, present)

    def heard_ages_s(self) -> dict[str, tuple[str, float]]:
        """By camera, the node that announced it on its latest connection, and for how long it has not been heard."""
        now = time.monotonic_ns()
        with self._lock:
            return {state.camera: (state.node, max(0, now - state.seen_ns) / 1e9) for state in self._nodes.values()}

    def announced(self) -> list[Announced]:
        """Every camera that a node announces, in the rig file or not, those turned away too, by name."""
        since = time.monotonic_ns() - TURNED_AWAY_NS
        nodes = self.heard_lately().values()
        with self._lock:
            found = [
                Announced(
                    _present(state.hello, state.node, self._last_serial), state.status, state.camera in self._names
                )
                for state in nodes
            ]
            found += [
                Announced(body, None, body.name in self._names)
                for body, at_ns in self._turned_away.values()
                if at_ns >= since
            ]
        return sorted(found, key=lambda one: (one.present.name, one.present.node))

    def owner(self, camera: str) -> str | None:
        """The enrolled node that announced this camera on its latest connection, heard lately or not."""
        with self._lock:
            return next((state.node for state in self._nodes.values() if state.camera == camera), None)

    def last_seen(self) -> dict[str, LastSeen]:
        """By camera, where it was announced last since the studio was started."""
        with self._lock:
            return dict(self._last_seen)

    # --- the control thread ---

    def connected(self) -> list[NodeState]:
        """Every node that has a connection, heard lately or not."""
        return list(self._nodes.values())

    def routes(self) -> dict[str, bytes]:
        """Each camera's present connection."""
        return {state.camera: state.route for state in self._nodes.values()}

    def at(self, route: bytes) -> NodeState | None:
        """The node that has announced itself on this connection."""
        return self._nodes.get(route)

    def forget(self, route: bytes) -> None:
        """The connection is gone."""
        with self._lock:
            gone = self._nodes.pop(route)
        self._ring("roster", gone.camera)

    def update(self, state: NodeState, status: wire.Status) -> None:
        """A node has reported its status."""
        with self._lock:
            state.status = status
            self.changed.notify_all()
        self._ring("cameras", state.camera)

    def read_settings(self, state: NodeState, settings: wire.Exposure) -> None:
        """A node has told what its body is set to."""
        told = {name: plain(value) for name, value in structs.asdict(settings).items() if value is not None}
        with self._lock:
            state.settings = told
        self._ring("cameras", state.camera)

    def greet(self, route: bytes, node: str, hello: wire.Hello, at_ns: int) -> wire.Refused | None:
        """A node announces a camera: let in, or refused and why.

        node: the name that its key is enrolled under. at_ns: monotonic, when it came.
        """
        refusal = self._judge(node, hello)
        with self._lock:
            if refusal is not None:
                if refusal.code != "wrong_key":
                    self._turned_away[node, hello.camera] = (_present(hello, node, {}), at_ns)
                self._nodes.pop(route, None)
            else:
                before = [state for state in self._nodes.values() if state.camera == hello.camera]
                for old in before:
                    del self._nodes[old.route]
                self._last_seen[hello.camera] = self._seen(node, hello, before, at_ns)
                self._nodes[route] = NodeState(route, node, hello, at_ns)
                self._turned_away.pop((node, hello.camera), None)
                if not hello.fault:
                    self._last_serial[hello.camera] = hello.serial or "without serial"
            self.changed.notify_all()
        self._ring("roster", hello.camera)
        return refusal

    def _seen(self, node: str, hello: wire.Hello, before: Sequence[NodeState], at_ns: int) -> LastSeen:
        """before: the camera's node until now, if any: a body that it had, and was heard of lately, has not come."""
        stayed = any(
            not old.hello.fault and old.hello.serial == hello.serial and at_ns - old.seen_ns <= self._silence_ns
            for old in before
        )
        known = self._last_seen.get(hello.camera)
        came_ns = 0 if hello.fault else known.came_ns if stayed and known is not None else at_ns
        return LastSeen(node, plain(hello.url), plain(hello.disk), came_ns)

    def _judge(self, node: str, hello: wire.Hello) -> wire.Refused | None:
        if hello.node != node:
            return wire.Refused(code="wrong_key", reason=f"this key is enrolled as {node}, not {plain(hello.node)}")
        if hello.camera not in self._names and not self._admit_unknown:
            return wire.Refused(code="unknown_camera", reason=f"{plain(hello.camera)} is not in the rig file")
        holder = self.heard_lately().get(hello.camera)
        if holder is not None and holder.node != node:
            return wire.Refused(code="duplicate", reason=f"{holder.node} has announced {hello.camera} already")
        return None


def round_trips_ns(nodes: Iterable[NodeState]) -> list[int]:
    """Each node's best round trip of the last minute, where it is known."""
    return [
        state.status.round_trip_ns
        for state in nodes
        if state.status is not None and state.status.round_trip_ns is not None
    ]


def _present(hello: wire.Hello, node: str, last_serial: Mapping[str, str]) -> Present:
    return Present(
        name=hello.camera,
        serial=plain(hello.serial),
        node=node,
        fault=plain(hello.fault or ""),
        url=plain(hello.url),
        model=plain(hello.model),
        last_serial=last_serial.get(hello.camera, ""),
    )
