"""Loops over arrays compiled to machine code by Numba, which does not hold the interpreter's lock meanwhile."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """Compiled when it is first called with arguments of some types, and kept beside its file or in the user's cache
    folder; where neither can be written, once a process. Indices out of bounds are not checked.
    """
    try:
        return njit(loop, cache=True, nogil=True)  # type: ignore[no-any-return]
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return njit(loop, nogil=True)  # type: ignore[no-any-return]
