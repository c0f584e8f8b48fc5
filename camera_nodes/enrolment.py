"""Enrolment with a one-time code: the studio shows a code, the node presents it with its public key, both pin.

The code is the only secret the two sides share, and both of them prove it before a word is said: the CURVE keys of the
enrolment socket, the studio's and the node's, are derived from it.  Who does not know the code can neither finish the
handshake nor pretend to be the studio, so the public keys that change hands are authentic.  Only public keys do.

The code has 55 random bits and goes through scrypt: somebody who records the handshake must try 2^54 codes, 40 ms each,
before it expires.  docs/wire.md has the exchange, docs/decisions/ the reasons.
"""

import hashlib
import logging
import secrets
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import zmq
from zmq.utils import z85

from camera_nodes import curve_keys, transport, wire
from camera_nodes.curve_keys import CONTROLLER, AllowList, KeyPair
from camera_nodes.errors import BadSettings, CodeRefused, KeyRefused, WireError
from camera_nodes.transport import Authenticator
from common.bounded.json_toml import read_toml

log = logging.getLogger(__name__)

PORT = 5703
LIFE_S = 900.0
ATTEMPTS = 10  # wrong codes before the right one is withdrawn too
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's 32: no I, L, O, U
_RANDOM = 11  # letters of 5 bits; one more checks them
_SEEN = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
_TURN_S = 0.25
_LAST_WORD_S = 5.0  # how long the studio repeats its answer to a node that did not hear it
_WATCHED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


# --- the code ------------------------------------------------------------------------------------------------------


