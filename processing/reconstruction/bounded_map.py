"""Bounded map: work done ahead by a pool of threads, but not so far ahead that its results fill the memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import TypeVar

Job = TypeVar("Job")
Made = TypeVar("Made")


def bounded_map(pool: Executor, work: Callable[[Job], Made], jobs: Sequence[Job], ahead: int) -> Iterator[Made]:
    """As pool.map, with at most `ahead` jobs begun whose results were not taken yet."""
    waiting = deque(pool.submit(work, job) for job in jobs[:ahead])
    for job in jobs[ahead:]:
        made = waiting.popleft().result()
        waiting.append(pool.submit(work, job))
        yield made
    while waiting:
        yield waiting.popleft().result()
