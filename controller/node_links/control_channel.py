"""The control socket: one thread that answers pings at once, knows every node, and carries ARM and FIRE.

Nothing slow runs in this thread. Other threads ask it for something and wait; what nodes report outside a fire goes to
the listener, whose methods must return at once.
"""

import gc
import logging
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import zmq

from camera_nodes import wire
from camera_nodes.clock_sync.system_time import SOURCES, ClockDaemonMonitor, read_pair
from camera_nodes.curve_keys import AllowList, KeyPair
from camera_nodes.transport import BadMessage, Context, Received, Socket, bind_router, receive, send_to
from controller.errors import ControllerError
from controller.fault_text import plain
from controller.firing.fire_timing import (
    NS_PER_MS,
    ArmReport,
    FireOrder,
    StampReport,
    lead_ns,
    measure,
    near_limit,
    stamp_faults,
)
from controller.node_links.connection_guard import ConnectionGuard, Port
from controller.rig.roster import Expected, Present, Roster, compare
from controller.rig_file import Rig

log = logging.getLogger(__name__)

TURNED_AWAY_NS = 10_000_000_000
TELL_S = 10.0
AT_ONCE = 256  # messages
UNDELIVERED, ALL_UNDELIVERED = 4_000_000, 32_000_000  # bytes of messages whose end has not come
RATE = 300.0  # messages a second of a node; pings are ten


class ControlListener(Protocol):
    """What nodes report on their own account. Called in the control thread: return at once."""

    def stamps(self, message: wire.Stamps) -> None: ...

    def spooled(self, message: wire.FrameSpooled) -> None: ...

    def node_fault(self, message: wire.NodeFault) -> None: ...

    def recover_step(self, message: wire.RecoverStep) -> None: ...

    def view_state(self, message: wire.ViewState) -> None: ...


@dataclass
class NodeState:
    """What the controller knows of one camera's node. `route` addresses its present connection."""

    route: bytes
    node: str
    hello: wire.Hello
    seen_ns: int
    status: wire.Status | None = None
    fault: str = ""

    @property
    def camera(self) -> str:
        return self.hello.camera


class _RequestPhase:
    """One of the two phases under way: who has not answered, and until when to wait."""

    def __init__(self, order: FireOrder, expects: str) -> None:
        self.order = order
        self.expects = expects
        self.waiting = set(order.cameras)
        self.armed: dict[str, wire.Armed] = {}
        self.stamps: dict[str, wire.Stamps] = {}
        self.faults: dict[str, str] = {}
        self.unsure: set[str] = set()
        self.at_ns = 0
        self.deadline_ns = 0
        self.began_ns = 0
        self.done: Future[None] = Future()

    def settle(self, camera: str) -> None:
        self.waiting.discard(camera)
        if not self.waiting and not self.done.done():
            self.done.set_result(None)


