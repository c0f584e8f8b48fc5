"""Sockets and framing between nodes and controller.

Every socket is CURVE: encrypted, the controller's key pinned on the node, the node's key on the controller's
allow-list (curve_keys.py).  There is no plaintext mode.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Literal, Self, TypeVar

import msgspec
import zmq

from camera_nodes import wire

# Tools that speak the protocol from outside of Mien have what concerns keys from here too.
from camera_nodes.curve_keys import AllowList as AllowList
from camera_nodes.curve_keys import KeyPair as KeyPair
from camera_nodes.curve_keys import KnownKeys, check_public
from camera_nodes.curve_keys import ensure_keys as ensure_keys
from camera_nodes.curve_keys import load_keys as load_keys
from camera_nodes.errors import Malformed, WireError

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

log = logging.getLogger(__name__)

REFUSED_S = 2.0  # a node whose key was refused knocks again after this long
_HEARTBEAT_MS = 2000
_HANDSHAKE_MS = 5000  # who has not proven its key by then is let go
_WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_DOMAIN = "mien"
_M = TypeVar("_M")
Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


class Authenticator:
    """Answers, for all CURVE server sockets of one context, whether a client's key is on the allow-list.

    A context manager; start it before the sockets bind.  Refused keys are logged once a minute each.
    """

    def __init__(self, context: Context, allowed: KnownKeys) -> None:
        self._context = context
        self._allowed = allowed
        self._thread: ThreadAuthenticator | None = None
        self._said: dict[str, float] = {}
        self._barred: dict[str, float] = {}  # public key -> until when (monotonic s)
        self.refused: dict[str, int] = {}  # public key -> attempts

    def __enter__(self) -> Self:
        from zmq.auth.thread import ThreadAuthenticator  # brings asyncio, which a node does not need

        quiet = logging.getLogger("camera_nodes.transport.zap")
        quiet.setLevel(logging.CRITICAL)
        self._thread = ThreadAuthenticator(self._context, log=quiet)
        self._thread.start()
        self._thread.configure_curve_callback(domain=_DOMAIN, credentials_provider=self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    def bar(self, public: str, seconds: float) -> None:
        """Refuse an enrolled key for some seconds: its node floods."""
        now = time.monotonic()
        self._barred = {key: until for key, until in self._barred.items() if until > now} | {public: now + seconds}

    def callback(self, domain: str, key: bytes) -> bool:  # noqa: ARG002  (pyzmq's interface)
        """Called by pyzmq in its own thread with the client's key in Z85."""
        public = key.decode("ascii", "replace")
        try:
            node = self._allowed.name_of(public)
        except OSError as error:
            log.error("allow-list unreadable, nobody is let in: %s", error)
            return False
        if node is not None:
            return time.monotonic() >= self._barred.get(public, 0.0)
        if len(self.refused) < 10_000 or public in self.refused:
            self.refused[public] = self.refused.get(public, 0) + 1
        now = time.monotonic()
        if now - self._said.get(public, -60.0) >= 60.0:
            if len(self._said) > 1000:
                self._said.clear()
            self._said[public] = now
            log.warning("refused a connection: unknown key %s; `mien node enrol NAME '%s'` lets it in", public, public)
        return False


# --- sockets -------------------------------------------------------------------------------------------------------


def connect_dealer(context: Context, endpoint: str, keys: KeyPair, controller_public: str, *, limit: int) -> Socket:
    """A node's socket towards the controller, whose key is pinned.  It reconnects by itself.

    Nothing is queued while there is no connection: `send` answers False then.  `limit` as for bind_router.
    """
    socket = context.socket(zmq.DEALER)
    _options(socket, limit)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.RECONNECT_IVL, 200)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
    socket.curve_publickey = keys.public.encode()
    socket.curve_secretkey = keys.secret.encode()
    socket.curve_serverkey = check_public(controller_public, "the controller's key").encode()
    socket.connect(endpoint)
    return socket


def reconnect(dealer: Socket, endpoint: str) -> None:
    """Connect anew after a refusal, which ZeroMQ takes as final."""
    with contextlib.suppress(zmq.ZMQError):  # it has let go of the endpoint itself, or not yet
        dealer.disconnect(endpoint)
    dealer.connect(endpoint)


def bind_router(
    context: Context,
    address: str,
    keys: KeyPair,
    *,
    limit: int,
    before: Callable[[Socket], None] = lambda _socket: None,
) -> tuple[Socket, str]:
    """The controller's socket and the endpoint it got (address "tcp://127.0.0.1:*" takes a free port).

    limit: CONTROL_LIMIT or BULK_LIMIT; a longer message makes ZeroMQ drop that connection.
    An Authenticator must run on the context, else every client is let in: Authenticator first, then this.
    before: gets the socket before it is bound, when nobody is connected yet.
    """
    socket = context.socket(zmq.ROUTER)
    _options(socket, limit)
    socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
    if limit <= wire.CONTROL_LIMIT:
        socket.setsockopt(zmq.RCVHWM, 200)  # of each node
    socket.curve_server = True
    socket.curve_secretkey = keys.secret.encode()
    socket.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN.encode())
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # no authenticator, no connection
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    before(socket)
    socket.bind(address)
    endpoint = socket.getsockopt(zmq.LAST_ENDPOINT)
    return socket, endpoint.decode().rstrip("\x00") if isinstance(endpoint, bytes) else str(endpoint)


