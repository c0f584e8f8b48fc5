"""The publisher: one thread composes the state when something changed and somebody listens; listeners get the changes.

Each change is serialised once for all listeners. A listener that does not keep up is given the newest snapshot instead
of a backlog.
"""

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.sse import format_sse_event

from controller.change_bell import ChangeBell
from controller.console.stream.merge_patch import make_patch
from db.errors import RecordError

log = logging.getLogger(__name__)

SHORTEST_S = 0.1  # between two states
LONGEST_S = 1.0  # so often at least: time itself changes some things, and so do other processes
BEAT_S = 1.0
BACKLOG = 32  # changes that a listener may be behind


class Listener:
    """One page's end of the stream; everything but its making runs in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._sent = -1  # the revision that it has
        self._wake = asyncio.Event()
        self._ended = False
        self.behind = True  # its next event is a snapshot

    def put(self, revision: int, change: bytes) -> None:
        """The change that makes this revision is there for it."""
        if self.behind or revision <= self._sent:
            return
        if len(self._waiting) >= BACKLOG:
            self._waiting.clear()
            self.behind = True
        else:
            self._waiting.append((revision, change))
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    async def events(
        self, snapshot: Callable[[], tuple[int, bytes]], beat: Callable[[], bytes]
    ) -> AsyncIterator[bytes]:
        """What goes out, as it comes; ends with the studio."""
        while not self._ended:
            self._wake.clear()
            if self.behind:
                self._sent, whole = snapshot()
                self.behind = not whole
                if whole:
                    yield whole
            while self._waiting and not self._ended:
                self._sent, change = self._waiting.popleft()
                yield change
            try:
                await asyncio.wait_for(self._wake.wait(), BEAT_S)
            except TimeoutError:
                if not self.behind:
                    yield beat()
        yield format_sse_event(event="end", data_str="{}")


class Publisher:
    """start() runs the thread, stop() ends it and every stream. Composes only while somebody listens."""

    def __init__(self, bell: ChangeBell, compose: Callable[[], dict[str, Any]]) -> None:
        self._bell = bell
        self._compose = compose
        self._lock = threading.Condition()
        self._listeners: list[Listener] = []
        self._state: dict[str, Any] = {}
        self._whole = b""
        self.revision = 0
        self._running = True
        self._thread: threading.Thread | None = None

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        with self._lock:
            return len(self._listeners)

    def stop(self) -> None:
        """End every stream, then the thread."""
        with self._lock:
            self._running = False
            listeners = list(self._listeners)
            self._lock.notify_all()
        for listener in listeners:
            self._call(listener, listener.end)
        self._bell.ring("end")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)

    async def listen(self) -> AsyncIterator[bytes]:
        """Events of one stream, in the running event loop."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            if not self._running:
                return
            self._listeners.append(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mien-stream", daemon=True)
                self._thread.start()
            if len(self._listeners) == 1:
                self._whole = b""  # nobody has looked after it meanwhile
            self._lock.notify_all()
        self._bell.ring("listeners")
        try:
            async for event in listener.events(self._snapshot, self._beat):
                yield event
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def _snapshot(self) -> tuple[int, bytes]:
        with self._lock:
            if not self._whole and self._state and self._fresh:
                data = json.dumps({"revision": self.revision, "state": self._state}, separators=(",", ":"))
                self._whole = format_sse_event(event="snapshot", data_str=data)
            return self.revision, self._whole

    def _beat(self) -> bytes:
        return format_sse_event(event="beat", data_str=f'{{"revision":{self.revision}}}')

    _fresh = False

    def _run(self) -> None:
        seen, told_quiet = -1, False
        while True:
            with self._lock:
                if not self._listeners:
                    self._fresh, self._whole = False, b""
                self._lock.wait_for(lambda: bool(self._listeners) or not self._running)
                if not self._running:
                    return
            began = time.monotonic()
            seen = self._bell.count
            quiet = self._bell.quiet
            if not (quiet and told_quiet and self._fresh):  # once as the window opens, for the word HOLD STILL
                try:
                    self._publish(self._compose())
                except RecordError as error:
                    log.warning("the page's state is not composed now: %s", error)
                except Exception:
                    log.exception("the page's state could not be composed")
            told_quiet = quiet
            self._bell.wait(seen, LONGEST_S)
            time.sleep(max(0.0, SHORTEST_S - (time.monotonic() - began)))

    def _publish(self, state: dict[str, Any]) -> None:
        with self._lock:
            patch = make_patch(self._state, state) if self._fresh else None
            if patch == {}:
                return
            self.revision += 1
            self._state, self._whole, self._fresh = state, b"", True
            listeners = list(self._listeners)
        if patch is None:
            for listener in listeners:
                self._call(listener, listener.wake)
            return
        data = json.dumps({"revision": self.revision, "patch": patch}, separators=(",", ":"))
        change = format_sse_event(event="change", data_str=data)
        for listener in listeners:
            self._call(listener, listener.put, self.revision, change)

    @staticmethod
    def _call(listener: Listener, what: Callable[..., None], *given: Any) -> None:
        try:
            listener.loop.call_soon_threadsafe(what, *given)
        except RuntimeError:  # its event loop has ended
            log.debug("a listener's loop is gone")
