"""Commands that are done once: the same key has the same answer, however often it is sent, and a late one is refused.

Answers are kept in memory, KEEP_S long and MOST of them: a key that comes after that is a new command, but by then it
is stale for a page.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from controller.errors import SessionError

KEEP_S = 24 * 3600.0
MOST = 10_000
MOST_BYTES = 64_000_000  # of all bodies together
WAIT_S = 30.0  # for the first's answer
STALE_MS = 5000


class KeyUsed(SessionError):
    """A key that came with another command before."""

    exit_code = 4


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it was given."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    kept: bool = True  # else the next command with its key is done as if it were the first


@dataclass
class _Entry:
    command: str  # hash of method, path and body
    at: float  # monotonic s
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answer: KeptAnswer | None = None  # None: under way, or it ended without one


def fingerprint(method: str, target: str, body: bytes) -> str:
    """What makes two commands the same. target: path and query."""
    return hashlib.sha256(b"\0".join((method.encode(), target.encode(), body))).hexdigest()


def require_fresh(issued_at: str, now_ms: float) -> None:
    """Refuse a command that was issued STALE_MS ago: what was meant then may not be meant now. Raises SessionError.

    issued_at: the header, ms since the epoch by this server's clock as the page knows it.
    """
    try:
        age_ms = now_ms - float(issued_at)
    except ValueError:
        raise SessionError(f"X-Issued-At is {issued_at[:40]!r}: it has to be milliseconds since the epoch") from None
    if not -STALE_MS <= age_ms <= STALE_MS:
        raise SessionError(
            f"This command is {age_ms / 1000:.0f} s old and was not done: look at the studio as it is, then decide"
        )


class DoneOnce:
    """The answers by key. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._bytes = 0

    def known(self, person: str, key: str) -> bool:
        """Whether the key came before."""
        self._forget()
        return (person, key) in self._entries

    async def answer(self, person: str, key: str, command: str, do: Callable[[], Awaitable[KeptAnswer]]) -> KeptAnswer:
        """Do the command the first time that its key comes, and say the answer.

        Raises KeyUsed for another command under the key, SessionError when the first is still being done after WAIT_S
        or ended without an answer.
        """
        self._forget()
        entry = self._entries.get((person, key))
        if entry is None:
            return await self._first((person, key), command, do)
        if entry.command != command:
            raise KeyUsed("This Idempotency-Key came with another command before: give each command its own")
        try:
            await asyncio.wait_for(entry.done.wait(), WAIT_S)
        except TimeoutError:
            raise SessionError("The first command with this Idempotency-Key is still being done: ask again") from None
        if entry.answer is None:
            raise SessionError("The first command with this Idempotency-Key ended without an answer: look, then decide")
        return entry.answer

    async def _first(self, name: tuple[str, str], command: str, do: Callable[[], Awaitable[KeptAnswer]]) -> KeptAnswer:
        entry = self._entries[name] = _Entry(command, self._clock())
        try:
            answer = entry.answer = await do()
        finally:
            entry.done.set()
            if entry.answer is None or not entry.answer.kept:
                self._entries.pop(name, None)
        if answer.kept:
            self._bytes += len(answer.body)
        return answer

    def _forget(self) -> None:
        """Drop what is old, and the oldest where there are too many; what is under way stays."""
        oldest = self._clock() - KEEP_S
        while self._entries:
            name, entry = next(iter(self._entries.items()))
            full = len(self._entries) > MOST or self._bytes > MOST_BYTES
            if entry.answer is None or (entry.at >= oldest and not full):
                return
            self._bytes -= len(entry.answer.body)
            del self._entries[name]
