"""How the kernels are compiled: once an installation, without the interpreter's lock, with loops that vectorise."""

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import njit, types
from numba.core.compiler import Compiler
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


class _Distinct(Compiler):  # type: ignore[misc]
    """Array arguments do not overlap, which lets LLVM vectorise loops that read some and write others."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


def compiled(signature: Any = None, *, apart: bool = False) -> Callable[[Kernel], Kernel]:
    """A function over arrays that do not overlap, compiled to machine code.

    Without a signature it is for use in others, as a part of their code unless it stays `apart`.

    The code is kept beside this file, or in the user's cache folder where that cannot be written; where neither can,
    it is compiled once a process. Divisions by zero and indices out of bounds are not checked.
    """
    how = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract", "nsz"},
        "pipeline_class": _Distinct,
    }

    def make(function: Kernel) -> Kernel:
        if signature is None:
            return njit(forceinline=not apart, **how)(function)  # type: ignore[no-any-return]
        try:
            return njit(signature, cache=True, **how)(function)  # type: ignore[no-any-return]
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return njit(signature, **how)(function)  # type: ignore[no-any-return]

    return make


@intrinsic  # type: ignore[untyped-decorator]
def loaded_pair(_context: Any, address: Any) -> Any:  # noqa: ARG001 - numba names it
    """Two neighbouring float32 as the bits of one uint64, the first in the lower half: one load in place of two."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pair = builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))
        pair.align = 4
        return pair

    return types.uint64(types.uint64), generate
