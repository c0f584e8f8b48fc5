"""The agent beside a camera: connection, clock and the loop that serves them.

One loop reads the sockets, keeps the clock and fires (camera_control/exposure_control.py); one worker thread does what
takes long with the camera and the spool; photo_transfer/uploads.py empties the spool.  In the window, from FIRE until
QUIET_AFTER after the exposure, the loop does nothing but wait for the moment.  docs/wire.md has the whole sequence.
"""

import contextlib
import logging
import math
import os
import random
import signal
import threading
import time
from collections import deque
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType

import zmq

from camera_nodes import curve_keys, transport, wire
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.backends import load_model_overrides, make_camera
from camera_nodes.camera import CameraState
from camera_nodes.camera_control.body_actions import BodyActions
from camera_nodes.camera_control.exposure_control import ExposureController
from camera_nodes.camera_control.live_view import LiveView
from camera_nodes.camera_control.realtime import RealtimeWindow, lock_memory, realtime_permitted
from camera_nodes.camera_control.recovery import Recovery
from camera_nodes.clock_sync.clock import Estimate
from camera_nodes.clock_sync.node_clock import NodeClock
from camera_nodes.errors import WireError
from camera_nodes.gphoto import library
from camera_nodes.photo_transfer.spool import Spool
from camera_nodes.photo_transfer.uploads import Uploads
from camera_nodes.sd_notify import Service
from common.photograph_facts import PhotographFacts

log = logging.getLogger(__name__)

_STATUS_S, _SETTLING_STATUS_S = 5.0, 0.7
_REFUSED_S = 5.0


def run(settings: AgentSettings, stop: threading.Event | None = None) -> None:
    """Run a node until `stop` is set, SIGTERM or SIGINT.

    Raises BadAddress, BadSettings, KeyRefused or SpoolError at once; a camera or a controller that is not there is
    waited for.
    """
    agent = Agent(settings)
    if settings.realtime and not lock_memory():
        log.info("memory cannot be locked here, so pages may be swapped out (LimitMEMLOCK in the unit)")
    if threading.current_thread() is threading.main_thread():

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            agent.stop()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
    if stop is not None:

        def wait_for_stop(event: threading.Event) -> None:
            event.wait()
            agent.stop()

        threading.Thread(target=wait_for_stop, args=(stop,), daemon=True).start()
    agent.run()


