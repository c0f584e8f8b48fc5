"""A GLB read by its specification, for tests of what is written."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
KIND = {5126: "<f4", 5125: "<u4", 5123: "<u2"}


class Glb:
    """A GLB read by its specification, sparse accessors too."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        text = struct.unpack_from("<I", data, 12)[0]
        self.document: Any = json.loads(data[20 : 20 + text])
        self.binary = data[28 + text :]

    def _numbers(self, view: int, kind: int, count: int, width: int) -> Any:
        at = self.document["bufferViews"][view]
        return np.frombuffer(self.binary, KIND[kind], count * width, at["byteOffset"]).reshape(count, width)

    def array(self, accessor: int) -> Any:
        found = self.document["accessors"][accessor]
        width, kind = WIDTH[found["type"]], found["componentType"]
        values = np.zeros((found["count"], width), np.float32)
        if "bufferView" in found:
            values = self._numbers(found["bufferView"], kind, found["count"], width).copy()
        if sparse := found.get("sparse"):
            rows = self._numbers(
                sparse["indices"]["bufferView"], sparse["indices"]["componentType"], sparse["count"], 1
            )
            assert (np.diff(rows[:, 0].astype(int)) > 0).all()
            values[rows[:, 0]] = self._numbers(sparse["values"]["bufferView"], kind, sparse["count"], width)
        if "min" in found:
            np.testing.assert_array_equal([values.min(0), values.max(0)], np.float32([found["min"], found["max"]]))
        return values
