"""A slow, unsteady network line for benchmarks and tests: a TCP relay that holds every piece back for a random time.

The delay is drawn anew for each piece and each way. The order is kept, as TCP keeps it, so a piece may wait for the one
before it. The kernel's netem would do the same, but needs privileges and a kernel that has it. The relay is a process
of its own, so that it does not slow down whom it joins, and waits with fine timers: an event loop's are coarse.
"""

import heapq
import random
import selectors
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class DelayedLine:
    """Relays `endpoint` to `target` ("tcp://HOST:PORT"), each piece least_ms to most_ms late; a context manager."""

    def __init__(self, target: str, least_ms: float, most_ms: float, seed: int = 0) -> None:
        self._command = [sys.executable, __file__, target, str(least_ms), str(most_ms), str(seed)]
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.endpoint = f"tcp://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)  # closes its standard input, which ends it


def serve(target: str, least_ms: float, most_ms: float, seed: int) -> None:
    """Relay until standard input ends."""
    host, _, port = target.removeprefix("tcp://").rpartition(":")
    draw = random.Random(seed)
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    sender = _Sender()
    print(server.getsockname()[1], flush=True)
    partner: dict[socket.socket, socket.socket] = {}
    due_ns: dict[socket.socket, int] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is server:
                near, _ = server.accept()
                try:
                    far = socket.create_connection((host, int(port)), timeout=5)
                except OSError:
                    near.close()
                    continue
                for one, other in ((near, far), (far, near)):
                    one.settimeout(5)
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    partner[one] = other
                    selector.register(one, selectors.EVENT_READ)
                continue
            source = key.fileobj
            assert isinstance(source, socket.socket)
            try:
                piece = source.recv(65536)
            except OSError:
                piece = b""
            wait_ns = round(draw.uniform(least_ms, most_ms) * 1e6)
            due_ns[source] = max(due_ns.get(source, 0), time.monotonic_ns() + wait_ns)
            sender.later(due_ns[source], partner[source], piece)
            if not piece:
                selector.unregister(source)


class _Sender:
    """Sends pieces when they are due, from a thread of its own; an empty one ends that way of the connection."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, socket.socket, bytes]] = []
        self._count = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._send, daemon=True).start()

    def later(self, due_ns: int, sink: socket.socket, piece: bytes) -> None:
        with self._changed:
            self._count += 1  # equal moments keep their order
            heapq.heappush(self._heap, (due_ns, self._count, sink, piece))
            self._changed.notify()

    def _send(self) -> None:
        while True:
            with self._changed:
                while not self._heap or (left_ns := self._heap[0][0] - time.monotonic_ns()) > 0:
                    self._changed.wait(left_ns / 1e9 if self._heap else None)
                _, _, sink, piece = heapq.heappop(self._heap)
            with suppress(OSError):
                if piece:
                    sink.sendall(piece)
                else:
                    sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
