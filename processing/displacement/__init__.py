"""Scan and registered mesh to a displacement map over the UVs, and back to a detailed mesh.

Reading and writing the map needs NumPy and Pillow alone, for those who hold a release; the rest is imported when asked
for.
"""

from typing import TYPE_CHECKING, Any

from processing.displacement.relief import (
    Relief,
    ReliefError,
    decode_relief,
    encode_relief,
    read_relief,
    write_relief,
)

if TYPE_CHECKING:
    from processing.displacement.bake import bake
    from processing.displacement.displace import displace

__all__ = [
    "Relief",
    "ReliefError",
    "bake",
    "decode_relief",
    "displace",
    "encode_relief",
    "read_relief",
    "write_relief",
]


def __getattr__(name: str) -> Any:
    if name == "bake":
        from processing.displacement.bake import bake

        return bake
    if name == "displace":
        from processing.displacement.displace import displace

        return displace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
