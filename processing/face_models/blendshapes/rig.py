"""A rig: one subject's neutral face and 52 blendshapes in one topology, and its file.

The file is an .npz without pickle whose large array is stored as it is, vertex by vertex, so that a slab of vertices of
many rigs can be read with little memory.
"""

import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats, Floats32
from common.bounded.json_toml import parse_json
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from processing.errors import DataError, ShapeError

FORMAT = 1
_SHAPES = "shapes_mm"


class RigError(DataError):
    """A rig cannot be made or read."""


@dataclass(frozen=True, eq=False)
class Rig:
    """A face = neutral + sum of w_j (shape_j - neutral), w in 0..1. Head frame, mm; the head's motion is removed."""

    names: tuple[str, ...]  # (U,) units, in ARKit's order
    neutral_mm: Floats32  # (V, 3)
    shapes_mm: Floats32  # (U, V, 3) each unit at weight 1
    topology: str  # of the template (processing.template.face_units.topology_of)
    examples: tuple[str, ...] = ()  # (E,) labels of the takes that it was made from
    weights: Floats = field(default_factory=lambda: np.zeros((0, 0)))  # (E, U) of each
    figures: Mapping[str, Any] = field(default_factory=dict)  # what the making found, as JSON has it

    def __post_init__(self) -> None:
        units, vertices = len(self.names), len(self.neutral_mm)
        wanted: dict[str, tuple[int, ...]] = {"neutral_mm": (vertices, 3), "shapes_mm": (units, vertices, 3)}
        if self.examples:
            wanted["weights"] = (len(self.examples), units)
        for key, shape in wanted.items():
            array = getattr(self, key)
            if array.shape != shape:
                raise ShapeError(f"rig: {key}", array.shape, str(shape))
            if not np.isfinite(array).all():
                raise RigError(f"rig: {key} holds what is not a finite number")

    def face(self, weights: Floats) -> Floats:
        """(V, 3) mm of weights (U,)."""
        if weights.shape != (len(self.names),):
            raise ShapeError("weights", weights.shape, f"({len(self.names)},)")
        neutral = self.neutral_mm.astype(np.float64)
        used = np.flatnonzero(weights)
        offsets = self.shapes_mm[used].astype(np.float64) - neutral
        return np.asarray(neutral + np.tensordot(weights[used], offsets, axes=1))


def write_rig(path: Path, rig: Rig) -> None:
    """One .npz file, whole or not at all; equal rigs give equal bytes."""
    head = {
        "format": FORMAT, "names": list(rig.names), "topology": rig.topology, "examples": list(rig.examples),
        "figures": dict(rig.figures),
    }  # fmt: skip
    by_vertex = np.empty((len(rig.neutral_mm), 1 + len(rig.names), 3), dtype=np.float32)
    by_vertex[:, 0] = rig.neutral_mm
    by_vertex[:, 1:] = rig.shapes_mm.transpose(1, 0, 2)
    weights = np.asarray(rig.weights, dtype=np.float64).reshape(len(rig.examples), len(rig.names))
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        text = np.array(json.dumps(head, sort_keys=True, allow_nan=False))
        np.savez(file, head=text, weights=weights, **{_SHAPES: by_vertex})  # type: ignore[arg-type]


def read_rig(path: Path) -> Rig:
    """What `write_rig` wrote. Raises RigError."""
    try:
        arrays = read_npz(Path(path), ("head", "weights", _SHAPES))
        head = parse_json(str(arrays["head"]))
        if head["format"] != FORMAT:
            raise RigError(f"{path} is a rig of format {head['format']}; this Mien reads {FORMAT}")
        by_vertex = arrays[_SHAPES]
        if by_vertex.ndim != 3 or by_vertex.dtype != np.float32 or by_vertex.shape[1] < 1:
            raise ShapeError(_SHAPES, by_vertex.shape, "(V, 1 + U, 3) of float32")
        shapes = np.ascontiguousarray(by_vertex[:, 1:].transpose(1, 0, 2))
        return Rig(
            names=tuple(str(n) for n in head["names"]),
            neutral_mm=np.ascontiguousarray(by_vertex[:, 0]),
            shapes_mm=shapes,
            topology=str(head["topology"]),
            examples=tuple(str(n) for n in head["examples"]),
            weights=arrays["weights"].astype(np.float64),
            figures=dict(head["figures"]),
        )
    except OSError as error:
        raise RigError(f"{path} cannot be read: {error.strerror or error}") from None
    except (KeyError, ValueError, TypeError, IndexError, ShapeError) as error:
        raise RigError(f"{path} is no rig ({error}); make one with `mien model build`") from None


class RigSlabs:
    """A rig's file, opened for its slabs of vertices: nothing else of it is held in memory. Raises RigError."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            arrays = read_npz(self.path, ("head", "weights"))
            head = parse_json(str(arrays["head"]))
            self.names: tuple[str, ...] = tuple(str(n) for n in head["names"])
            self.topology = str(head["topology"])
            if head["format"] != FORMAT:
                raise RigError(f"{path} is a rig of format {head['format']}; this Mien reads {FORMAT}")
            self.weights: Floats = arrays["weights"].astype(np.float64).reshape(-1, len(self.names))  # of the examples
            self._at, self.vertices = _stored_shapes(self.path, 1 + len(self.names))
        except OSError as error:
            raise RigError(f"{path} cannot be read: {error.strerror or error}") from None
        except (KeyError, ValueError, TypeError, IndexError, struct.error, zipfile.BadZipFile) as error:
            raise RigError(f"{path} is no rig ({error})") from None

    def slab(self, start: int, stop: int) -> Floats32:
        """(stop - start, 1 + U, 3) mm: of these vertices, the neutral's place and each unit's."""
        if not 0 <= start <= stop <= self.vertices:
            raise ShapeError("slab", (start, stop), f"within 0..{self.vertices}")
        row = 3 * (1 + len(self.names))
        with self.path.open("rb") as file:
            file.seek(self._at + 4 * row * start)
            slab = np.fromfile(file, dtype="<f4", count=row * (stop - start))
        if slab.size != row * (stop - start) or not np.isfinite(slab).all():
            raise RigError(f"{self.path} is cut short, or holds what is not a finite number")
        return slab.reshape(stop - start, 1 + len(self.names), 3)


def _stored_shapes(path: Path, columns: int) -> tuple[int, int]:
    """Where the shapes' numbers begin in the file, and of how many vertices they are."""
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            member = archive.getinfo(f"{_SHAPES}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("its shapes are packed")
        file.seek(member.header_offset)
        local = file.read(30)
        name, extra = struct.unpack("<HH", local[26:30])
        file.seek(member.header_offset + 30 + name + extra)
        start = file.tell()
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=10_000)
        at = file.tell()
    if fortran or dtype != np.dtype("<f4") or len(shape) != 3 or shape[1:] != (columns, 3):
        raise ValueError(f"its shapes are {dtype} of shape {shape}")
    if at - start + 4 * int(np.prod(shape)) != member.file_size:
        raise ValueError("its shapes are cut short")
    return at, int(shape[0])
