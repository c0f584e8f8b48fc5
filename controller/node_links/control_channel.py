"""Control channel: one thread owns the socket, answers pings at once, knows every node, and carries ARM and FIRE.

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
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol

import zmq

from camera_nodes import wire
from camera_nodes.clock_sync.system_time import SOURCES, ClockDaemonMonitor, read_pair
from camera_nodes.transport import BadMessage, Received, receive, send_to
from common.guarding.safe_text import plain
from controller.errors import ControllerError
from controller.firing.fire_timing import NS_PER_MS, ArmReport, FireOrder, StampReport, lead_ns
from controller.node_links.connection_guard import NodePort
from controller.node_links.fire_phase import ArmPhase, CameraArming, FirePhase, StampPhase, after
from controller.node_links.node_registry import Announced, LastSeen, NodeRegistry, NodeState, round_trips_ns
from controller.rig.roster import Roster
from controller.rig_file import Rig

log = logging.getLogger(__name__)

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

    def body_acted(self, message: wire.BodyActed) -> None: ...


class ControlLink:
    """Owns the control ROUTER. start() binds and runs; stop() ends the thread. An Authenticator must run before."""

    def __init__(
        self,
        where: NodePort,
        rig: Rig,
        listener: ControlListener,
        ring: Callable[[str, str], None] = lambda _topic, _camera: None,
        admit_unknown: bool = False,
    ) -> None:
        """ring, admit_unknown: as NodeRegistry has them."""
        self._where = where
        self._rig = rig
        self._listener = listener
        self._registry = NodeRegistry(rig, ring, admit_unknown)
        self._phase: FirePhase | None = None
        self._system_time: ClockDaemonMonitor | None = None
        self._hold = False
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self.changed = self._registry.changed
        self._running = False
        self._thread = threading.Thread(target=self._run, name="mien-control", daemon=True)
        self.clock_id = uuid.uuid4().hex
        self.endpoint = ""
        self.refused_messages = 0
        self.armings: Mapping[str, CameraArming] = {}  # each camera's last; never changed, another in its place

    def start(self) -> None:
        self._socket, self.endpoint, self._port = self._where.bind(
            "control", limit=wire.CONTROL_LIMIT, most_bytes=(UNDELIVERED, ALL_UNDELIVERED), rate=RATE
        )
        self._running = True
        wanted = self._rig.sync.system_time
        for source in SOURCES:
            if source == wanted:
                self._system_time = ClockDaemonMonitor(source, quiet=lambda: self._phase is not None)
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._do(self._end)
            self._thread.join(10)
        if self._system_time is not None:
            self._system_time.stop()
        self._wake_read.close()
        self._wake_write.close()

    # --- asked by other threads ---

    def nodes(self) -> dict[str, NodeState]:
        """The nodes that were heard lately, by camera."""
        return self._registry.heard_lately()

    def roster(self) -> Roster:
        """Expected against present, now."""
        return self._registry.roster()

    @property
    def running(self) -> bool:
        """Whether the control thread runs; without it nobody is heard."""
        return self._running

    def last_seen(self) -> dict[str, LastSeen]:
        """By camera, where it was announced last since the studio was started, and since when its body is there."""
        return self._registry.last_seen()

    def heard_ages_s(self) -> dict[str, tuple[str, float]]:
        """By camera, its node and for how long it has not been heard."""
        return self._registry.heard_ages_s()

    def announced(self) -> list[Announced]:
        """Every camera that a node announces, in the rig file or not, by name."""
        return self._registry.announced()

    def owner(self, camera: str) -> str | None:
        """The enrolled node that announced this camera on its latest connection, heard lately or not."""
        return self._registry.owner(camera)

    def arm(self, order: FireOrder) -> ArmReport:
        """Phase one: ask every camera and wait until all have answered or the time is up."""
        phase = ArmPhase(order)
        self._ask(lambda: self._begin_arm(phase), phase)
        report = phase.report()
        before = self.armings
        self.armings = {**before, **{name: after(before.get(name), now) for name, now in phase.armings().items()}}
        return report

    def release(self, order: FireOrder) -> StampReport:
        """Phase two: name the moment, wait for the stamps. Cameras that did not answer are among the faults."""
        phase = StampPhase(order)
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._ask(lambda: self._begin_fire(phase), phase)
        finally:
            if collecting:
                gc.enable()
        return phase.report()

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

    def _ask(self, begin: Callable[[], None], phase: FirePhase) -> None:
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
                        self._where.allowed,
                        limit=wire.CONTROL_LIMIT,
                        hear=self._port.hear,
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
        if phase is not None and phase.over():
            self._phase = None
            if not phase.done.done():
                phase.done.set_result(None)

    def _begin_arm(self, phase: ArmPhase) -> None:
        self._phase = phase
        message = phase.begin(self._rig.transfer.allow_ram)
        self._set_hold(True)
        for camera, reason in self._broadcast(phase.order.cameras, message).items():
            phase.fail(camera, reason)

    def _begin_fire(self, phase: StampPhase) -> None:
        self._phase = phase
        order, routes = phase.order, self._registry.routes()
        trips = round_trips_ns(state for state in self._registry.connected() if state.camera in order.lags_ns)
        phase.begin(
            lead_ns(order.limits, trips, order.lags_ns.values()),
            lambda camera, message: self._send(routes.get(camera, b"?"), message),
        )

    def _send(self, route: bytes, message: wire.Message) -> bool:
        """False when the connection is gone."""
        return send_to(self._socket, route, message, limit=wire.CONTROL_LIMIT)

    def _broadcast(self, cameras: tuple[str, ...], message: wire.Message) -> dict[str, str]:
        """Send to the nodes of these cameras; the cameras that could not be reached, with the reason."""
        routes = self._registry.routes()
        failed = {}
        for camera in cameras:
            if camera not in routes:
                failed[camera] = "no node announces it"
            elif not self._send(routes[camera], message):
                failed[camera] = "its node is gone"
                self._registry.forget(routes[camera])
        return failed

    def _set_hold(self, hold: bool) -> None:
        self._hold = hold
        message = wire.UploadHold() if hold else wire.UploadOk()
        for state in self._registry.connected():
            self._send(state.route, message)

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
            self._send(received.route, pong)
        if isinstance(message, wire.Hello):
            self._greet(received.route, received.node, message, received.at_ns)
            return
        state = self._registry.at(received.route)
        if state is None:
            self._send(received.route, wire.Refused(code="hello_first", reason="say Hello first"))
            return
        state.seen_ns = received.at_ns
        if isinstance(message, wire.Ping):
            return
        if message.camera != state.camera:
            said, its = (state.node, message.camera, state.camera), {"node": state.node, "camera": state.camera}
            log.warning("%s speaks for %s but announced %s: ignored", *said, extra=its)
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
        " | wire.Status | wire.RecoverStep | wire.ViewState | wire.BodyActed | wire.SettingsRead",
    ) -> None:
        if isinstance(message, wire.Status):
            self._registry.update(state, message)
        elif isinstance(message, wire.Stamps):
            self._listener.stamps(message)
        elif isinstance(message, wire.FrameSpooled):
            self._listener.spooled(message)
        elif isinstance(message, wire.NodeFault):
            told = (state.camera, plain(message.code), plain(message.text))
            log.warning("%s: %s: %s", *told, extra={"camera": state.camera, "node": state.node})
            self._listener.node_fault(message)
        elif isinstance(message, wire.RecoverStep):
            self._listener.recover_step(message)
        elif isinstance(message, wire.ViewState):
            self._listener.view_state(message)
        elif isinstance(message, wire.SettingsRead):
            self._registry.read_settings(state, message.settings)
        elif isinstance(message, wire.BodyActed):
            self._listener.body_acted(message)
        phase = self._phase
        if phase is not None and getattr(message, "fire_id", None) == phase.order.fire_id:
            phase.answer(state.camera, message)

    def _greet(self, route: bytes, node: str, hello: wire.Hello, at_ns: int) -> None:
        refusal = self._registry.greet(route, node, hello, at_ns)
        if refusal is not None:
            log.warning("refused %s as %s: %s", node, hello.camera, refusal.reason, extra={"node": node})
            self._send(route, refusal)
            return
        self._send(route, wire.Welcome(clock_id=self.clock_id, uploads=not self._hold))