def _options(socket: Socket, limit: int) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, limit)
    socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * _HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, 4 * _HEARTBEAT_MS)
    if limit > wire.CONTROL_LIMIT:  # photographs: little may be under way when a window begins
        socket.setsockopt(zmq.SNDHWM, 4)
        socket.setsockopt(zmq.RCVHWM, 16)
        socket.setsockopt(zmq.SNDBUF, 512 * 1024)


# --- messages over sockets -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Received(Generic[_M]):
    """A message at the controller."""

    route: bytes  # to answer to
    node: str  # the enrolled node it came from
    message: _M  # what it says
    at_ns: int  # when it came, monotonic


@dataclass(frozen=True)
class BadMessage:
    """Something from an enrolled node that was no message."""

    route: bytes  # to answer to
    node: str  # which; empty: one just struck off the list
    error: WireError  # what is wrong


def receive(
    router: Socket,
    decoder: msgspec.msgpack.Decoder[_M],
    allowed: KnownKeys,
    *,
    limit: int,
    hear: Callable[[int, str, bool], None] | None = None,
) -> Received[_M] | BadMessage | None:
    """The next message at a ROUTER, or None when there is none now.  Raises nothing for bad input.

    hear: gets the descriptor and the key that it came over, and whether it was no message.
    """
    try:
        frames = router.recv_multipart(zmq.DONTWAIT, copy=False)
    except zmq.Again:
        return None
    at_ns = time.monotonic_ns()
    route = frames[0].bytes
    try:
        public = str(frames[-1].get("User-Id"))
    except zmq.ZMQError:
        public = ""
    node = allowed.name_of(public) or ""
    if not node:
        return BadMessage(route, "", WireError(f"the key {public} is no longer on the allow-list"))
    found: Received[_M] | BadMessage
    if len(frames) != 2:
        found = BadMessage(route, node, Malformed(f"{len(frames) - 1} frames instead of one"))
    else:
        try:
            found = Received(route, node, wire.decode(frames[1].buffer, decoder, limit), at_ns)
        except WireError as error:
            found = BadMessage(route, node, error)
    if hear is not None:
        hear(int(frames[-1].get(zmq.SRCFD)), public, isinstance(found, BadMessage))
    return found


def send_to(router: Socket, route: bytes, message: wire.Message, *, limit: int) -> bool:
    """Send from a ROUTER.  False when the node is gone or its queue is full."""
    try:
        router.send_multipart((route, wire.encode(message, limit)), zmq.DONTWAIT)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return False
        raise
    return True


def send(dealer: Socket, message: wire.Message, *, limit: int) -> bool:
    """Send from a DEALER.  False when there is no connection or the queue is full."""
    try:
        dealer.send(wire.encode(message, limit), zmq.DONTWAIT)
    except zmq.Again:
        return False
    return True


def receive_reply(dealer: Socket, decoder: msgspec.msgpack.Decoder[_M], *, limit: int) -> _M | None:
    """The next message at a DEALER, or None when there is none now.  Raises WireError for bad input."""
    try:
        frames = dealer.recv_multipart(zmq.DONTWAIT)
    except zmq.Again:
        return None
    if len(frames) != 1:
        raise Malformed(f"{len(frames)} frames instead of one")
    return wire.decode(frames[0], decoder, limit)


class Monitor:
    """Tells when a DEALER's connection comes up, goes down or is refused.  `socket` can be polled."""

    def __init__(self, dealer: Socket) -> None:
        self._dealer = dealer
        self.socket: Socket = dealer.get_monitor_socket(_WATCHED)
        self._told = False

    def events(self) -> Iterator[Literal["up", "down", "refused"]]:
        """What happened since the last call, oldest first."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                if not self._told and int(self._dealer.getsockopt(zmq.EVENTS)) & zmq.POLLOUT:
                    # The connection was up before it was watched, so nothing will ever be told of it.
                    self._told = True
                    yield "up"
                return
            self._told = True
            event = int.from_bytes(frames[0][:2], sys.byteorder)
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                yield "up"
            elif event == zmq.EVENT_DISCONNECTED:
                yield "down"
            else:
                yield "refused"

    def close(self) -> None:
        """Stop watching."""
        self._dealer.disable_monitor()
        self.socket.close()
