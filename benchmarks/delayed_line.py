"""A slow, unsteady network line for benchmarks and tests: a TCP relay that holds every piece back for a random time.

The delay is drawn anew for each piece and each way. The order is kept, as TCP keeps it, so a piece may wait for the one
before it. The kernel's netem would do the same, but needs privileges and a kernel that has it. The relay is a process
of its own, so that it does not slow down whom it joins, goes before all others where that is permitted, and waits with
fine timers: an event loop's are coarse.
"""

import heapq
import os
import random
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO


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
    """Relay until standard input ends. One thread; select() for its timer, which is finer than epoll's milliseconds."""
    host, _, port = target.removeprefix("tcp://").rpartition(":")
    draw = random.Random(seed)
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    with suppress(PermissionError):  # a network does not wait for a processor
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    print(server.getsockname()[1], flush=True)
    partner: dict[socket.socket, socket.socket] = {}
    due_ns: dict[socket.socket, int] = {}
    heap: list[tuple[int, int, socket.socket, bytes]] = []
    readable: list[socket.socket | TextIO] = [sys.stdin, server]
    count = 0
    while True:
        left_s = max(0.0, (heap[0][0] - time.monotonic_ns()) / 1e9) if heap else None
        for source in select.select(readable, [], [], left_s)[0]:
            if source is sys.stdin:
                return
            if source is server:
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
                    readable.append(one)
                continue
            assert isinstance(source, socket.socket)
            try:
                piece = source.recv(65536)
            except OSError:
                piece = b""
            wait_ns = round(draw.uniform(least_ms, most_ms) * 1e6)
            due_ns[source] = max(due_ns.get(source, 0), time.monotonic_ns() + wait_ns)
            count += 1  # equal moments keep their order
            heapq.heappush(heap, (due_ns[source], count, partner[source], piece))
            if not piece:  # an empty one ends that way of the connection
                readable.remove(source)
        while heap and heap[0][0] <= time.monotonic_ns():
            _, _, sink, piece = heapq.heappop(heap)
            with suppress(OSError):
                if piece:
                    sink.sendall(piece)
                else:
                    sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
