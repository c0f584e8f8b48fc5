"""Proves photographs whole in a process of its own, one a machine, at the lowest priority.

The decoder's library is no weight in the node's process, a photograph that kills it kills no node, and the 68 nodes of
a machine share one. The first that needs it starts it; it ends when nobody has asked for a while. They find it under a
name in Linux's abstract socket namespace, which is taken by one and vanishes with it; each side asks the kernel that
the other is of the same user.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import struct
import sys
import time
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from common.bounded.files import read_bytes
from common.bounded.jpeg_integrity import examine, is_progressive
from common.bounded.limits import OutOfBounds

log = logging.getLogger(__name__)

Answer = Literal["whole", "damaged", "unknown"]

IDLE_S = 60.0
AGAIN_S = 60.0  # after the verifier could not be had
MAX_BYTES = 200_000_000
_NAME = "\0mien-prover-{uid}-{code:08x}"
_PROVEN = "proven"  # file beside a photograph in the spool, so that a node that starts again need not ask again


class JpegVerifier:
    """A node's side: one question at a time, never waited for. Use it from one thread."""

    def __init__(self, name: str = "", idle_s: float = IDLE_S) -> None:
        """name: of the socket, by default one for this user and this very code."""
        self._name = name or _NAME.format(uid=os.getuid(), code=zlib.crc32(__file__.encode()))
        self._idle_s = idle_s
        self._socket: socket.socket | None = None
        self._child = 0
        self._asked: Path | None = None
        self._next_try = 0.0 if find_spec("simplejpeg") is not None else float("inf")

    @property
    def busy(self) -> bool:
        return self._asked is not None

    def fileno(self) -> int | None:
        """To poll for reading: an answer, or the end of the verifier."""
        return None if self._socket is None else self._socket.fileno()

    def ask(self, photo: Path) -> bool:
        """Begin with a file. False when the verifier cannot be had now."""
        if self._asked is not None or time.monotonic() < self._next_try:
            return False
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.send(os.fsencode(photo.resolve()))
        except OSError as error:
            log.info("photographs are not proven here: %s", error)
            self._drop()
            return False
        self._asked = photo
        return True

    def answer(self) -> tuple[Path, Answer, str] | None:
        """What has been found of the file asked about, and the flaw where it is damaged; None while it is looked at."""
        if self._socket is None:
            return None
        try:
            data = self._socket.recv(4096)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        photo, self._asked = self._asked, None
        if not data:  # it has ended: of itself, or because of this photograph
            self._drop(again_s=0.0 if photo is None else AGAIN_S)
        if photo is None:
            return None
        kind, _, text = data.decode("utf-8", "replace").partition(" ")
        if kind == "whole":
            with contextlib.suppress(OSError):
                (photo.parent / _PROVEN).touch()
            return photo, "whole", ""
        return (photo, "damaged", text) if kind == "damaged" else (photo, "unknown", "")

    def close(self) -> None:
        self._drop(again_s=0.0)

    def _drop(self, again_s: float = AGAIN_S) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._asked = None, None
        self._next_try = time.monotonic() + again_s
        self._reap()

    def _reap(self) -> None:
        if self._child:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._child, os.WNOHANG) == (0, 0):
                    return
            self._child = 0

    def _connect(self) -> socket.socket:
        for _ in range(3):
            found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                found.connect(self._name)
                if _user_of(found) != os.getuid():
                    raise PermissionError("another user holds the name of the verifier")
                found.setblocking(False)
                return found
            except ConnectionRefusedError:
                found.close()
                self._start()
            except BaseException:
                found.close()
                raise
        raise ConnectionError("the verifier does not start")

    def _start(self) -> None:
        """Take the name here, so that whoever comes now is already in its queue, and hand it to the new process."""
        self._reap()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            try:
                listener.bind(self._name)
            except OSError:  # another node was faster
                return
            listener.listen(128)
            listener.set_inheritable(True)
            command = [sys.executable, "-m", __name__, str(listener.fileno()), f"{self._idle_s:g}"]
            nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
            self._child = os.posix_spawn(sys.executable, command, os.environ, file_actions=nothing, setsid=True)


def was_verified(photo: Path) -> bool:
    """Whether an earlier answer about this file was "whole"."""
    return (photo.parent / _PROVEN).exists()


def verify_jpeg(path: Path) -> str:
    """The answer about a file: "whole", "damaged <why>", or "unknown" where it is left to the studio."""
    try:
        data = read_bytes(path, MAX_BYTES)
        if is_progressive(data):
            return "unknown"  # that is too much memory for a small computer
        verdict = examine(data)
    except (OSError, OutOfBounds, MemoryError, ImportError):
        return "unknown"
    return f"damaged {verdict.flaw}" if verdict.flaw else "whole" if verdict.strict else "unknown"


def serve(listener: socket.socket, idle_s: float) -> None:
    """Answer until nobody has asked for `idle_s`."""
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    last = time.monotonic()
    while (left := last + idle_s - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            if key.fileobj is listener:
                client, _address = listener.accept()
                if _user_of(client) != os.getuid():
                    client.close()
                    continue
                selector.register(client, selectors.EVENT_READ)
                continue
            asker = key.fileobj
            assert isinstance(asker, socket.socket)
            try:
                asked = asker.recv(8192)
                if asked:
                    asker.send(verify_jpeg(Path(os.fsdecode(asked))).encode()[:4000])
            except OSError:
                asked = b""
            last = time.monotonic()
            if not asked:
                selector.unregister(asker)
                asker.close()


def _user_of(peer: socket.socket) -> int:
    _pid, user, _group = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(user)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(19)
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        serve(listener, float(sys.argv[2]))


if __name__ == "__main__":
    main()
