"""The data tensor of a study, members x shapes x vertices, read by slabs of vertices: it is never in memory whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.array_types import Floats, Floats32
from processing.errors import ShapeError

SLAB_VALUES = 40_000_000  # of all members together: 320 MB in double precision


class MemberShapes(Protocol):
    """A member's shapes, of which slabs of vertices can be read; a rig's file is one (blendshapes.rig.RigSlabs)."""

    @property
    def vertices(self) -> int: ...

    def slab(self, start: int, stop: int) -> Floats32:
        """(stop - start, 1 + U, 3) mm: of these vertices, the place in the neutral and in each unit's shape."""


@dataclass(frozen=True, eq=False)
class ShapesInMemory:
    """A member's shapes as an array (V, 1 + U, 3) mm."""

    shapes_mm: Floats32

    @property
    def vertices(self) -> int:
        return len(self.shapes_mm)

    def slab(self, start: int, stop: int) -> Floats32:
        return self.shapes_mm[start:stop]


@dataclass(frozen=True, eq=False)
class ShapeTensor:
    """(n, 1 + U, V, 3) mm: the shapes of n members, all of one topology and one set of units."""

    members: Sequence[MemberShapes]
    shapes: int  # 1 + U
    slab_values: int = SLAB_VALUES

    @property
    def vertices(self) -> int:
        return self.members[0].vertices

    def slabs(self) -> Iterator[tuple[int, int, Floats]]:
        """Vertices start..stop and (n, (stop - start) * 3, 1 + U) mm of them, in double precision.

        The array is used again for the next slab.
        """
        count, columns = len(self.members), self.shapes
        height = max(1, min(self.vertices, self.slab_values // (count * columns * 3)))
        buffer = np.empty((count, height, 3, columns))
        for start in range(0, self.vertices, height):
            stop = min(start + height, self.vertices)
            slab = buffer[:, : stop - start] if stop - start == height else np.empty((count, stop - start, 3, columns))
            for i, member in enumerate(self.members):
                read = member.slab(start, stop)
                if read.shape != (stop - start, columns, 3):
                    raise ShapeError("a slab of a rig", read.shape, f"({stop - start}, {columns}, 3)")
                slab[i] = read.transpose(0, 2, 1)
            yield start, stop, slab.reshape(count, -1, columns)
