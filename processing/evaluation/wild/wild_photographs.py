"""The photographs that a wild benchmark is made of: found, called by their content, framed about the face."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Bools, Floats, Image
from processing.errors import DataError
from processing.evaluation.wild.texture_pool import read_people
from processing.single_view.editing.hole_filling import extended

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
PEOPLE = "people.csv"  # photograph, age, gender: beside the photographs, where it is known
FACE_SHARE = 0.57  # of the picture's side that the face's longer one takes
_HASH = 10


@dataclass(frozen=True)
class WildPhotograph:
    """One photograph, by a name that tells nobody's."""

    path: Path
    name: str  # of the benchmark's files: from the content
    age: float | None = None
    gender: str | None = None


def wild_photographs(folder: Path) -> list[WildPhotograph]:
    """The photographs of a folder, each content once, in the order of their names in the benchmark.

    Raises DataError for a folder without any, and TextureError for a people.csv that cannot be used.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    table = folder / PEOPLE
    said = {name: (age, gender) for name, age, gender in read_people(table, "photograph")} if table.is_file() else {}
    found: dict[str, WildPhotograph] = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()):
        with path.open("rb") as file:
            name = "w" + hashlib.file_digest(file, "sha256").hexdigest()[:_HASH]
        age, gender = said.get(path.name, said.get(path.stem, (None, None)))
        found.setdefault(name, WildPhotograph(path, name, age, gender))
    if not found:
        raise DataError(f"{folder} holds no photographs ({', '.join(SUFFIXES)})")
    return [found[name] for name in sorted(found)]


@dataclass(frozen=True, eq=False)
class Framed:
    """A square of a photograph about its face."""

    picture: Image  # (S, S, 3) BGR
    to_picture: Floats  # (3, 3) the photograph's pixels to the square's
    sharpness: float  # the photograph's pixels for one of the square's, at most 1
    beyond: float  # the share of the square that the photograph does not show


def framed(image: Image, face_px: Floats, size_px: int) -> Framed:
    """The square about points of the face (N, 2) px, `size_px` wide; within the photograph as far as that can be, and
    beyond its edge this goes on.
    """
    low, high = face_px.min(axis=0), face_px.max(axis=0)
    side = float((high - low).max()) / FACE_SHARE
    corner = (low + high) / 2 - side / 2
    first, last = np.full(2, -0.5), np.array([image.shape[1], image.shape[0]]) - 0.5 - side
    # The face stays whole: it may leave the middle by the margin that it has.
    slack = (side - (high - low)) / 2 * 0.8
    corner = corner + (np.clip(corner, np.minimum(first, last), np.maximum(first, last)) - corner).clip(-slack, slack)
    scale = size_px / side
    x, y = (-scale * corner - 0.5).tolist()
    to_picture = np.array([[scale, 0, x], [0, scale, y], [0, 0, 1.0]])
    source, shrink = image, np.eye(3)
    if scale < 0.5:  # few samples would alias
        factor = 2 * scale
        source = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        fx, fy = image.shape[1] / source.shape[1], image.shape[0] / source.shape[0]
        shrink = np.array([[fx, 0, (fx - 1) / 2], [0, fy, (fy - 1) / 2], [0, 0, 1.0]])
    how = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
    map_to = (to_picture @ shrink)[:2]
    picture = cv2.warpAffine(source, map_to, (size_px, size_px), flags=how, borderMode=cv2.BORDER_REPLICATE)
    there = cv2.warpAffine(np.ones(source.shape[:2], np.uint8), map_to, (size_px, size_px), flags=cv2.INTER_NEAREST) > 0
    whole = np.asarray(picture, dtype=np.uint8)
    if not there.all():
        whole = _continued(whole, there)
    return Framed(whole, to_picture, min(1.0, 1 / scale), float(1 - there.mean()))


def _continued(picture: Image, there: Bools) -> Image:
    """The picture beyond a photograph's edge: its edge goes on, out of focus more and more."""
    away = cv2.distanceTransform((~there).astype(np.uint8), cv2.DIST_L2, 3)
    smooth = extended(picture.astype(np.float32), there, sweeps=8)
    share = (away / (0.03 * len(picture))).clip(0, 1)[..., None]
    mixed = picture + share * (cv2.GaussianBlur(smooth, (0, 0), 0.01 * len(picture)) - picture)
    return np.where(there[..., None], picture, mixed).round().clip(0, 255).astype(np.uint8)
