"""Vertices (.npz) and reports (.json), as stages hand them to each other."""

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats
from common.bounded.npz_files import read_npz
from common.files.json_object import read_json_object
from processing.errors import DataError


def write_json(path: Path, value: Any) -> None:
    """A report as JSON: dataclasses, paths and NumPy values become plain ones, numbers that are not finite null."""
    path.write_text(json.dumps(_plain(value), indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A report. Raises DataError for a file that is none."""
    return read_json_object(path, DataError)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({k: v for k, v in asdict(value).items() if not (isinstance(v, np.ndarray) and v.size > 1000)})
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def write_vertices(path: Path, vertices_mm: Floats) -> None:
    """(V, 3) positions in the template's topology, head frame, mm."""
    np.savez(path, vertices_mm=np.asarray(vertices_mm, dtype=np.float64))


def read_vertices(path: Path) -> Floats:
    """(V, 3) mm. Raises DataError for a file that holds none."""
    try:
        vertices = np.asarray(read_npz(path, ("vertices_mm",))["vertices_mm"], dtype=np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} holds no vertices: {error}") from None
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise DataError(f"{path}: vertices of shape {vertices.shape}, or not finite")
    return vertices
