"""Guards the ports that nodes connect to: who says nothing, too much or nonsense is let go, and the others are served.

ZeroMQ takes in whoever connects, waits for each handshake, and keeps the frames of a message until its last has come;
none of that has a limit of its own. This thread watches from beside: ZeroMQ's monitor tells which descriptors it took
in, the kernel how many bytes came over each (TCP_INFO), and the reading threads what was delivered from it. A
connection is ended by shutting its descriptor down, which ZeroMQ takes for a peer that left.

| bound | of a port |
|---|---|
| unidentified (nothing delivered, less came than a CURVE handshake has) | UNIDENTIFIED; who said least goes first |
| connections | a share of the process's descriptors |
| bytes that came with no message delivered from them | `Port.connection_bytes` each, `Port.all_bytes` together |
| messages, and messages that are none | `Port.rate`, BAD a second, after a burst; the key is barred in the end |
"""

import logging
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import zmq

from camera_nodes.curve_keys import AllowList, KeyPair
from camera_nodes.transport import Context, Socket, bind_router

log = logging.getLogger(__name__)

UNIDENTIFIED = 64
HANDSHAKE_BYTES = 500  # a greeting is 64, HELLO 202, INITIATE at least 260
RESERVE = 256  # descriptors for the console, the store, the database and libraries
PORTS = 2  # that share what is left
MOST = 4096
TICK_MS = 20
LOOK_S = 0.25
GROWN_PAGES = 512  # of this process's memory, since the last look
BURST_S = 10.0  # of messages at a port's rate
BAD, BAD_BURST = 1.0, 20.0
BAR_S, BAR_MOST_S = 3.0, 60.0
TOLERATED, TOLERATED_S = 3, 600.0  # a node with a fault may come back at once so often, and begins anew after so long
_TCP_INFO = struct.Struct("<128xQ")  # struct tcp_info: tcpi_bytes_received
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


