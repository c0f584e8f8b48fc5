"""Listeners that are slow, late or gone: every one ends in the newest state, and none keeps another waiting."""

import asyncio
import json
import random
import threading
import time
from typing import Any

import pytest
from patience import until

from controller.change_bell import ChangeBell
from controller.console.stream.listener import BACKLOG, Listener, event_bytes
from controller.console.stream.merge_patch import apply_patch, make_patch
from controller.console.stream.publisher import Publisher


def parsed(event: bytes) -> tuple[str, dict[str, Any]]:
    kind, data = event.decode().strip().split("\n", 1)
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


class Page:
    """Applies events as a page does."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.revision = -1
        self.kinds: list[str] = []

    def take(self, event: bytes) -> None:
        kind, data = parsed(event)
        self.kinds.append(kind)
        if kind == "snapshot":
            self.state = data["state"]
        elif kind == "change":
            assert data["revision"] == self.revision + 1, "a revision is missing"
            self.state = apply_patch(self.state, data["patch"])
        self.revision = data.get("revision", self.revision)


@pytest.mark.parametrize("seed", range(8))
def test_any_interleaving_of_slow_listeners_ends_in_the_newest_state(seed: int) -> None:
    rng = random.Random(seed)

    async def play() -> None:
        newest: dict[str, Any] = {}
        revision = 0
        listeners = [Listener(asyncio.get_running_loop()) for _ in range(4)]

        def snapshot() -> tuple[int, bytes]:
            return revision, event_bytes("snapshot", {"revision": revision, "state": newest})

        streams = [listener.events(snapshot) for listener in listeners]
        pages = [Page() for _ in listeners]
        coming: list[asyncio.Future[bytes] | None] = [None] * 4
        late: list[tuple[Listener, int, bytes]] = []  # what a thread has told and the loop has not done yet

        async def let_read(index: int) -> bool:
            """One event of a stream, where there is one."""
            if coming[index] is None:
                coming[index] = asyncio.ensure_future(streams[index].__anext__())  # type: ignore[arg-type]
            future = coming[index]
            assert future is not None
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not future.done():
                return False
            pages[index].take(future.result())
            coming[index] = None
            return True

        for _ in range(400):
            what = rng.random()
            if what < 0.5:
                after = {**newest, rng.choice("abcde"): rng.choice([1, "x", {"y": rng.random()}, {"z": 1}])}
                if rng.random() < 0.3:
                    after.pop(rng.choice("abcde"), None)
                if (patch := make_patch(newest, after)) == {}:
                    continue
                newest, revision = after, revision + 1
                change = event_bytes("change", {"revision": revision, "patch": patch})
                late += [(listener, revision, change) for listener in listeners]
            elif what < 0.75:
                for listener, at, change in late:
                    listener.put(at, change)
                late.clear()
            else:
                await let_read(rng.choice([0, 0, 0, 1, 2]))  # the last one never reads until the end
        for listener, at, change in late:
            listener.put(at, change)
        for index, page in enumerate(pages):
            while await let_read(index):
                assert len(listeners[index]._waiting) <= BACKLOG
            assert (page.state, page.revision) == (newest, revision)
        assert pages[3].kinds == ["snapshot"]
        for future in coming:
            if future is not None:
                future.cancel()

    asyncio.run(play())


class Counted:
    """A state that counts how often it was composed."""

    def __init__(self) -> None:
        self.composed = 0
        self.pending = False

    def compose(self) -> dict[str, Any]:
        self.composed += 1
        return {"composed": self.composed}


class Served:
    """A publisher with pages in an event loop of their own."""

    def __init__(self) -> None:
        self.bell, self.source = ChangeBell(), Counted()
        self.publisher = Publisher(self.bell, self.source)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def open(self) -> Page:
        page = Page()

        async def follow() -> None:
            async for event in self.publisher.listen():
                page.take(event)

        page.task = asyncio.run_coroutine_threadsafe(follow(), self.loop)  # type: ignore[attr-defined]
        return page

    def close(self) -> None:
        self.publisher.stop()
        until(lambda: self.publisher.listeners == 0)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def test_nothing_is_composed_while_nobody_listens_nor_while_a_fire_is_near() -> None:
    served = Served()
    for _ in range(50):
        served.bell.ring("take")
    assert served.source.composed == 0
    page = served.open()
    until(lambda: "snapshot" in page.kinds)
    with served.bell.hush():
        until(lambda: "change" in page.kinds, "the state was not told as the window opened")
        time.sleep(0.15)  # one that was being composed then
        before = served.source.composed
        for _ in range(60):
            served.bell.ring("take")
            time.sleep(0.01)
        assert served.source.composed <= before + 1
    until(lambda: served.source.composed > before + 1)
    page.task.cancel()  # type: ignore[attr-defined]
    until(lambda: served.publisher.listeners == 0)
    time.sleep(0.7)
    left = served.source.composed
    for _ in range(50):
        served.bell.ring("take")
        time.sleep(0.005)
    assert served.source.composed == left
    served.close()


def test_a_change_reaches_the_page_within_a_quarter_second_and_they_are_ten_a_second_at_most() -> None:
    served = Served()
    page = served.open()
    until(lambda: page.state)
    began, before = time.monotonic(), served.source.composed
    while time.monotonic() - began < 1.0:
        served.bell.ring("take")
        time.sleep(0.002)
    assert served.source.composed - before <= 12
    served.close()
    assert page.kinds[-1] == "end"