class Agent:
    """See the module.  `run` blocks; `stop` may be called from any thread or a signal handler."""

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings
        self.node = settings.node or settings.camera
        keys = curve_keys.load_keys(settings.keys, self.node)
        controller_key = settings.controller_key or curve_keys.load_public(
            settings.keys / f"{curve_keys.CONTROLLER}.pub"
        )
        library.use_gphoto_home(library.gphoto_home_beside(settings.spool))
        self._camera = make_camera(settings.url, settings.release)
        load_model_overrides(self._camera, Path(settings.models) if settings.models else None)
        self._camera.spin_ns = settings.spin_us * 1000
        self._camera.max_late_ns = round(settings.max_late_ms * 1e6)
        self._spool = Spool(settings.spool, settings.min_free_mb * 1_000_000)
        self._context: transport.Context = zmq.Context()
        self._control = transport.connect_dealer(
            self._context, settings.control, keys, controller_key, limit=wire.CONTROL_LIMIT
        )
        self._monitor = transport.Monitor(self._control)
        self._uploads = Uploads(
            self._context, settings.bulk, keys, controller_key, self._spool, self._photo_stored, self._photo_rejected
        )
        self._uploads_ok = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._was_in_window = False
        self._service = Service()
        self._realtime = settings.realtime and realtime_permitted()
        self._exposures = ExposureController(
            self, self._camera, self._spool, settings.camera, RealtimeWindow(settings.realtime), self._wake
        )
        self._clock = NodeClock(self._camera.clock, self._exposures.is_armed)
        self._recovery = Recovery(self, self._exposures, self._camera, settings.camera)
        self._view = LiveView(self, self._exposures, self._camera, settings.camera, self._uploads.send)

        self._actions = BodyActions(self, self._exposures, self._camera, settings.camera)
        self._connected = False
        self._welcome = False
        self._unsent: deque[wire.Message] = deque(maxlen=64)
        self._knock_at = math.inf
        self._next_status = self._next_hello = 0.0

    # --- the loop

    def stop(self) -> None:
        """End `run` soon; a photograph under way still reaches the spool."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def run(self) -> None:
        """Serve until stopped."""
        for text in self._spool.damaged:
            log.error("%s", text)
        log.info("%s: node %s, %d photographs in the spool", self.settings.camera, self.node, len(self._spool))
        self._service.ready(f"{self.settings.camera} at {self.settings.url}")
        try:
            while not self._stopping:
                self._turn()
                self._wait()
        finally:
            self._shut_down()

    def _wait(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake_read, zmq.POLLIN)
        poller.register(self._control, zmq.POLLIN)
        poller.register(self._monitor.socket, zmq.POLLIN)
        if not self._exposures.in_window:
            self._uploads.register(poller)
        events = dict(poller.poll(math.ceil(self._timeout_s() * 1000)))
        if self._wake_read in events:
            with contextlib.suppress(OSError):
                os.read(self._wake_read, 4096)

    def _timeout_s(self) -> float:
        if self._exposures.in_window:
            return self._exposures.timeout_s()
        now = time.monotonic()
        waits = [60.0, self._knock_at - now, self._exposures.timeout_s(), self._uploads.timeout_s()]
        waits += [self._service.wait_s(), self._recovery.timeout_s(), self._view.timeout_s()]
        if self._welcome:
            waits += [self._clock.next_ping - now, self._next_status - now]
        elif self._connected and self._exposures.settled:
            waits.append(self._next_hello - now)
        return max(0.0, min(waits))

    def _turn(self) -> None:
        for event in self._monitor.events():
            self._connection(event)
        while True:
            try:
                message = transport.receive_reply(self._control, wire.CONTROLLER_CONTROL, limit=wire.CONTROL_LIMIT)
            except WireError as error:
                log.error("control: ignored a bad message: %s", error)
                continue
            if message is None:
                break
            self._handle(message)
        self._exposures.turn()
        if self._exposures.in_window:
            self._was_in_window = True
            return
        self._service.alive()
        now = time.monotonic()
        if self._was_in_window:
            self._was_in_window = False
            self._clock.left_window(now)
        if now >= self._knock_at:
            self._knock_at = math.inf
            transport.reconnect(self._control, self.settings.control)
        if self._welcome:
            if now >= self._clock.next_ping:
                self._clock.ping(now, self.send)
            if now >= self._next_status:
                self._send_status()
        elif self._connected and self._exposures.settled and now >= self._next_hello:
            self._hello()
        self._uploads.idle = self.settings.prove and self._exposures.uploads_welcome
        self._uploads.allowed = self._welcome and self._uploads_ok and self._exposures.uploads_welcome
        self._uploads.read()
        self._uploads.write()
        self._recovery.turn()
        self._view.turn()

    def _shut_down(self) -> None:
        self._service.stopping()
        self._recovery.stop()
        self._view.end()
        self._exposures.close()
        self._clock.stop()
        self._monitor.close()
        self._uploads.close()
        self._control.setsockopt(zmq.LINGER, 200)
        self._control.close()
        self._context.term()
        os.close(self._wake_read)
        os.close(self._wake_write)
        log.info("%s: stopped, %d photographs in the spool", self.settings.camera, len(self._spool))

    # --- AgentServices

    def send(self, message: wire.Message) -> bool:
        """Send on the control socket now, or not at all."""
        return self._connected and transport.send(self._control, message, limit=wire.CONTROL_LIMIT)

    def send_surely(self, message: wire.Message) -> None:
        """Send on the control socket now, or after the next Welcome."""
        if not (self._welcome and self.send(message)):
            self._unsent.append(message)

    def estimate(self, at_ns: int | None = None) -> Estimate | None:
        """The clocks at a moment of the node's, or now; None before the first ping came back."""
        return self._clock.estimate(at_ns)

    @property
    def clock_source(self) -> wire.ClockSource:
        """What the estimate comes from."""
        return self._clock.source

    @property
    def clock_problem(self) -> str:
        """The clock is good, but not from where the studio wants it; empty: it is."""
        return self._clock.problem

    def state_changed(self, *, camera_changed: bool) -> None:
        """The state to report is new; a camera that came or went is announced by a new Hello."""
        self._next_status = 0.0
        if camera_changed and self._connected:
            self._hello()

    # --- connection

    def _connection(self, event: str) -> None:
        if event == "up":
            self._connected = True
            self._next_hello = 0.0
            return
        if event == "refused":
            self._knock_at = time.monotonic() + transport.REFUSED_S
            log.error(
                "the controller at %s refused the connection: is node %s enrolled there, and is the controller's key"
                " in %s the right one?", self.settings.control, self.node, self.settings.keys,
            )  # fmt: skip
        elif self._connected:
            log.warning("the connection to the controller is down")
        self._connected = self._welcome = False

    def _hello(self) -> None:
        info = self._camera.info if self._camera.state is not CameraState.CLOSED else None
        capabilities = (*(info.capabilities if info else ()), *(("realtime",) if self._realtime else ()))
        self._next_hello = time.monotonic() + _REFUSED_S
        self.send(
            wire.Hello(
                node=self.node,
                camera=self.settings.camera,
                serial=info.serial if info else "",
                model=info.model if info else "",
                url=self.settings.url[:1000],
                software=_software(),
                capabilities=capabilities,
                lag_ns=None if self.settings.lag_ms is None else round(self.settings.lag_ms * 1e6),
                spooled=len(self._spool),
                disk=self._spool.disk(self.settings.computer),
                fault=self._exposures.camera_fault,
            )
        )

    def _handle(self, message: wire.ControllerControl) -> None:
        match message:
            case wire.Pong():
                self._clock.pong(message)
            case wire.Fire():
                self._exposures.fire(message)
            case wire.Arm():
                self._view.end("a fire is near")
                self._exposures.arm(message)
            case wire.Disarm():
                self._exposures.disarm(message)
            case wire.WriteOff():
                self._exposures.write_off(message)
            case wire.UploadOk():
                self._uploads_ok = True
            case wire.UploadHold():
                self._view.end("a fire is near")
                self._uploads_ok = self._uploads.allowed = False
            case wire.Welcome():
                self._welcomed(message)
            case wire.Recover():
                self._view.end("the camera is being recovered")
                self._recovery.ask(message)
            case wire.View():
                self._view.ask(message)
            case wire.Identify() | wire.Focus():
                self._actions.ask(message)
            case wire.Refused():
                log.error("the controller refused %s: %s", self.settings.camera, message.reason)
                self._welcome = False
                self._next_hello = time.monotonic() + (0.0 if message.code == "hello_first" else _REFUSED_S)

    def _welcomed(self, message: wire.Welcome) -> None:
        self._clock.follow(message.clock_id)
        now = time.monotonic()
        if not self._welcome:
            self._clock.connected(now)
            self._uploads.restart()
            if last := self._exposures.last_stamps:
                self.send(last)  # it may have been lost with the old connection
            self._exposures.tell_settings()
        self._welcome = True
        while self._unsent and self.send(self._unsent[0]):
            self._unsent.popleft()
        self._uploads_ok = message.uploads
        self._next_status = now + random.random() * 0.2

    # --- what is told of the node

    def _send_status(self) -> None:
        self._next_status = time.monotonic() + (_SETTLING_STATUS_S if self._clock.settling else _STATUS_S)
        clock = self._clock.judge()
        self._tell_clock_problem()
        if clock is not None:
            self._uploads.utc_ns = self._clock.utc_ns(clock)
        self.send(
            wire.Status(
                camera=self.settings.camera,
                state=self._exposures.state,
                free_bytes=self._spool.free_bytes(),
                spooled=len(self._spool),
                spooled_bytes=self._spool.total_bytes,
                clock_uncertainty_ns=clock.uncertainty_ns if clock else None,
                clock_source=self._clock.source,
                clock_offset_ns=clock.offset_ns if clock else None,
                clock_drift_ppb=round(clock.drift * 1e9) if clock else None,
                round_trip_ns=clock.round_trip_ns if clock else None,
                battery_percent=self._exposures.condition.battery_percent,
                photos_left=self._exposures.condition.photos_left,
                unresolved=self._exposures.unresolved[:1000],
                strays=self._exposures.strays,
            )
        )

    def _tell_clock_problem(self) -> None:
        if problem := self._clock.news():
            log.warning("%s: %s", self.settings.camera, problem)
            text = f"{problem}; until then pings keep the clock"
            self.send_surely(wire.NodeFault(camera=self.settings.camera, code="system_time", text=text[:1000]))

    def _photo_stored(self, entry: PhotographFacts) -> None:
        self._exposures.stored(entry)

    def _photo_rejected(self, entry: PhotographFacts, reason: str, kept: Path | None) -> None:
        text = f"{entry.take_id}: the controller refused the photograph {entry.name}: {reason} (kept in {kept})"
        self.send_surely(
            wire.NodeFault(camera=self.settings.camera, code="rejected", text=text[:1000], take_id=entry.take_id)
        )
        self._exposures.rejected(entry, reason)


def _software() -> str:
    try:
        return f"mien {version('mien')}"
    except PackageNotFoundError:
        return "mien"