def new_code() -> str:
    """A fresh code, such as "K7QM-2RXP-9D4T"."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    letters += _check_letter(letters)
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))


def read_code(text: str) -> str:
    """The code as typed, in its one spelling: case, spaces and dashes do not matter, O is 0, I and L are 1.

    Raises CodeRefused when it cannot be a code, so a slip of the finger costs no attempt.
    """
    letters = text.strip().upper().translate(_SEEN)
    if len(letters) != _RANDOM + 1 or any(letter not in _LETTERS for letter in letters):
        raise CodeRefused(f"{text[:40]!r} is no code: it has {_RANDOM + 1} letters and digits, such as K7QM-2RXP-9D4T")
    if _check_letter(letters[:_RANDOM]) != letters[-1]:
        raise CodeRefused(f"{text[:40]!r} is mistyped: compare it with what the studio shows")
    return letters


def _check_letter(letters: str) -> str:
    return _LETTERS[hashlib.sha256(letters.encode()).digest()[0] % len(_LETTERS)]


def derive_keys(code: str) -> tuple[KeyPair, KeyPair]:
    """The studio's and the node's CURVE pair for the enrolment socket, from the code alone.  Raises CodeRefused."""
    seed = hashlib.scrypt(read_code(code).encode(), salt=b"mien enrolment 1", n=2**14, r=8, p=1, dklen=64)
    return _pair(seed[:32]), _pair(seed[32:])


def _pair(seed: bytes) -> KeyPair:
    secret = z85.encode(seed)
    return KeyPair(zmq.curve_public(secret).decode(), secret.decode())


class _OnlyThis:
    """The one key that may speak on an enrolment socket: the one derived from its code."""

    def __init__(self, public: str, node: str) -> None:
        self._public, self._node = public, node

    def name_of(self, public: str) -> str | None:
        return self._node if public == self._public else None


# --- at the studio -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EnrolledNode:
    """A node that was let in."""

    node: str  # the name that it is enrolled under
    public: str  # its public key, Z85
    replaced: bool  # it had another key before


class Enrolment:
    """One code for one node, open for a while on a socket of its own.  A context manager; nothing of it is on disk.

    address: ZeroMQ's, "tcp://10.0.0.1:5703".  control, bulk: the studio's endpoints, told to the node.
    """

    def __init__(
        self, keys_folder: Path, node: str, address: str, *, control: str = "", bulk: str = "",
        life_s: float = LIFE_S, attempts: int = ATTEMPTS,
    ) -> None:  # fmt: skip
        """Raises KeyRefused: the name is no name, or the studio's own keys cannot be used."""
        self.node = node
        self.code = new_code()
        self.endpoint = ""
        self._allowed = AllowList(keys_folder)
        self._allowed.key_of(node)  # raises for what cannot be a name
        self._controller = curve_keys.ensure_keys(keys_folder, CONTROLLER)
        self._address = address
        self._answer = wire.Enrolled(controller=self._controller.public, control=control, bulk=bulk)
        self._life_s = life_s
        self._left = attempts
        self._withdrawn = False
        self._joined: EnrolledNode | None = None

    def __enter__(self) -> Self:
        """Raises BadSettings when the address cannot be listened on."""
        ours, theirs = derive_keys(self.code)
        self._only = _OnlyThis(theirs.public, self.node)
        self._context: transport.Context = zmq.Context()
        self._guard = Authenticator(self._context, self._only)
        self._guard.__enter__()
        try:
            self._router, self.endpoint = transport.bind_router(
                self._context, self._address, ours, limit=wire.CONTROL_LIMIT
            )
        except zmq.ZMQError as error:
            self._close()
            raise BadSettings(
                f"cannot listen on {self._address}: {error.strerror}; is another enrolment open? --listen tcp://HOST:PORT"
            ) from None
        self._monitor = self._router.get_monitor_socket(_WATCHED)
        self._end = time.monotonic() + self._life_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._router.disable_monitor()
        self._monitor.close()
        self._router.close()
        self._close()

    def _close(self) -> None:
        self._guard.__exit__(None, None, None)
        self._context.destroy(linger=200)

    def wait(self) -> EnrolledNode:
        """Until the node has come.  Raises CodeRefused when the code expires or too many wrong ones were tried."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while not self._withdrawn and (left := self._end - time.monotonic()) > 0:
            poller.poll(round(min(left, _TURN_S) * 1000) + 1)
            self._count_wrong_codes()
            while received := transport.receive(
                self._router, wire.NODE_ENROLMENT, self._only, limit=wire.CONTROL_LIMIT
            ):
                if isinstance(received, transport.BadMessage):
                    log.warning("enrolment: refused a message: %s", received.error)
                elif isinstance(received.message, wire.Enrol):
                    answer = self._judge(received.message)
                    transport.send_to(self._router, received.route, answer, limit=wire.CONTROL_LIMIT)
                elif self._joined is not None:
                    return self._joined
        if self._joined is not None:
            return self._joined  # whether it heard the answer is not known; if not, it says so and asks for a new code
        if self._withdrawn:
            raise CodeRefused(f"the code for {self.node} was withdrawn")
        raise CodeRefused(
            f"nobody came with the code for {self.node} in {self._life_s / 60:g} minutes; it is worth nothing now"
        )

    def withdraw(self) -> None:
        """The code is good for nothing from now on, and wait() ends.  From any thread."""
        self._withdrawn = True

    def _judge(self, message: wire.Enrol) -> "wire.Enrolled | wire.NotEnrolled":
        if message.node != self.node:
            return wire.NotEnrolled(reason=f"this code is for {self.node}, not for {message.node}")
        if self._joined is not None:  # single use: the same node may ask again for an answer it did not hear
            same = message.public == self._joined.public
            return self._answer if same else wire.NotEnrolled(reason="this code has been used: make another")
        before = self._allowed.key_of(self.node)
        try:
            self._allowed.add(self.node, message.public)
        except KeyRefused as refusal:
            return wire.NotEnrolled(reason=str(refusal)[:1000])
        self._joined = EnrolledNode(self.node, message.public, before is not None and before != message.public)
        self._end = time.monotonic() + _LAST_WORD_S
        return self._answer

    def _count_wrong_codes(self) -> None:
        """Whoever has another code fails in the handshake.  What is no CURVE at all guesses nothing and is not counted.

        Raises CodeRefused after too many: the right code is withdrawn with them, unless it was used already.
        """
        while self._monitor.poll(0):
            event, value = struct.unpack("=HI", self._monitor.recv_multipart()[0])
            if event != zmq.EVENT_HANDSHAKE_FAILED_AUTH and value != zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
                continue
            self._left -= 1
            log.warning("enrolment of %s: a wrong code was tried; %d more are borne with", self.node, self._left)
            if self._left <= 0 and self._joined is None:
                raise CodeRefused(
                    f"too many wrong codes were tried; the one for {self.node} is withdrawn. "
                    "If you did not mistype it, somebody else is on this network"
                )


def studio_addresses(keys_folder: Path) -> tuple[str, str]:
    """The control and bulk endpoints in the studio.toml beside a studio's keys folder; ("", "") without them."""
    file = keys_folder.resolve().parent / "studio.toml"
    try:
        table = read_toml(file).get("studio", {})
    except FileNotFoundError:
        return "", ""
    except (OSError, ValueError) as error:
        raise BadSettings(f"{file} cannot be read: {error}") from None
    control, bulk = table.get("control", ""), table.get("bulk", "")
    return (control, bulk) if isinstance(control, str) and isinstance(bulk, str) else ("", "")


