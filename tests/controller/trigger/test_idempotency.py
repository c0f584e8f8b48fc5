"""A command is done once for its key, whatever the network does; a late one is refused."""

import asyncio

import pytest

from controller.errors import SessionError
from controller.trigger import idempotency
from controller.trigger.idempotency import DoneOnce, KeptAnswer, KeyUsed, fingerprint, require_fresh


class Work:
    def __init__(self, kept: bool = True, size: int = 2) -> None:
        self.done, self.kept, self.size = 0, kept, size
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> KeptAnswer:
        await self.gate.wait()
        self.done += 1
        return KeptAnswer(200, (), str(self.done).encode() * self.size, self.kept)


def test_the_same_key_has_the_same_answer_and_is_done_once() -> None:
    async def play() -> None:
        once, work = DoneOnce(), Work()
        first = await once.answer("ann", "k", "c", work)
        assert await once.answer("ann", "k", "c", work) == first
        assert work.done == 1
        await once.answer("bob", "k", "c", work)  # another person's key is another key
        assert work.done == 2
        with pytest.raises(KeyUsed):
            await once.answer("ann", "k", "another command", work)

    asyncio.run(play())


def test_who_comes_while_it_is_done_waits_for_the_first() -> None:
    async def play() -> None:
        once, work = DoneOnce(), Work()
        work.gate.clear()
        both = [asyncio.create_task(once.answer("ann", "k", "c", work)) for _ in range(5)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in both)
        work.gate.set()
        answers = await asyncio.gather(*both)
        assert len(set(answers)) == 1
        assert work.done == 1

    asyncio.run(play())


def test_one_that_failed_is_told_to_who_waits_and_may_be_given_again() -> None:
    async def play() -> None:
        once, work = DoneOnce(), Work()

        async def fail() -> KeptAnswer:
            await work.gate.wait()
            raise OSError("the disk is gone")

        work.gate.clear()
        first = asyncio.create_task(once.answer("ann", "k", "c", fail))
        await asyncio.sleep(0)
        second = asyncio.create_task(once.answer("ann", "k", "c", fail))
        await asyncio.sleep(0)
        work.gate.set()
        with pytest.raises(OSError, match="the disk"):
            await first
        with pytest.raises(SessionError, match="ended without an answer"):
            await second
        assert (await once.answer("ann", "k", "c", work)).body == b"11"

    asyncio.run(play())


def test_what_was_refused_at_the_door_is_not_kept() -> None:
    async def play() -> None:
        once, work = DoneOnce(), Work(kept=False)
        await once.answer("ann", "k", "c", work)
        await once.answer("ann", "k", "c", work)
        assert work.done == 2

    asyncio.run(play())


def test_answers_are_forgotten_by_age_number_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        now = 0.0
        once, work = DoneOnce(lambda: now), Work()
        await once.answer("ann", "old", "c", work)
        now = idempotency.KEEP_S + 1
        assert not once.known("ann", "old")
        monkeypatch.setattr(idempotency, "MOST", 10)
        for number in range(30):
            await once.answer("ann", str(number), "c", work)
        assert sum(once.known("ann", str(number)) for number in range(30)) == 10
        monkeypatch.setattr(idempotency, "MOST_BYTES", 100)
        for number in range(30, 35):
            await once.answer("ann", str(number), "c", Work(size=60))
        assert once.known("ann", "34")
        assert not once.known("ann", "31")
        assert len(once._entries) <= 2

    asyncio.run(play())


@pytest.mark.parametrize("age_ms", [-5001, 5001, 60_000])
def test_a_late_command_is_stale(age_ms: int) -> None:
    with pytest.raises(SessionError, match="was not done"):
        require_fresh(str(1_000_000 - age_ms), 1_000_000)


@pytest.mark.parametrize("given", ["", "now", "nan", "inf", "1e400"])
def test_a_time_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(SessionError):
        require_fresh(given, 1_000_000)


def test_a_command_is_its_method_its_place_and_its_body() -> None:
    same = fingerprint("POST", "/api/a?", b"{}")
    assert same == fingerprint("POST", "/api/a?", b"{}")
    others = {
        fingerprint("PUT", "/api/a?", b"{}"),
        fingerprint("POST", "/api/b?", b"{}"),
        fingerprint("POST", "/api/a?", b"{ }"),
    }
    assert len(others | {same}) == 4
