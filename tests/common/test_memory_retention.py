"""Freed memory that is kept comes back without the system."""

import resource
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from common import memory_retention
from common.memory_retention import freed_memory_kept


def page_faults_of_work() -> int:
    """Of two threads that make and drop arrays of 6 MB."""

    def work(n: int) -> float:
        return sum(float(np.full(750_000, n + k, np.float64)[-1]) for k in range(40))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [sum(range(40)), sum(range(1, 41))]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_arrays_that_follow_one_another_take_the_same_pages() -> None:
    import ctypes

    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("the C library is not glibc")
    with freed_memory_kept():
        page_faults_of_work()  # gets the pages
        kept = page_faults_of_work()
    assert kept < 3000, "80 arrays of 1,465 pages each"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_retention.ctypes, "CDLL", lambda _name: object())
    with freed_memory_kept():
        pass


def test_it_ends_when_the_block_raises() -> None:
    with pytest.raises(KeyError), freed_memory_kept():
        raise KeyError
