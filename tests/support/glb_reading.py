"""A glTF binary read back, as a reader of the specification does it."""

import json
import struct
from pathlib import Path

import numpy as np


def read_glb(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    return json.loads(data[20 : 20 + size]), data[20 + size + 8 :]


def values(document: dict, binary: bytes, number: int) -> np.ndarray:
    """An accessor's values, sparse ones included."""
    accessor = document["accessors"][number]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
    kinds = {5126: "<f4", 5125: "<u4", 5123: "<u2"}

    def read(view: int, kind: str, count: int) -> np.ndarray:
        start = document["bufferViews"][view]["byteOffset"]
        return np.frombuffer(binary, kind, count, start)

    out = np.zeros((accessor["count"], width), kinds[accessor["componentType"]])
    if "bufferView" in accessor:
        out = read(accessor["bufferView"], kinds[accessor["componentType"]], out.size).reshape(out.shape)
    if "sparse" in accessor:
        sparse = accessor["sparse"]
        rows = read(sparse["indices"]["bufferView"], kinds[sparse["indices"]["componentType"]], sparse["count"])
        assert (np.diff(rows.astype(int)) > 0).all()
        out = out.copy()
        out[rows] = read(sparse["values"]["bufferView"], "<f4", 3 * sparse["count"]).reshape(-1, 3)
    if "min" in accessor:
        assert np.allclose(out.min(axis=0), accessor["min"])
        assert np.allclose(out.max(axis=0), accessor["max"])
    return out
