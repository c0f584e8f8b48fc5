"""Parallel map over a list of any length: a few pieces are begun ahead, never a million."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 8  # pieces begun for each thread


def ordered_parallel_map(work: Callable[[T], R], pieces: Iterable[T], threads: int) -> Iterator[tuple[T, R]]:
    """(piece, result) in the order of the pieces. What is begun is finished when the caller stops; no more is begun."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="mien-fetch") as pool:
        try:
            for piece in pieces:
                waiting.append((piece, pool.submit(work, piece)))
                if len(waiting) >= AHEAD * max(1, threads):
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
