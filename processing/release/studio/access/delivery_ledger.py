"""Delivery ledger: what a server has given to whom, in memory between two writes to the records:

see db.release_records.release_holders.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from db.engine import transaction, utc_now
from db.models import Way
from db.release_records.release_holders import Delivery, begin_fetch, note_delivered
from processing.release.studio.access.served_release import ServedRelease

# Beyond these a file counts as delivered: no holder escapes a notice of withdrawal by odd ranges.
MOST_PARTS = 64
MOST_BEGUN = 5000


@dataclass
class DeliveredParts:
    """One grant's fetch of one version."""

    #: Its row.
    fetch_id: int
    #: Numbers of the files that it may have.
    wanted: frozenset[int]
    #: One a file of the manifest: whether it went whole.
    bits: bytearray
    #: A file's number -> its parts so far, as [from, to).
    begun: dict[int, list[tuple[int, int]]]
    #: In all.
    bytes_sent: int = 0
    #: How many of the wanted went whole.
    done: int = 0
    #: Whether something is not written down yet.
    dirty: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, number: int, start: int, count: int, size: int) -> None:
        """Bytes [start, start + count) of a file of `size` were given to the network."""
        with self._lock:
            self.dirty = True
            self.bytes_sent += count
            if self.has(number):
                return
            parts = merged([*self.begun.get(number, ()), (start, start + count)])
            whole = size == 0 or parts[0] == (0, size)
            if whole or len(parts) > MOST_PARTS or (number not in self.begun and len(self.begun) >= MOST_BEGUN):
                self.begun.pop(number, None)
                self.bits[number // 8] |= 1 << (number % 8)
                self.done += number in self.wanted
            else:
                self.begun[number] = parts

    def has(self, number: int) -> bool:
        return bool(self.bits[number // 8] >> (number % 8) & 1)

    def take(self) -> Delivery | None:
        """How far it has come, if that is not written down yet."""
        with self._lock:
            if not self.dirty:
                return None
            self.dirty = False
            complete = self.done >= len(self.wanted)
            return Delivery(self.bytes_sent, self.done, bytes(self.bits), dict(self.begun), complete)


class Ledger:
    """Fetches under way. `begin` writes a line before anything leaves, `flush` how far each has come."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[tuple[int, int], DeliveredParts] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        grant_id: int,
        release_id: int,
        served: ServedRelease,
        kinds: frozenset[str],
        address: str | None,
        agent: str,
    ) -> DeliveredParts:
        """The fetch of a version under a grant, as far as it came before."""
        key = (grant_id, release_id)
        with self._lock:
            found = self._open.get(key)
            if found is not None:
                return found
            wanted = served.wanted(kinds)
            with transaction(self._engine) as tx:
                row = begin_fetch(
                    tx, grant_id, release_id, Way.SERVER, files_wanted=len(wanted), address=address, agent=agent
                )
                bits = bytearray(-(-len(served.manifest.files) // 8) or 1)
                bits[: len(row.delivered or b"")] = row.delivered or b""
                progress = DeliveredParts(row.id, wanted, bits, _parts(row.begun or {}), row.bytes_sent)
            progress.done = sum(progress.has(number) for number in wanted)
            return self._open.setdefault(key, progress)

    def flush(self) -> None:
        """Write down what came since the last time. Raises DatabaseUnavailable; nothing is lost then."""
        with self._lock:
            moved = [(one, so_far) for one in self._open.values() if (so_far := one.take()) is not None]
        if not moved:
            return
        try:
            with transaction(self._engine) as tx:
                for progress, so_far in moved:
                    note_delivered(tx, progress.fetch_id, utc_now(), so_far)
        except BaseException:
            for progress, _ in moved:
                progress.dirty = True
            raise


def merged(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open intervals in order, joined where they touch."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _parts(begun: Mapping[str, Sequence[Sequence[int]]]) -> dict[int, list[tuple[int, int]]]:
    return {int(number): [(start, end) for start, end in parts] for number, parts in begun.items()}
