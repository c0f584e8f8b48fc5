"""Sockets, keys and framing between nodes and controller.

Every socket is CURVE: encrypted, the controller's key pinned on the node, the node's key on the controller's
allow-list.  There is no plaintext mode.  Secret keys live in a folder of mode 0700, in files of mode 0600; anything
more open is refused.

A keys folder holds `<name>.key` (secret), `<name>.pub`, and at the controller `nodes/<node>.pub`, the allow-list.
"""

import contextlib
import logging
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Literal, Protocol, Self, TypeVar

import msgspec
import zmq

from camera_nodes import wire
from camera_nodes.errors import KeyRefused, Malformed, WireError
from common.files.atomic_write import write_whole
from common.files.secret_files import NoSecret, check_private, write_secret

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

log = logging.getLogger(__name__)

REFUSED_S = 2.0  # a node whose key was refused knocks again after this long
CONTROLLER = "controller"  # name of the controller's key pair
_KEY_NAME = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\Z")
_Z85 = re.compile(r"\A[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")
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


# --- keys ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair in Z85 text.  The secret half is not shown by repr."""

    public: str
    secret: str = field(repr=False)


def make_keys(folder: Path, name: str) -> KeyPair:
    """Make `<name>.key` and `<name>.pub` in `folder` (made with mode 0700 when it is not there).

    Raises KeyRefused when the pair exists, the name is no plain name, or the folder is open to others.
    """
    _check_name(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder)
    pair = _draw_pair()
    path = folder / f"{name}.key"
    text = f"# secret key of {name}: never copy it to another machine\npublic = {pair.public}\nsecret = {pair.secret}\n"
    try:
        write_secret(path, text)
    except FileExistsError:
        raise KeyRefused(f"{path} exists already; remove it first if {name} shall have new keys") from None
    _write_public(folder / f"{name}.pub", pair.public)
    return pair


def _draw_pair() -> KeyPair:
    """A new pair whose public half begins with a letter or digit: typed after a command, "-abc" would be an option."""
    while True:
        public_bytes, secret_bytes = zmq.curve_keypair()
        if public_bytes[:1].isalnum():
            return KeyPair(public_bytes.decode(), secret_bytes.decode())


def load_keys(folder: Path, name: str) -> KeyPair:
    """The pair of `name`.  Raises KeyRefused: missing, malformed, or readable by others than its owner."""
    _check_name(name)
    path = folder / f"{name}.key"
    if not path.is_file():
        raise KeyRefused(f"no key file {path}: make one with `mien node keys {name} --keys {folder}`")
    _check_private(folder)
    _check_private(path)
    values: dict[str, str] = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        name_, separator, value = line.partition(" = ")
        if separator and not line.startswith("#"):
            values[name_.strip()] = value.strip()
    public, secret = values.get("public", ""), values.get("secret", "")
    if not (_Z85.match(public) and _Z85.match(secret)):
        raise KeyRefused(f"{path} is not a key file: it needs the lines 'public = ...' and 'secret = ...'")
    if zmq.curve_public(secret.encode()).decode() != public:
        raise KeyRefused(f"{path}: the public key does not belong to the secret one")
    return KeyPair(public, secret)


def ensure_keys(folder: Path, name: str) -> KeyPair:
    """The pair of `name`, made now if it is not there."""
    return load_keys(folder, name) if (folder / f"{name}.key").exists() else make_keys(folder, name)


def load_public(path: Path) -> str:
    """The public key in a `.pub` file.  Raises KeyRefused: missing, malformed, or writable by others."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise KeyRefused(f"cannot read the public key {path}: {error.strerror}") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyRefused(f"{path} can be changed by others: chmod 644 {path}")
    return check_public(text, str(path))


def check_public(key: str, where: str) -> str:
    """`key` itself if it is a Z85 public key; KeyRefused naming `where` otherwise."""
    if not _Z85.match(key):
        raise KeyRefused(f"{where}: a public key is 40 characters of Z85, not {key[:50]!r}")
    return key


def _check_name(name: str) -> None:
    if not _KEY_NAME.match(name):
        raise KeyRefused(
            f"{name!r} cannot name a key: letters, digits, '.', '_' and '-', not beginning with '.' or '-'"
        )


def _check_private(path: Path) -> None:
    try:
        check_private(path, owners=(os.geteuid(), 0))
    except NoSecret as error:
        if error.fault == "owner":
            raise KeyRefused(f"{path} belongs to another user (uid {error.uid})") from None
        wanted = "700" if path.is_dir() else "600"
        raise KeyRefused(f"{path} is open to other users (mode {error.mode:o}): chmod {wanted} {path}") from None


def pin_controller(folder: Path, public: str) -> bool:
    """Write the controller's key where the node looks for it.  True when another one was pinned before."""
    path = folder / f"{CONTROLLER}.pub"
    known = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else public
    _write_public(path, check_public(public, "the controller's key"))
    return known != public


def _write_public(path: Path, public: str) -> None:
    write_whole(path, public + "\n", mode=0o644, durable=False)


class KnownKeys(Protocol):
    """Who may connect: the name behind a public key, or None."""

    def name_of(self, public: str) -> str | None: ...


class AllowList:
    """The nodes that may connect: one `<node>.pub` a node in `<keys>/nodes`.  Read anew when the folder changes."""

    def __init__(self, keys_folder: Path) -> None:
        self.folder = keys_folder / "nodes"
        self._stamp = -1
        self._names: dict[str, str] = {}  # public key -> node

    def add(self, node: str, public: str) -> None:
        """Let `node` in.  Raises KeyRefused when the key is malformed or enrolled under another name."""
        _check_name(node)
        check_public(public, node)
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        other = self.name_of(public)
        if other not in (None, node):
            raise KeyRefused(f"this key is enrolled as {other}: every node has its own (`mien node keys {node}`)")
        _write_public(self.folder / f"{node}.pub", public)

    def remove(self, node: str) -> None:
        """Let `node` in no longer (from its next connection on)."""
        _check_name(node)
        (self.folder / f"{node}.pub").unlink(missing_ok=True)

    def name_of(self, public: str) -> str | None:
        """The node whose key this is, or None."""
        self._refresh()
        return self._names.get(public)

    def key_of(self, node: str) -> str | None:
        """The public key under which `node` is enrolled, or None.  Raises KeyRefused for what cannot be a name."""
        _check_name(node)
        self._refresh()
        return next((public for public, name in self._names.items() if name == node), None)

    def names(self) -> list[str]:
        """The enrolled nodes, sorted."""
        self._refresh()
        return sorted(self._names.values())

    def _refresh(self) -> None:
        try:
            stamp = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            self._names = {}
            return
        if stamp == self._stamp and time.time_ns() - stamp > 2_000_000_000:  # a file system's stamps may be coarse
            return
        names: dict[str, str] = {}
        for path in sorted(self.folder.glob("[!.]*.pub")):
            try:
                names[load_public(path)] = path.stem
            except KeyRefused as refusal:
                log.error("allow-list: %s", refusal)
        self._names, self._stamp = names, stamp


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
    """A message at the controller: the route to answer to, the enrolled node it came from, and when (monotonic ns)."""

    route: bytes
    node: str
    message: _M
    at_ns: int


@dataclass(frozen=True)
class BadMessage:
    """Something from an enrolled node (or one just struck off the list: node "") that was no message."""

    route: bytes
    node: str
    error: WireError


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
