"""A studio small enough to read: it speaks the wire protocol over real CURVE sockets on loopback, and nothing more."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import zmq
from patience import Patience, until

from camera_nodes import curve_keys, transport, wire
from camera_nodes.agent import Agent
from camera_nodes.agent_settings import AgentSettings

M = TypeVar("M", bound=wire.Message)


@dataclass
class Upload:
    offer: wire.Offer
    data: bytearray = field(default_factory=bytearray)
    chunks: list[wire.Chunk] = field(default_factory=list)


class TinyStudio:
    """Serves any number of nodes in a thread; tests call the methods and look at `seen`."""

    def __init__(self, keys_folder: Path) -> None:
        self.keys_folder = keys_folder
        self.keys = curve_keys.ensure_keys(keys_folder, curve_keys.CONTROLLER)
        self.allowed = curve_keys.AllowList(keys_folder)
        self.clock_id = "clock-1"
        self.uploads = True
        self.credit = 4
        self.store_after = True  # answer Stored when a photograph is whole
        self.refuse: wire.Refused | None = None
        self.real_error_ns: int | None = None  # with Pongs goes the system time, known so well by chrony
        self.real_off_ns = 0  # and wrong by this
        self.seen: list[tuple[str, Any, int]] = []  # node, message, when (monotonic ns)
        self.stored: dict[str, bytes] = {}
        self.under_way: dict[str, Upload] = {}
        self.wants_from: dict[str, int] = {}  # entry -> offset to begin at
        self.routes: dict[str, bytes] = {}
        self.bulk_routes: dict[str, bytes] = {}
        self.bad: list[transport.BadMessage] = []
        self._changed = threading.Condition()
        self._outbox: list[tuple[str, wire.Message, bool]] = []
        self._stop = False
        self.control = self.bulk = "tcp://127.0.0.1:*"

    def start(self) -> "TinyStudio":
        self._stop = False
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(600)
        return self

    def stop(self) -> None:
        self._stop = True
        self._thread.join(600)
        assert not self._thread.is_alive()

    def _serve(self, ready: threading.Event) -> None:
        context: transport.Context = zmq.Context()
        with transport.Authenticator(context, self.allowed) as self.authenticator:
            control, self.control = transport.bind_router(context, self.control, self.keys, limit=wire.CONTROL_LIMIT)
            bulk, self.bulk = transport.bind_router(context, self.bulk, self.keys, limit=wire.BULK_LIMIT)
            ready.set()
            poller = zmq.Poller()
            poller.register(control, zmq.POLLIN)
            poller.register(bulk, zmq.POLLIN)
            while not self._stop:
                poller.poll(2)
                while found := transport.receive(control, wire.NODE_CONTROL, self.allowed, limit=wire.CONTROL_LIMIT):
                    self._on_control(control, found)
                while found_bulk := transport.receive(bulk, wire.NODE_BULK, self.allowed, limit=wire.BULK_LIMIT):
                    self._on_bulk(bulk, found_bulk)
                with self._changed:
                    outbox, self._outbox = self._outbox, []
                for node, message, is_bulk in outbox:
                    route = (self.bulk_routes if is_bulk else self.routes)[node]
                    limit = wire.BULK_LIMIT if is_bulk else wire.CONTROL_LIMIT
                    transport.send_to(bulk if is_bulk else control, route, message, limit=limit)
            control.close()
            bulk.close()
        context.term()

    def _note(self, node: str, message: Any, at_ns: int) -> None:
        with self._changed:
            self.seen.append((node, message, at_ns))
            self._changed.notify_all()

    def _on_control(self, socket: transport.Socket, found: Any) -> None:
        if isinstance(found, transport.BadMessage):
            self.bad.append(found)
            return
        message = found.message
        answer: wire.Message | None = None
        if isinstance(message, wire.Hello):
            self.routes[found.node] = found.route
            answer = self.refuse or wire.Welcome(clock_id=self.clock_id, uploads=self.uploads)
        elif self.routes.get(found.node) != found.route:
            answer = wire.Refused(code="hello_first", reason="say hello")
        elif isinstance(message, wire.Ping):
            t3_ns, real_ns = time.monotonic_ns(), time.time_ns() + self.real_off_ns
            answer = wire.Pong(seq=message.seq, t1_ns=message.t1_ns, t2_ns=found.at_ns, t3_ns=t3_ns)
            if self.real_error_ns is not None:
                answer = msgspec.structs.replace(
                    answer, real_ns=real_ns, real_error_ns=self.real_error_ns, real_source="chrony"
                )
        if answer is not None:
            transport.send_to(socket, found.route, answer, limit=wire.CONTROL_LIMIT)
        self._note(found.node, message, found.at_ns)

    def _on_bulk(self, socket: transport.Socket, found: Any) -> None:
        if isinstance(found, transport.BadMessage):
            self.bad.append(found)
            return
        if isinstance(found.message, wire.Preview):
            self._note(found.node, found.message, found.at_ns)
            return
        message, key = found.message, found.message.entry
        self.bulk_routes[found.node] = found.route
        answer: wire.Message | None = None
        if isinstance(message, wire.Offer):
            upload = self.under_way.setdefault(key, Upload(message))
            if key not in self.stored and self.credit:
                answer = wire.Want(entry=key, offset=len(upload.data), credit=self.credit)
        else:
            upload = self.under_way[key]
            upload.chunks.append(message)
            if message.offset == len(upload.data):
                upload.data += message.data
            if len(upload.data) == upload.offer.bytes:
                whole = bytes(upload.data)
                if hashlib.sha256(whole).hexdigest() == upload.offer.sha256 and self.store_after:
                    self.stored[key] = whole
                    answer = wire.Stored(entry=key, sha256=upload.offer.sha256)
            elif self.credit and len(upload.chunks) % self.credit == 0:
                answer = wire.Want(entry=key, offset=len(upload.data), credit=self.credit)
        if answer is not None:
            transport.send_to(socket, found.route, answer, limit=wire.BULK_LIMIT)
        self._note(found.node, message, found.at_ns)

    # --- what tests do

    def send(self, node: str, message: wire.Message, *, bulk: bool = False) -> None:
        with self._changed:
            self._outbox.append((node, message, bulk))

    def wait(
        self, kind: type[M], where: Callable[[M], bool] = lambda _: True, *, count: int = 1, timeout_s: float = 60.0
    ) -> M:
        """The `count`-th message of that kind that fits, waiting for it."""
        patience = Patience(timeout_s)
        with self._changed:
            while True:
                fits = [m for _, m, _ in self.seen if isinstance(m, kind) and where(m)]
                if len(fits) >= count:
                    return fits[count - 1]
                told = f"no {kind.__name__} number {count}; seen: {[m for _, m, _ in self.seen][-12:]}"
                assert not patience.spent(), told
                self._changed.wait(0.1)

    def until(self, holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Until something holds that a message brings about."""
        until(holds, lambda: f"in vain; seen: {[m for _, m, _ in self.seen][-12:]}", timeout_s)

    def state(self, camera: str = "cam-00") -> str:
        """The state that the node reported last."""
        states = self.states(camera)
        return states[-1] if states else ""

    def states(self, camera: str = "cam-00") -> list[str]:
        """All states that the node has reported, in order."""
        with self._changed:
            return [m.state for _, m, _ in self.seen if isinstance(m, wire.Status) and m.camera == camera]

    def count(self, kind: type[wire.Message]) -> int:
        return sum(isinstance(m, kind) for _, m, _ in self.seen)

    def wait_for_clock(self, camera: str) -> None:
        """Until the node's clock is known to 0.4 ms."""
        self.wait(
            wire.Status,
            lambda s: s.camera == camera and s.clock_uncertainty_ns is not None and s.clock_uncertainty_ns < 400_000,
            timeout_s=240.0,  # until an answer came back in less than a millisecond
        )

    def arm(self, node: str, fire_id: str, **changes: Any) -> wire.Armed | wire.ArmRefused:
        changes.setdefault("max_clock_uncertainty_ns", 5_000_000)  # these tests share their processors with others
        answers = (wire.Armed, wire.ArmRefused)
        earlier = sum(isinstance(m, answers) and m.fire_id == fire_id for _, m, _ in self.seen)
        self.send(node, wire.Arm(fire_id=fire_id, take_id=f"take-{fire_id}", **changes))
        return self.wait(wire.Message, lambda m: isinstance(m, answers) and m.fire_id == fire_id, count=earlier + 1)  # type: ignore

    def fire(self, node: str, fire_id: str, *, in_ms: float = 200.0, lag_ms: float = 0.0) -> wire.Fire:
        at_ns = time.monotonic_ns() + round(in_ms * 1e6)
        message = wire.Fire(fire_id=fire_id, take_id=f"take-{fire_id}", at_ns=at_ns, lag_ns=round(lag_ms * 1e6))
        self.send(node, message)
        return message