def listen_address(listen: str, control: str) -> str:
    """Where to listen: as asked, else on the control endpoint's own network, else on this machine only.

    A host without port gets PORT.  Raises BadSettings.
    """
    return full_address(listen or urlsplit(control).hostname or "127.0.0.1")


def full_address(text: str) -> str:
    """ "10.0.0.1", "10.0.0.1:5703" or "tcp://10.0.0.1:5703" as the last of them.  Raises BadSettings."""
    host, _, port = text.removeprefix("tcp://").partition(":")
    if not host or not (port or str(PORT)).replace("*", "0").isdecimal():
        raise BadSettings(f"{text!r} is no address: it is written HOST, HOST:PORT or tcp://HOST:PORT")
    return f"tcp://{host}:{port or PORT}"


# --- on the node ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PinnedStudio:
    """What the node has afterwards."""

    public: str  # its own public key, Z85
    controller: str  # the studio's public key, pinned from now on
    control: str  # the studio's control endpoint; may be empty
    bulk: str  # ... and the one for photographs
    replaced: bool  # another studio's key was pinned before


def join(keys_folder: Path, node: str, studio: str, code: str, timeout_s: float = 30.0) -> PinnedStudio:
    """Present `code` and the node's public key (made when it is not there) to the studio, and pin the studio's key.

    studio: as full_address takes it.  Raises CodeRefused with the studio's reason or what may be wrong; KeyRefused.
    """
    endpoint = full_address(studio)
    theirs, ours = derive_keys(code)
    keys = curve_keys.ensure_keys(keys_folder, node)
    context: transport.Context = zmq.Context()
    dealer = transport.connect_dealer(context, endpoint, ours, theirs.public, limit=wire.CONTROL_LIMIT)
    monitor = transport.Monitor(dealer)
    try:
        end = time.monotonic() + timeout_s
        _await_handshake(dealer, monitor, endpoint, end)
        answer = _ask(dealer, wire.Enrol(node=node, public=keys.public), endpoint, end)
        replaced = curve_keys.pin_controller(keys_folder, answer.controller)
        transport.send(dealer, wire.EnrolDone(), limit=wire.CONTROL_LIMIT)
        dealer.setsockopt(zmq.LINGER, 1000)
    finally:
        monitor.close()
        dealer.close()
        context.term()
    return PinnedStudio(keys.public, answer.controller, answer.control, answer.bulk, replaced)


def _await_handshake(dealer: transport.Socket, monitor: transport.Monitor, endpoint: str, end: float) -> None:
    poller = zmq.Poller()
    poller.register(monitor.socket, zmq.POLLIN)
    poller.register(dealer, zmq.POLLOUT)
    while (left := end - time.monotonic()) > 0:
        poller.poll(round(left * 1000) + 1)
        for event in monitor.events():
            if event == "up":
                return
            raise CodeRefused(  # once is enough: every further try would count as a guess
                f"the studio at {endpoint} does not take this code: it is another studio's, was used, expired or was"
                " withdrawn. Make a new one there:  mien node enrol NAME"
            )
    raise CodeRefused(f"nobody answers at {endpoint}: is the code still open there, and is the address right?")


def _ask(dealer: transport.Socket, message: wire.Enrol, endpoint: str, end: float) -> wire.Enrolled:
    transport.send(dealer, message, limit=wire.CONTROL_LIMIT)
    while (left := end - time.monotonic()) > 0:
        if not dealer.poll(round(min(left, 1.0) * 1000) + 1):
            transport.send(dealer, message, limit=wire.CONTROL_LIMIT)
            continue
        try:
            answer = transport.receive_reply(dealer, wire.CONTROLLER_ENROLMENT, limit=wire.CONTROL_LIMIT)
        except WireError as error:
            raise CodeRefused(f"the studio at {endpoint} answered with something else: {error}") from None
        if isinstance(answer, wire.NotEnrolled):
            raise CodeRefused(f"the studio did not enrol {message.node}: {answer.reason}")
        if isinstance(answer, wire.Enrolled):
            return answer
    raise CodeRefused(f"the studio at {endpoint} took the code and said no more: make a new one there and try again")
