"""Scan and registered mesh to a displacement map over the UVs, and back to a detailed mesh."""

from processing.displacement.bake import bake
from processing.displacement.displace import displace
from processing.displacement.relief import (
    Relief,
    ReliefError,
    decode_relief,
    encode_relief,
    read_relief,
    write_relief,
)

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
