"""Freed memory is kept for what is asked for next, instead of going back to the system and coming again page by page.

Numerics that make and drop arrays of megabytes in several threads spend a tenth of their time on that otherwise.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_LARGEST = (1 << 31) - 1
_KEEPING = {_TRIM_THRESHOLD: _LARGEST, _TOP_PAD: 64 << 20, _MMAP_THRESHOLD: _LARGEST, _ARENA_MAX: 1}
# What glibc comes to by itself in a program that frees arrays of megabytes.
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10, _MMAP_THRESHOLD: 32 << 20, _ARENA_MAX: 0}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Until the block ends; then it is given back. Where the C library is not glibc, nothing happens."""
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        yield
        return
    for option, value in _KEEPING.items():
        library.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            library.mallopt(option, value)
        library.malloc_trim(0)
