"""Limits of how often: tries to sign in, requests, streams. In memory, bounded, and never for good.

A wrong password makes the next try wait, longer each time, up to half a minute. Tries at one account from addresses it
was never signed in from share a count, those from an address that it was signed in from have their own: whoever guesses
from elsewhere does not keep its owner out.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Clock = Callable[[], float]
LONGEST_WAIT_S = 30.0
FREE_ACCOUNT, FREE_ADDRESS = 5, 20  # tries before the first wait
FORGOTTEN_S = 900.0
MOST_KEYS = 10_000


@dataclass
class _Tries:
    count: int = 0
    last: float = 0.0
    not_before: float = 0.0


class SignInThrottle:
    """Delays after failures, by account and address. Thread-safe. clock: monotonic s."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tries: OrderedDict[Hashable, _Tries] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, account: str, address: str) -> float:
        """Count a try. How many seconds it must wait instead, in which case it does not count; 0: go on.

        It counts as failed until succeeded() is called, so that a hundred tries at once are a hundred. account: "" for
        a way in that has no name to guess at.
        """
        with self._lock:
            now = self._clock()
            found = {key: self._find(key, now) for key in self._keys(account, address)}
            wait = max(one.not_before - now for one in found.values())
            if wait > 0:
                return wait
            for key, one in found.items():
                one.count, one.last = one.count + 1, now
                free = FREE_ADDRESS if key[0] == "address" else FREE_ACCOUNT
                over = one.count - free
                one.not_before = now + min(LONGEST_WAIT_S, 2.0 ** min(over, 10)) if over >= 0 else 0.0
            return 0.0

    def succeeded(self, account: str, address: str) -> None:
        """The try was right: its account and this address are known to each other from now on."""
        with self._lock:
            for key in self._keys(account, address):
                found = self._tries.pop(key, None)
                if found is not None and key[0] == "address":  # what others of this address got wrong still counts
                    self._tries[key] = _Tries(max(0, found.count - 1), found.last)
            if account:
                self._known[(account, address)] = None
                self._known.move_to_end((account, address))
                while len(self._known) > MOST_KEYS:
                    self._known.popitem(last=False)

    def _keys(self, account: str, address: str) -> list[tuple[str, ...]]:
        keys: list[tuple[str, ...]] = [("address", address)]
        if account:
            known = (account, address) in self._known
            keys.append(("known", account, address) if known else ("account", account))
        return keys

    def _find(self, key: Hashable, now: float) -> _Tries:
        found = self._tries.get(key)
        if found is None or now - found.last > FORGOTTEN_S:
            found = self._tries[key] = _Tries(last=now)
        self._tries.move_to_end(key)
        while len(self._tries) > MOST_KEYS:
            self._tries.popitem(last=False)
        return found


class RequestLimit:
    """So many requests a second in the long run, so many at once, by whoever it is. clock: monotonic s."""

    def __init__(self, per_s: float, burst: float, clock: Clock = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: Hashable) -> float:
        """0 for a request that may go on, which counts; else how long to wait. Called in one thread."""
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        allowed = left >= 1.0
        self._left[key] = (left - 1.0 if allowed else left, now)
        while len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / self._per_s


class StreamLimit:
    """So many streams at a time, of one session and in all. Called in one thread."""

    def __init__(self, each: int, all_: int) -> None:
        self._each, self._all = each, all_
        self._open: dict[Hashable, int] = {}

    @property
    def count(self) -> int:
        """Open now."""
        return sum(self._open.values())

    @contextmanager
    def one(self, key: Hashable) -> Iterator[bool]:
        """Whether one more may be open while the block runs. key: whose; None for who is bounded by all alone."""
        held = self._open.get(key, 0)
        if (key is not None and held >= self._each) or self.count >= self._all:
            yield False
            return
        self._open[key] = held + 1
        try:
            yield True
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