@pytest.fixture
def keys_folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def studio(keys_folder: Path) -> Iterator[TinyStudio]:
    studio = TinyStudio(keys_folder).start()
    yield studio
    studio.stop()


@dataclass
class Running:
    agent: Agent
    thread: threading.Thread
    settings: AgentSettings
    errors: list[BaseException] = field(default_factory=list)

    def stop(self) -> None:
        self.agent.stop()
        self.thread.join(600)
        assert not self.thread.is_alive()
        assert not self.errors, self.errors


StartNode = Callable[..., Running]


@pytest.fixture
def start_node(studio: TinyStudio, tmp_path: Path) -> Iterator[StartNode]:
    """Starts a node's agent in a thread of this process, enrolled and with a simulated camera."""
    running: list[Running] = []

    def start(url: str = "sim:lag_ms=5&jitter_ms=0", camera: str = "cam-00", **changes: Any) -> Running:
        pair = curve_keys.ensure_keys(studio.keys_folder, camera)
        studio.allowed.add(camera, pair.public)
        settings = AgentSettings(
            **{
                "camera": camera, "url": url, "control": studio.control, "bulk": studio.bulk,
                "keys": studio.keys_folder, "spool": tmp_path / "spool" / camera, "realtime": False,
                "max_late_ms": 100.0, "min_free_mb": 1,
            }
            | changes
        )  # fmt: skip
        agent = Agent(settings)
        node = Running(agent, threading.Thread(target=lambda: body(node), daemon=True), settings)
        running.append(node)
        node.thread.start()
        return node

    def body(node: Running) -> None:
        try:
            node.agent.run()
        except BaseException as error:
            node.errors.append(error)
            raise

    yield start
    for node in running:
        if node.thread.is_alive():
            node.stop()
