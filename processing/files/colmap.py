"""Cameras in COLMAP's model files, text and binary (https://colmap.github.io/format.html).

COLMAP puts the first pixel's centre at (0.5, 0.5) and has no unit; ours is at (0, 0) and in millimetres. A view's
number is its photograph's name: 12.jpg is view 12. Where photographs have other names, views count them in natural
order (cam2 before cam10).
"""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from common.array_types import Floats
from common.guarding.safe_text import shown
from processing.files.calibration_errors import CalibrationError
from processing.files.colmap_binary import read_binary_model, write_binary_model
from processing.files.colmap_model import Lens, PosedImage
from processing.files.colmap_text import TWICE, read_text_model, write_text_model
from processing.files.take_photographs import natural_order
from processing.geometry.cameras import Camera

_USUAL = ("sparse/0", "sparse", "0", "colmap/sparse/0")  # where datasets have their model


def write_colmap(
    folder: Path, cameras: Mapping[int, Camera], *, names: Mapping[int, str] | None = None, binary: bool = False
) -> None:
    """cameras, images and an empty points3D, as .txt or .bin. OPENCV where k3 is 0, else FULL_OPENCV.

    names: view -> its photograph, where that is not 7.jpg of view 7.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lenses = {view: _lens_of(camera) for view, camera in cameras.items()}
    images = {
        view: PosedImage(
            _quaternion(camera.R),
            tuple(camera.t.tolist()),
            view + 1,
            (names or {}).get(view, f"{view}.jpg"),
        )
        for view, camera in cameras.items()
    }
    write = write_binary_model if binary else write_text_model
    write(folder, lenses, images)


def read_colmap(folder: Path, *, scale: float = 1.0) -> tuple[dict[int, Camera], dict[int, str]]:
    """View -> camera, and view -> the name of its photograph. scale: millimetres a unit of the model.

    Raises CalibrationError for missing or damaged files (with the line, of text), for photographs that are named twice
    and for lens models that ours does not hold.
    """
    binary = (folder / "cameras.bin").is_file() and not (folder / "cameras.txt").is_file()
    end = ".bin" if binary else ".txt"
    for name in ("cameras", "images"):
        if not (folder / (name + end)).is_file():
            there = [at for at in _USUAL if any(path.is_file() for path in (folder / at).glob("cameras.[tb][xi][tn]"))]
            hint = f"; {folder / there[0]} is one" if there else ""
            raise CalibrationError(f"{folder} is no COLMAP model: {name}{end} is missing{hint}")
    try:
        lenses, images = read_binary_model(folder) if binary else read_text_model(folder)
        return _cameras(folder / f"images{end}", lenses, images, scale)
    except OSError as error:
        raise CalibrationError(f"{folder}: the COLMAP model cannot be read: {error.strerror}") from None
    except (ValueError, IndexError, OverflowError, struct.error) as error:
        raise CalibrationError(f"{folder}: the COLMAP model is damaged: {shown(error)}") from None


def _cameras(
    file: Path, lenses: Mapping[int, Lens], images: Sequence[PosedImage], scale: float
) -> tuple[dict[int, Camera], dict[int, str]]:
    if not images:
        raise CalibrationError(f"{file} names no image: nothing has a camera")
    names = [image.name for image in images]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise CalibrationError(f"{file} names {', '.join(map(shown, twice[:6]))} twice: {TWICE}")
    views = _views_of(names)
    found = {}
    for image in images:
        if image.camera not in lenses:
            raise CalibrationError(f"{file}: image {shown(image.name)} has camera {image.camera}, which is not there")
        lens = lenses[image.camera]
        K, distortion = _of_lens(lens, image.name)
        found[views[image.name]] = Camera(
            K=K, R=_rotation(image.quaternion), t=np.array(image.t) * scale, width=lens.width, height=lens.height,
            distortion=distortion, name=PurePosixPath(image.name).stem,
        )  # fmt: skip
    return dict(sorted(found.items())), {views[name]: name for name in sorted(names, key=views.__getitem__)}


def _views_of(names: Sequence[str]) -> dict[str, int]:
    """Photograph -> view: its number where all are named by different ones, else its place in natural order."""
    stems = [PurePosixPath(name).stem for name in names]
    if all(stem.isdecimal() and len(stem) <= 6 for stem in stems) and len({int(s) for s in stems}) == len(stems):
        return {name: int(stem) for name, stem in zip(names, stems, strict=True)}
    return {name: view for view, name in enumerate(sorted(names, key=natural_order))}


def _lens_of(camera: Camera) -> Lens:
    if abs(camera.K[0, 1]) > 1e-9:
        raise CalibrationError(f"camera {camera.name}: its K has skew, which COLMAP's models lack")
    k1, k2, p1, p2, k3 = camera.distortion.tolist()
    head = (camera.K[0, 0], camera.K[1, 1], camera.K[0, 2] + 0.5, camera.K[1, 2] + 0.5)
    if k3 == 0:
        return Lens("OPENCV", camera.width, camera.height, tuple(map(float, (*head, k1, k2, p1, p2))))
    return Lens("FULL_OPENCV", camera.width, camera.height, tuple(map(float, (*head, k1, k2, p1, p2, k3, 0, 0, 0))))


def _of_lens(lens: Lens, image: str) -> tuple[Floats, Floats]:
    p = lens.parameters
    d = [0.0] * 8
    if lens.model in ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL"):
        fx = fy = p[0]
        cx, cy = p[1:3]
        d[: len(p) - 3] = p[3:]
    else:
        fx, fy, cx, cy = p[:4]
        d[: len(p) - 4] = p[4:]
    if any(d[5:]):
        raise CalibrationError(f"image {shown(image)}: its lens has k4, k5 or k6, which params.json cannot hold")
    return np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]]), np.array(d[:5])


# NumPy's, not SciPy's, in both directions: holders of a release export COLMAP models, and have no SciPy.
def _quaternion(R: Floats) -> tuple[float, ...]:
    """(3, 3) rotation matrix -> unit quaternion w x y z, w >= 0 (Shepperd 1978)."""
    trace = float(np.trace(R))
    diagonal = np.array([trace, R[0, 0], R[1, 1], R[2, 2]])
    i = int(diagonal.argmax())
    q = np.empty(4)
    q[i] = np.sqrt(max(0.0, 1 + 2 * diagonal[i] - trace)) / 2
    pairs = {
        (0, 1): R[2, 1] - R[1, 2], (0, 2): R[0, 2] - R[2, 0], (0, 3): R[1, 0] - R[0, 1],
        (1, 2): R[0, 1] + R[1, 0], (1, 3): R[0, 2] + R[2, 0], (2, 3): R[1, 2] + R[2, 1],
    }  # fmt: skip
    for j in range(4):
        if j != i:
            q[j] = pairs[min(i, j), max(i, j)] / (4 * q[i])
    q = q / np.linalg.norm(q)
    return tuple((q if q[0] >= 0 else -q).tolist())


def _rotation(quaternion: tuple[float, ...]) -> Floats:
    """w x y z -> (3, 3). Raises ValueError for one that is far from unit length."""
    length = float(np.linalg.norm(quaternion))
    if not 0.5 < length < 2:
        raise ValueError(f"a quaternion of length {length:g}")
    w, x, y, z = np.array(quaternion) / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