class ControlLink:
    """Owns the control ROUTER. start() binds and runs; stop() ends the thread. An Authenticator must run before."""

    def __init__(
        self,
        context: Context,
        address: str,
        keys: KeyPair,
        allowed: AllowList,
        rig: Rig,
        listener: ControlListener,
        guard: ConnectionGuard | None = None,
    ) -> None:
        self._context = context
        self._address = address
        self._keys = keys
        self._allowed = allowed
        self._guard = guard
        self._port: Port | None = None
        self._rig = rig
        self._listener = listener
        self._expected = [Expected(camera.name, camera.serial, camera.url) for camera in rig.cameras]
        self._last_serial: dict[str, str] = {}  # of the bodies that have answered, by camera
        self._names = {camera.name for camera in rig.cameras}
        self._nodes: dict[bytes, NodeState] = {}
        self._turned_away: dict[tuple[str, str], tuple[Present, int]] = {}
        self._phase: _RequestPhase | None = None
        self._system_time: ClockDaemonMonitor | None = None
        self._hold = False
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._lock = threading.Lock()
        self.changed = threading.Condition(self._lock)
        self._running = False
        self._thread = threading.Thread(target=self._run, name="mien-control", daemon=True)
        self.clock_id = uuid.uuid4().hex
        self.endpoint = ""
        self.refused_messages = 0

    def start(self) -> None:
        self._socket, self.endpoint = bind_router(
            self._context, self._address, self._keys, limit=wire.CONTROL_LIMIT, before=self._watch
        )
        self._running = True
        wanted = self._rig.sync.system_time
        for source in SOURCES:
            if source == wanted:
                self._system_time = ClockDaemonMonitor(source, quiet=lambda: self._phase is not None)
        self._thread.start()

    def _watch(self, router: Socket) -> None:
        if self._guard is not None:
            self._port = self._guard.watch("control", router, UNDELIVERED, ALL_UNDELIVERED, RATE)

    def stop(self) -> None:
        if self._running:
            self._do(self._end)
            self._thread.join(10)
        if self._system_time is not None:
            self._system_time.stop()
        self._wake_read.close()
        self._wake_write.close()

    # --- asked by other threads ---

    def nodes(self) -> dict[str, NodeState]:
        """The nodes that were heard lately, by camera."""
        oldest = time.monotonic_ns() - round(self._rig.sync.silence_s * 1e9)
        with self._lock:
            return {state.camera: state for state in self._nodes.values() if state.seen_ns >= oldest}

    def roster(self) -> Roster:
        """Expected against present, now."""
        since = time.monotonic_ns() - TURNED_AWAY_NS
        nodes = self.nodes().values()
        with self._lock:
            present = [_present(state.hello, state.node, self._last_serial) for state in nodes]
            present += [body for body, at_ns in self._turned_away.values() if at_ns >= since]
        return compare(self._expected, present)

    def owner(self, camera: str) -> str | None:
        """The enrolled node that announced this camera on its latest connection, heard lately or not."""
        with self._lock:
            return next((state.node for state in self._nodes.values() if state.camera == camera), None)

    def arm(self, order: FireOrder) -> ArmReport:
        """Phase one: ask every camera and wait until all have answered or the time is up."""
        phase = _RequestPhase(order, "armed")
        self._ask(lambda: self._begin_arm(phase), phase)
        for camera in phase.waiting:
            phase.faults[camera] = f"no reply in {(phase.deadline_ns - phase.began_ns) / NS_PER_MS:.0f} ms"
        return ArmReport(phase.armed, phase.faults, frozenset(phase.unsure))

    def release(self, order: FireOrder) -> StampReport:
        """Phase two: name the moment, wait for the stamps. Cameras that did not answer are among the faults."""
        phase = _RequestPhase(order, "stamps")
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._ask(lambda: self._begin_fire(phase), phase)
        finally:
            if collecting:
                gc.enable()
        faults = stamp_faults(order.cameras, phase.stamps, order.limits.stamps_timeout_ms) | phase.faults
        return StampReport(phase.at_ns, phase.stamps, faults, measure(phase.stamps.values()))

    def disarm(self, order: FireOrder, why: str) -> None:
        """Let the armed cameras go again."""
        message = wire.Disarm(fire_id=order.fire_id, why=why[:1000])

        def task() -> None:
            self._broadcast(order.cameras, message)

        self._do(task)

    def tell(self, cameras: tuple[str, ...], message: wire.Message) -> dict[str, str]:
        """Say something between fires; the cameras that could not be told, with the reason."""
        answer: Future[dict[str, str]] = Future()

        def task() -> None:
            busy = self._phase is not None
            firing = "a take is being fired; wait for it"
            answer.set_result(dict.fromkeys(cameras, firing) if busy else self._broadcast(cameras, message))

        if not self._running:
            raise ControllerError("the control link is not running")
        self._do(task)
        try:
            return answer.result(TELL_S)
        except TimeoutError:
            raise ControllerError("the control link does not answer") from None

    def hold_uploads(self) -> None:
        self._do(lambda: self._set_hold(True))

    def allow_uploads(self) -> None:
        self._do(lambda: self._set_hold(False))

    def _do(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)
        with suppress(BlockingIOError, OSError):
            self._wake_write.send(b"\0")

    def _ask(self, begin: Callable[[], None], phase: _RequestPhase) -> None:
        if not self._running:
            raise ControllerError("the control link is not running")
        self._do(begin)
        phase.done.result()

    # --- the control thread ---

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_read.fileno(), zmq.POLLIN)
        try:
            while self._running:
                events = dict(poller.poll(self._patience_ms()))
                if self._wake_read.fileno() in events:
                    self._run_tasks()
                for _ in range(AT_ONCE):  # then deadlines, whatever floods
                    received = receive(
                        self._socket,
                        wire.NODE_CONTROL,
                        self._allowed,
                        limit=wire.CONTROL_LIMIT,
                        hear=self._port.hear if self._port else None,
                    )
                    if received is None or not self._running:
                        break
                    self._take(received)
                    if not self._tasks.empty():
                        self._run_tasks()
                self._expire()
        except Exception:
            log.exception("the control thread stopped")
            raise
        finally:
            self._running = False
            if self._phase is not None and not self._phase.done.done():
                self._phase.done.set_exception(ControllerError("the studio was stopped during a fire"))
            self._socket.close()

    def _end(self) -> None:
        self._running = False

    def _patience_ms(self) -> int:
        if self._phase is None:
            return 500
        return max(0, min(500, (self._phase.deadline_ns - time.monotonic_ns()) // NS_PER_MS + 1))

    def _run_tasks(self) -> None:
        with suppress(BlockingIOError):
            self._wake_read.recv(4096)
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            task()

    def _expire(self) -> None:
        phase = self._phase
        if phase is not None and (phase.done.done() or time.monotonic_ns() >= phase.deadline_ns):
            self._phase = None
            if not phase.done.done():
                phase.done.set_result(None)

    def _begin_arm(self, phase: _RequestPhase) -> None:
        order = phase.order
        message = wire.Arm(
            fire_id=order.fire_id,
            take_id=order.take_id,
            exposure=order.exposure,
            max_clock_uncertainty_ns=round(order.limits.max_clock_uncertainty_ms * NS_PER_MS),
            allow_ram=self._rig.transfer.allow_ram,
        )
        self._phase = phase
        phase.began_ns = time.monotonic_ns()
        phase.deadline_ns = time.monotonic_ns() + round(order.limits.arm_timeout_ms * NS_PER_MS)
        self._set_hold(True)
        for camera, reason in self._broadcast(order.cameras, message).items():
            phase.faults[camera] = reason
            phase.settle(camera)

    def _begin_fire(self, phase: _RequestPhase) -> None:
        order = phase.order
        self._phase = phase
        routes = {state.camera: state.route for state in self._nodes.values()}
        trips = round_trips_ns(state for state in self._nodes.values() if state.camera in order.lags_ns)
        phase.at_ns = time.monotonic_ns() + lead_ns(order.limits, trips, order.lags_ns.values())
        for camera, lag in order.lags_ns.items():
            message = wire.Fire(fire_id=order.fire_id, take_id=order.take_id, at_ns=phase.at_ns, lag_ns=lag)
            if not send_to(self._socket, routes.get(camera, b"?"), message, limit=wire.CONTROL_LIMIT):
                phase.faults[camera] = "its node went away between ARM and FIRE"
                phase.settle(camera)
        wait_ms = order.limits.window_ms + order.limits.stamps_timeout_ms
        phase.deadline_ns = phase.at_ns + round(wait_ms * NS_PER_MS)

    def _broadcast(self, cameras: tuple[str, ...], message: wire.Message) -> dict[str, str]:
        """Send to the nodes of these cameras; the cameras that could not be reached, with the reason."""
        routes = {state.camera: state.route for state in self._nodes.values()}
        failed = {}
        for camera in cameras:
            if camera not in routes:
                failed[camera] = "no node announces it"
            elif not send_to(self._socket, routes[camera], message, limit=wire.CONTROL_LIMIT):
                failed[camera] = "its node is gone"
                with self._lock:
                    del self._nodes[routes[camera]]
        return failed

    def _set_hold(self, hold: bool) -> None:
        self._hold = hold
        message = wire.UploadHold() if hold else wire.UploadOk()
        for state in self._nodes.values():
            send_to(self._socket, state.route, message, limit=wire.CONTROL_LIMIT)

    def _take(self, received: "Received[wire.NodeControl] | BadMessage") -> None:
        if isinstance(received, BadMessage):
            self.refused_messages += 1
            if self.refused_messages < 100 or self.refused_messages % 1000 == 0:
                log.warning("refused a message from %s: %s", received.node or "nobody on the list", received.error)
            return
        message = received.message
        if isinstance(message, wire.Ping):
            # First of all, and before any book-keeping: the time spent here is the clock's uncertainty.
            pong = self._pong(message, received.at_ns)
            send_to(self._socket, received.route, pong, limit=wire.CONTROL_LIMIT)
        if isinstance(message, wire.Hello):
            self._greet(received.route, received.node, message, received.at_ns)
            return
        state = self._nodes.get(received.route)
        if state is None:
            refusal = wire.Refused(code="hello_first", reason="say Hello first")
            send_to(self._socket, received.route, refusal, limit=wire.CONTROL_LIMIT)
            return
        state.seen_ns = received.at_ns
        if isinstance(message, wire.Ping):
            return
        if message.camera != state.camera:
            log.warning("%s speaks for %s but announced %s: ignored", state.node, message.camera, state.camera)
            return
        self._report(state, message)

    def _pong(self, ping: wire.Ping, at_ns: int) -> wire.Pong:
        error_ns = self._system_time.error_ns if self._system_time is not None else None
        if self._system_time is None or error_ns is None:
            return wire.Pong(seq=ping.seq, t1_ns=ping.t1_ns, t2_ns=at_ns, t3_ns=time.monotonic_ns())
        mono_ns, real_ns, width_ns = read_pair(time.monotonic_ns)
        return wire.Pong(
            seq=ping.seq,
            t1_ns=ping.t1_ns,
            t2_ns=at_ns,
            t3_ns=mono_ns,
            real_ns=real_ns,
            real_error_ns=error_ns + width_ns,
            real_source=self._system_time.source,
        )

    def _report(
        self,
        state: NodeState,
        message: "wire.Armed | wire.Arming | wire.ArmRefused | wire.Stamps | wire.FrameSpooled | wire.NodeFault"
        " | wire.Status | wire.RecoverStep | wire.ViewState",
    ) -> None:
        phase = self._phase
        if phase is not None and getattr(message, "fire_id", None) != phase.order.fire_id:
            phase = None
        if isinstance(message, wire.Status):
            with self._lock:
                state.status = message
                self.changed.notify_all()
        elif isinstance(message, wire.Armed) and phase is not None and phase.expects == "armed":
            phase.armed[state.camera] = message
            if near_limit(message.clock_uncertainty_ns, phase.order.limits):
                phase.unsure.add(state.camera)
            phase.settle(state.camera)
        elif isinstance(message, wire.Arming) and phase is not None and phase.expects == "armed":
            latest_ns = phase.began_ns + round(phase.order.limits.arm_patience_s * 1e9)
            wanted_ns = time.monotonic_ns() + message.patience_ns
            phase.deadline_ns = max(phase.deadline_ns, min(wanted_ns, latest_ns))
        elif isinstance(message, wire.ArmRefused) and phase is not None and phase.expects == "armed":
            phase.faults[state.camera] = plain("; ".join(message.reasons)) or "refused without a reason"
            if len(message.reasons) == 1 and near_limit(message.clock_uncertainty_ns, phase.order.limits):
                phase.unsure.add(state.camera)
            phase.settle(state.camera)
        elif isinstance(message, wire.Stamps):
            self._listener.stamps(message)
            if phase is not None and phase.expects == "stamps":
                phase.stamps[state.camera] = message
                phase.settle(state.camera)
        elif isinstance(message, wire.FrameSpooled):
            self._listener.spooled(message)
        elif isinstance(message, wire.NodeFault):
            state.fault = plain(f"{message.code}: {message.text}")
            log.warning("%s: %s", state.camera, state.fault)
            self._listener.node_fault(message)
        elif isinstance(message, wire.RecoverStep):
            self._listener.recover_step(message)
        elif isinstance(message, wire.ViewState):
            self._listener.view_state(message)

    def _greet(self, route: bytes, node: str, hello: wire.Hello, at_ns: int) -> None:
        refusal = self._judge(node, hello)
        if refusal is not None:
            with self._lock:
                present = _present(hello, node, {})
                if refusal.code != "wrong_key":
                    self._turned_away[node, hello.camera] = (present, at_ns)
                self._nodes.pop(route, None)
                self.changed.notify_all()
            log.warning("refused %s as %s: %s", node, hello.camera, refusal.reason)
            send_to(self._socket, route, refusal, limit=wire.CONTROL_LIMIT)
            return
        with self._lock:
            for old in [key for key, state in self._nodes.items() if state.camera == hello.camera]:
                del self._nodes[old]
            self._nodes[route] = NodeState(route, node, hello, at_ns)
            self._turned_away.pop((node, hello.camera), None)
            if not hello.fault:
                self._last_serial[hello.camera] = hello.serial or "without serial"
            self.changed.notify_all()
        welcome = wire.Welcome(clock_id=self.clock_id, uploads=not self._hold)
        send_to(self._socket, route, welcome, limit=wire.CONTROL_LIMIT)

    def _judge(self, node: str, hello: wire.Hello) -> wire.Refused | None:
        if hello.node != node:
            return wire.Refused(code="wrong_key", reason=f"this key is enrolled as {node}, not {plain(hello.node)}")
        if hello.camera not in self._names:
            return wire.Refused(code="unknown_camera", reason=f"{plain(hello.camera)} is not in the rig file")
        holder = self.nodes().get(hello.camera)
        if holder is not None and holder.node != node:
            return wire.Refused(code="duplicate", reason=f"{holder.node} has announced {hello.camera} already")
        return None


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


def round_trips_ns(nodes: Iterable[NodeState]) -> list[int]:
    """Each node's best round trip of the last minute, where it is known."""
    return [
        state.status.round_trip_ns
        for state in nodes
        if state.status is not None and state.status.round_trip_ns is not None
    ]
