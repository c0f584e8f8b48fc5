"""The small files that stages hand to each other: vertices, landmarks, reports."""

import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from common.bounded.decoder_pool import decode
from common.bounded.json_toml import read_json as read_plain
from common.bounded.limits import MAX_MAP_BYTES
from common.bounded.npz_files import read_npz
from processing.errors import DataError


def write_json(path: Path, value: object) -> None:
    """A report as JSON: dataclasses, paths and NumPy values become plain ones, numbers that are not finite null."""
    path.write_text(json.dumps(_plain(value), indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A report. Raises DataError for a file that is none."""
    try:
        value = read_plain(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path} holds a {type(value).__name__}; wanted an object")
    return value


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


def write_image(path: Path, image: NDArray[np.uint8], *, jpeg_quality: int = 95) -> None:
    """A picture (BGR or grey) in the format of its suffix. Raises OSError when there is no room."""
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise DataError(f"{path.name} cannot be encoded from an image of shape {image.shape}")
    path.write_bytes(data.tobytes())


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) BGR. Raises DataError for a file that is no picture."""
    try:
        (image,), _ = decode("picture", path, most=MAX_MAP_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from None
    return np.asarray(image, dtype=np.uint8)