def raise_descriptor_limit() -> int:
    """Let this process have as many descriptors as it may ask for; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


@dataclass
class PeerActivity:
    """What the reading thread counts of a connection; written there alone, read by the guard."""

    public: str  # the peer's key, Z85
    messages: int = 0  # that came
    bad: int = 0  # of these, that were none


@dataclass
class _Connection:
    view: socket.socket  # of ZeroMQ's descriptor: never closed by it
    peer: object  # its address
    since: float  # monotonic s
    tokens: float  # messages that it may still say at once; refilled at the port's rate
    received: int = 0  # bytes, by the kernel's count
    base: int = 0  # `received` when a message was last found to have been delivered
    counted: int = 0  # messages, at the last look
    counted_bad: int = 0  # those that were none, at the last look
    bad_tokens: float = BAD_BURST  # messages that are none which it may still send


@dataclass
class Port:
    """One ROUTER under guard. `hear` is called by the thread that reads it, for each message."""

    name: str  # control or bulk
    connection_bytes: int  # that may have come over one connection with no message delivered
    all_bytes: int  # the same over all together
    rate: float  # messages a second and node
    most: int  # connections
    monitor: Socket  # tells which descriptors came and went
    heard: dict[int, PeerActivity] = field(default_factory=dict)  # descriptor -> what was delivered from it
    connections: dict[int, _Connection] = field(default_factory=dict)  # by descriptor

    def hear(self, descriptor: int, public: str, bad: bool) -> None:
        """A message came over this descriptor from the holder of this key; bad: it was none."""
        heard = self.heard.get(descriptor)
        if heard is None or heard.public != public:
            heard = self.heard[descriptor] = PeerActivity(public)
        heard.messages += 1
        heard.bad += bad


class ConnectionGuard:
    """A thread over all guarded ports. bar: takes a public key and for how many seconds it is to be refused."""

    def __init__(self, context: Context, bar: Callable[[str, float], None]) -> None:
        self._context = context
        self._bar = bar
        self._ports: list[Port] = []
        self._violations: dict[str, tuple[int, float]] = {}
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mien-ports", daemon=True)
        self._statm = -1
        self._pages = 0
        self._warned_at: dict[str, float] = {}
        self.dropped = 0

    def start(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._running.set()
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the monitors; before the context is terminated."""
        self._running.clear()
        if self._thread.is_alive():
            self._thread.join(10)
        for port in self._ports:
            port.monitor.close(0)
            for connection in port.connections.values():
                connection.view.detach()
        if self._statm >= 0:
            os.close(self._statm)
            self._statm = -1

    def watch(self, name: str, router: Socket, connection_bytes: int, all_bytes: int, rate: float) -> Port:
        """Guard a ROUTER; before it is bound, in the thread that has made it. rate: messages a second and node."""
        place = f"inproc://mien-guard-{name}-{id(router)}"
        router.monitor(place, _EVENTS)
        monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.RCVHWM, 0)  # or ZeroMQ's own thread would wait for this one
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.connect(place)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = max(UNIDENTIFIED, min(MOST, (limit - RESERVE) // PORTS))
        port = Port(name, connection_bytes, all_bytes, rate, most, monitor)
        self._ports = [*self._ports, port]
        return port

    def connections(self) -> dict[str, int]:
        """By port, how many connections there are."""
        return {port.name: len(port.connections) for port in self._ports}

    # --- the guard's thread ---

    def _run(self) -> None:
        poller = zmq.Poller()
        known: list[Port] = []
        looked = time.monotonic()
        while self._running.is_set():
            for port in self._ports[len(known) :]:
                poller.register(port.monitor, zmq.POLLIN)
            known = self._ports
            poller.poll(TICK_MS)
            try:
                for port in known:
                    if self._events(port):
                        self._make_room(port)
                now = time.monotonic()
                if now - looked >= LOOK_S or self._grown():
                    for port in known:
                        self._inspect(port, now - looked)
                    looked = now
            except Exception:
                log.exception("the guard of the ports stumbled; it goes on")

    def _events(self, port: Port) -> bool:
        """Follow who came and went; whether anybody came."""
        came = False
        while True:
            try:
                frames = port.monitor.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return came
            kind, descriptor = struct.unpack("=Hi", frames[0])
            gone = port.connections.pop(descriptor, None)
            if gone is not None:
                gone.view.detach()
            port.heard.pop(descriptor, None)
            if kind == zmq.EVENT_ACCEPTED and descriptor >= 0:
                with suppress(OSError):
                    view = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=descriptor)
                    try:
                        port.connections[descriptor] = _Connection(
                            view, view.getpeername(), time.monotonic(), BURST_S * port.rate
                        )
                    except OSError:  # gone already
                        view.detach()
                    came = True

    def _make_room(self, port: Port) -> None:
        unidentified = [fd for fd in port.connections if fd not in port.heard]
        if len(unidentified) > UNIDENTIFIED:
            for fd in unidentified:
                self._measure(port.connections[fd])
            unidentified = [fd for fd in unidentified if port.connections[fd].received < HANDSHAKE_BYTES]
        surplus = max(len(unidentified) - UNIDENTIFIED, len(port.connections) - port.most)
        if surplus > 0:
            unidentified.sort(key=lambda fd: (port.connections[fd].received, port.connections[fd].since))
            for fd in unidentified[:surplus]:
                self._drop(port, fd, "too many connections that say nothing")
        over = len(port.connections) - port.most
        if over > 0:  # they have keys that are let in: the latest go
            for fd in sorted(port.connections, key=lambda fd: -port.connections[fd].since)[:over]:
                self._drop(port, fd, "too many connections")

    def _inspect(self, port: Port, passed_s: float) -> None:
        waiting = []
        for fd, connection in list(port.connections.items()):
            self._measure(connection)
            heard = port.heard.get(fd)
            new = heard.messages - connection.counted if heard else 0
            bad = heard.bad - connection.counted_bad if heard else 0
            connection.counted += new
            connection.counted_bad += bad
            if new:
                connection.base = connection.received
            connection.tokens = min(BURST_S * port.rate, connection.tokens + port.rate * passed_s) - new
            connection.bad_tokens = min(BAD_BURST, connection.bad_tokens + BAD * passed_s) - bad
            pending = connection.received - connection.base
            if heard and (connection.tokens < 0 or connection.bad_tokens < 0):
                why = "messages that are none" if connection.bad_tokens < 0 else "more messages than a node has to say"
                self._note_violation(heard.public)
                self._drop(port, fd, why)
            elif pending > port.connection_bytes:
                self._drop(port, fd, f"{pending / 1e6:.0f} MB came without an end")
            else:
                waiting.append((pending, fd))
        waiting.sort(reverse=True)
        held = sum(pending for pending, _ in waiting)
        while held > port.all_bytes:
            pending, fd = waiting.pop(0)
            held -= pending
            self._drop(port, fd, "more came over all connections than is read")

    def _measure(self, connection: _Connection) -> None:
        with suppress(OSError, struct.error):
            info = connection.view.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            connection.received = _TCP_INFO.unpack(info)[0]

    def _grown(self) -> bool:
        """Whether this process's memory has grown since the last look: an endless message may be coming in."""
        pages = int(os.pread(self._statm, 64, 0).split()[1])
        grown = pages - self._pages > GROWN_PAGES
        self._pages = pages if grown else min(self._pages or pages, pages)
        return grown

    def _drop(self, port: Port, descriptor: int, why: str) -> None:
        connection = port.connections.pop(descriptor)
        with suppress(OSError):  # gone meanwhile
            if connection.view.getpeername() == connection.peer:
                connection.view.shutdown(socket.SHUT_RDWR)
        connection.view.detach()
        port.heard.pop(descriptor, None)
        self.dropped += 1
        now = time.monotonic()
        if now - self._warned_at.get(why, -60.0) >= 10.0:
            self._warned_at = {**dict(list(self._warned_at.items())[-20:]), why: now}
            log.warning("%s port: let a connection from %s go: %s", port.name, connection.peer, why)

    def _note_violation(self, public: str) -> None:
        now = time.monotonic()
        times, last = self._violations.get(public, (0, now))
        times = times + 1 if now - last < TOLERATED_S else 1
        if len(self._violations) > 10_000:
            self._violations.clear()
        self._violations[public] = (times, now)
        if times > TOLERATED:
            self._bar(public, min(BAR_MOST_S, BAR_S * 2 ** (times - TOLERATED - 1)))


@dataclass(frozen=True)
class NodePort:
    """Where a socket that nodes connect to listens, with whose keys, for whom, and who guards it."""

    context: Context
    address: str  # ZeroMQ's, as in tcp://*:5702
    keys: KeyPair  # the controller's
    allowed: AllowList
    guard: ConnectionGuard

    def bind(self, name: str, *, limit: int, most_bytes: tuple[int, int], rate: float) -> tuple[Socket, str, Port]:
        """The bound ROUTER, its endpoint, and what the thread that reads it tells of each message.

        most_bytes: of each connection, and of all, that came with no message delivered; rate: messages a second.
        """
        watched: list[Port] = []
        socket, endpoint = bind_router(
            self.context,
            self.address,
            self.keys,
            limit=limit,
            before=lambda router: watched.append(self.guard.watch(name, router, *most_bytes, rate)),
        )
        return socket, endpoint, watched[0]
