"""The publisher: one thread composes the state when something changed and somebody listens; listeners get the changes.

Each change is serialised once for all listeners. A listener that does not keep up is given the newest snapshot instead
of a backlog. While a fire is near nothing is composed, but once as its quiet window opens.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from controller.change_bell import ChangeBell
from controller.console.stream.listener import Listener, event_bytes
from controller.console.stream.merge_patch import make_patch
from controller.console.stream.screen_listener import ScreenListener

log = logging.getLogger(__name__)

SHORTEST_S = 0.1  # between two states
LONGEST_S = 0.5  # so often at least: time itself changes some things, and so do other processes
URGENT = ("take", "records", "trigger", "lights", "preflight", "roster", "listeners")  # topics that wait no longer
BEAT_S = 1.0


class StateSource(Protocol):
    """What composes the state."""

    @property
    def pending(self) -> bool:
        """Whether something has changed that the last state does not have, and the bell may not tell of again."""
        ...

    def compose(self) -> dict[str, Any]:
        """The state as it is now: a new object, in which what did not change is the same object as before."""
        ...


class Publisher:
    """Composes only while somebody listens. stop() ends every stream and the thread."""

    def __init__(self, bell: ChangeBell, source: StateSource) -> None:
        self._bell = bell
        self._source = source
        self._lock = threading.Condition()
        self._listeners: list[Listener] = []
        self._state: dict[str, Any] = {}
        self._whole = b""
        self._composed = -1  # what the bell had counted when the state was composed last
        self._fresh = False  # the state is of now, as somebody has listened all the time
        self._running = True
        self._thread: threading.Thread | None = None
        self.revision = 0

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
            _call(listener, listener.end)
        self._bell.ring("listeners")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)

    async def listen(self, view: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None) -> AsyncIterator[bytes]:
        """Events of one stream, in the running event loop.

        view: the part of the state that is told, whole each time; all of it in changes by default.
        """
        loop = asyncio.get_running_loop()
        listener = Listener(loop) if view is None else ScreenListener(loop)
        with self._lock:
            if not self._running:
                return
            self._listeners.append(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mien-stream", daemon=True)
                self._thread.start()
            self._lock.notify_all()
        beats = asyncio.ensure_future(self._beat(listener))
        try:
            joined = self._bell.ring("listeners")
            snapshot = partial(self._snapshot, joined) if view is None else partial(self._viewed, view, joined)
            async for event in listener.events(snapshot):
                yield event
        finally:
            beats.cancel()
            with self._lock:
                self._listeners.remove(listener)
            self._bell.ring("listeners")

    async def _beat(self, listener: Listener) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            listener.beat(event_bytes("beat", {"revision": self.revision, "at": _now_ms()}))

    def _snapshot(self, joined: int) -> tuple[int, bytes]:
        """The newest state whole; nothing while there is none that was composed after the `joined`th ring."""
        with self._lock:
            if not self._fresh or self._composed < joined:
                return -1, b""
            if not self._whole:
                self._whole = msgspec.json.encode(self._state)
            head = f'{{"revision":{self.revision},"at":{_now_ms()},"state":'
            return self.revision, b"event: snapshot\ndata: " + head.encode() + self._whole + b"}\n\n"

    def _viewed(self, view: Callable[[Mapping[str, Any]], dict[str, Any]], joined: int) -> tuple[int, bytes]:
        """A part of the newest state as JSON; nothing while there is none, as for _snapshot."""
        with self._lock:
            if not self._fresh or self._composed < joined:
                return -1, b""
            revision, state = self.revision, self._state
        return revision, msgspec.json.encode(view(state))

    def _run(self) -> None:
        seen, told_quiet = -1, False
        while True:
            with self._lock:
                if not self._listeners:
                    self._fresh = False
                self._lock.wait_for(lambda: bool(self._listeners) or not self._running)
                if not self._running:
                    return
            if self._fresh and not self._bell.any_since(URGENT, seen):
                time.sleep(SHORTEST_S)  # figures of cameras: half as often
            began = time.monotonic()
            seen, quiet = self._bell.count, self._bell.quiet
            if not (quiet and told_quiet and self._fresh):
                self._compose(seen)
            told_quiet = quiet
            time.sleep(max(0.0, began + SHORTEST_S - time.monotonic()))
            self._bell.wait(seen, SHORTEST_S if self._source.pending else LONGEST_S)

    def _compose(self, seen: int) -> None:
        try:
            self._publish(self._source.compose(), seen)
        except Exception:  # pages see that nothing comes; the next time may be better
            log.exception("the page's state could not be composed")

    def _publish(self, state: dict[str, Any], seen: int) -> None:
        with self._lock:
            patch = make_patch(self._state, state) if self._fresh else None
            if patch != {}:
                self.revision += 1
                self._state, self._whole, self._fresh = state, b"", True
            self._composed = seen
            revision, listeners = self.revision, list(self._listeners)
        change = event_bytes("change", {"revision": revision, "patch": patch}) if patch else b""
        for listener in listeners:
            if patch is None:
                _call(listener, listener.start_again)
            elif patch:
                _call(listener, listener.put, revision, change)
            elif listener.behind:
                _call(listener, listener.look)


def _call(listener: Listener, what: Callable[..., None], *given: Any) -> None:
    try:
        listener.loop.call_soon_threadsafe(what, *given)
    except RuntimeError:  # its event loop has ended
        log.debug("a listener's loop is gone")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
