"""A slow, unsteady network line for benchmarks and tests: a TCP relay that holds every piece back for a random time.

The delay is drawn anew for each piece and each way. The order is kept, as TCP keeps it, so a piece may wait for the one
before it. The kernel's netem would do the same, but needs privileges and a kernel that has it.
"""

import asyncio
import random
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class DelayedLine:
    """Relays 127.0.0.1:`port` to `target` ("tcp://HOST:PORT"). A context manager; runs in a thread of its own.

    delay_s draws the delay of one piece in seconds.
    """

    def __init__(self, target: str, delay_s: Callable[[random.Random], float], seed: int = 0) -> None:
        host, _, port = target.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self._delay_s = delay_s
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delayed-line", daemon=True)
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the delayed line does not listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._ways: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            sink.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            way = asyncio.create_task(self._relay(source, sink))
            self._ways.add(way)
            way.add_done_callback(self._ways.discard)

    async def _relay(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        passing = asyncio.create_task(self._pass_on(pieces, sink))
        try:
            while piece := await source.read(65536):
                pieces.put_nowait((self._loop.time() + self._delay_s(self._random), piece))
        except ConnectionError:
            pass
        finally:
            pieces.put_nowait((0.0, b""))
            await passing

    async def _pass_on(self, pieces: "asyncio.Queue[tuple[float, bytes]]", sink: asyncio.StreamWriter) -> None:
        while True:
            due, piece = await pieces.get()
            if not piece or sink.is_closing():
                sink.close()
                return
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            sink.write(piece)
