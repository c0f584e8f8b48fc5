"""Which pages are in contact: their streams are open, and the other end takes what is sent.

A page says nothing while nobody clicks. Its machine does: it acknowledges each beat, and the kernel of this one knows
when it did last. A network that was cut shows so within some seconds, long before the connection is given up.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_TCP_INFO: Final = struct.Struct("8B24I")
_UNACKED, _LAST_ACK = 8 + 4, 8 + 12  # segments that wait for their acknowledgement; ms since one came


class ConsoleContacts:
    """The open streams by the page's name for itself. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, list[Callable[[], float]]] = {}
        self._left: dict[str, float] = {}  # monotonic s, when its last stream ended

    @contextmanager
    def open(self, console: str, silence_s: Callable[[], float]) -> Iterator[None]:
        """A stream of this page is open. silence_s: for how long its other end has not shown that it is there."""
        with self._lock:
            self._open.setdefault(console, []).append(silence_s)
        try:
            yield
        finally:
            with self._lock:
                streams = self._open[console]
                streams.remove(silence_s)
                if not streams:
                    del self._open[console]
                    self._left[console] = time.monotonic()
                    while len(self._left) > 1000:
                        del self._left[next(iter(self._left))]

    def silent_s(self, console: str) -> float:
        """For how long nothing was heard of the page, seconds; infinite when it never was."""
        with self._lock:
            streams, left = list(self._open.get(console, ())), self._left.get(console)
        if streams:
            return min(silence() for silence in streams)
        return float("inf") if left is None else time.monotonic() - left


def tcp_silence_s(connection: socket.socket) -> float:
    """For how long the other end owes an acknowledgement of what was sent; 0 when it owes none. Linux."""
    try:
        found = _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    except (OSError, struct.error):
        return float("inf")
    return found[_LAST_ACK] / 1e3 if found[_UNACKED] else 0.0
