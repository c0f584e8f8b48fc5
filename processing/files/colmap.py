"""Cameras in COLMAP's model files, text and binary (https://colmap.github.io/format.html).

COLMAP puts the first pixel's centre at (0.5, 0.5) and has no unit; ours is at (0, 0) and in millimetres. A view's
number is its photograph's name: 12.jpg is view 12.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.array_types import Floats
from common.bounded.files import read_bytes, read_text
from common.bounded.limits import MAX_MODEL_BYTES, MAX_SIDE_PX, MAX_VIEWS
from common.files.atomic_write import atomic_write
from common.guarding.safe_text import shown
from processing.files.calibration_errors import CalibrationError
from processing.geometry.cameras import Camera


class ColmapModel(NamedTuple):
    """A lens model of COLMAP."""

    number: int  # in binary files
    parameters: int  # how many it has


MODELS = {
    "SIMPLE_PINHOLE": ColmapModel(0, 3), "PINHOLE": ColmapModel(1, 4), "SIMPLE_RADIAL": ColmapModel(2, 4),
    "RADIAL": ColmapModel(3, 5),
    "OPENCV": ColmapModel(4, 8), "FULL_OPENCV": ColmapModel(6, 12),
}  # fmt: skip
_NAMES = {model.number: name for name, model in MODELS.items()}


class _Lens(NamedTuple):
    """What COLMAP calls a camera: the intrinsics."""

    model: str  # a name of MODELS
    width: int  # px
    height: int
    parameters: tuple[float, ...]  # focal lengths, principal point, distortion, as the model has them


class _Image(NamedTuple):
    """What COLMAP calls an image: a photograph's pose, world to camera."""

    quaternion: tuple[float, ...]  # w x y z
    t: tuple[float, ...]  # in the model's unit
    camera: int  # the number of its lens
    name: str  # the photograph's file


def write_colmap(folder: Path, cameras: Mapping[int, Camera], *, binary: bool = False) -> None:
    """cameras, images and an empty points3D, as .txt or .bin. OPENCV where k3 is 0, else FULL_OPENCV."""
    folder.mkdir(parents=True, exist_ok=True)
    lenses = {view: _lens_of(camera) for view, camera in cameras.items()}
    images = {
        view: _Image(
            _quaternion(camera.R),
            tuple(camera.t.tolist()),
            view + 1,
            f"{view}.jpg",
        )
        for view, camera in cameras.items()
    }
    write = _write_binary if binary else _write_text
    write(folder, lenses, images)


def read_colmap(folder: Path, *, scale: float = 1.0) -> dict[int, Camera]:
    """View -> camera. scale: millimetres a unit of the model.

    Photographs not named by a number get numbers in the order of their names.
    Raises CalibrationError for missing or damaged files and lens models that ours does not hold.
    """
    binary = (folder / "cameras.bin").is_file() and not (folder / "cameras.txt").is_file()
    end = ".bin" if binary else ".txt"
    for name in ("cameras", "images"):
        if not (folder / (name + end)).is_file():
            raise CalibrationError(f"{folder} is no COLMAP model: {name}{end} is missing")
    try:
        lenses, images = _read_binary(folder) if binary else _read_text(folder)
        return _cameras(folder, lenses, images, scale)
    except OSError as error:
        raise CalibrationError(f"{folder}: the COLMAP model cannot be read: {error.strerror}") from None
    except (ValueError, IndexError, OverflowError, struct.error) as error:
        raise CalibrationError(f"{folder}: the COLMAP model is damaged: {shown(error)}") from None


def _cameras(folder: Path, lenses: Mapping[int, "_Lens"], images: "list[_Image]", scale: float) -> dict[int, Camera]:
    stems = {image.name: Path(image.name).stem for image in images}
    numbered = all(stem.isdecimal() for stem in stems.values()) and len({int(s) for s in stems.values()}) == len(stems)
    views = {n: int(s) for n, s in stems.items()} if numbered else {n: i for i, n in enumerate(sorted(stems))}
    found = {}
    for image in images:
        if image.camera not in lenses:
            raise CalibrationError(f"{folder}: image {shown(image.name)} has camera {image.camera}, which is not there")
        lens = lenses[image.camera]
        K, distortion = _of_lens(lens, image.name)
        found[views[image.name]] = Camera(
            K=K, R=_rotation(image.quaternion), t=np.array(image.t) * scale, width=lens.width, height=lens.height,
            distortion=distortion, name=stems[image.name],
        )  # fmt: skip
    return dict(sorted(found.items()))


def _lens_of(camera: Camera) -> _Lens:
    if abs(camera.K[0, 1]) > 1e-9:
        raise CalibrationError(f"camera {camera.name}: its K has skew, which COLMAP's models lack")
    k1, k2, p1, p2, k3 = camera.distortion.tolist()
    head = (camera.K[0, 0], camera.K[1, 1], camera.K[0, 2] + 0.5, camera.K[1, 2] + 0.5)
    if k3 == 0:
        return _Lens("OPENCV", camera.width, camera.height, tuple(map(float, (*head, k1, k2, p1, p2))))
    return _Lens("FULL_OPENCV", camera.width, camera.height, tuple(map(float, (*head, k1, k2, p1, p2, k3, 0, 0, 0))))


def _of_lens(lens: _Lens, image: str) -> tuple[Floats, Floats]:
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


def _write_text(folder: Path, lenses: Mapping[int, _Lens], images: Mapping[int, _Image]) -> None:
    cameras = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for view, lens in lenses.items():
        cameras.append(
            " ".join([str(view + 1), lens.model, str(lens.width), str(lens.height), *map(repr, lens.parameters)])
        )
    poses = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for view, image in images.items():
        numbers = " ".join(map(repr, (*image.quaternion, *image.t)))
        poses += [f"{view + 1} {numbers} {image.camera} {image.name}", ""]
    for name, lines in (("cameras", cameras), ("images", poses), ("points3D", ["# empty"])):
        with atomic_write(folder / f"{name}.txt") as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _read_text(folder: Path) -> tuple[dict[int, _Lens], list[_Image]]:
    lenses = {}
    for line in read_text(folder / "cameras.txt", MAX_MODEL_BYTES // 4).splitlines():
        if line.strip() and not line.startswith("#"):
            number, model, width, height, *parameters = line.split()
            lenses[int(number)] = _checked(_Lens(model, int(width), int(height), tuple(map(float, parameters))))
    images = []
    # Two lines an image, the second of which may be empty.
    text = read_text(folder / "images.txt", MAX_MODEL_BYTES // 4)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    if len(lines) > 2 * MAX_VIEWS:
        raise ValueError(f"it has more than {MAX_VIEWS:,} images")
    while lines and not lines[0].strip():
        lines.pop(0)
    for line in lines[::2]:
        if line.strip():
            words = line.split(maxsplit=9)
            numbers = tuple(map(float, words[1:8]))
            images.append(_Image(numbers[:4], numbers[4:], int(words[8]), words[9].strip()))
    return lenses, images


def _checked(lens: _Lens) -> _Lens:
    if lens.model not in MODELS:
        raise CalibrationError(
            f"the lens model {lens.model} is not held by params.json; take one of {', '.join(MODELS)}"
        )
    if not (0 < lens.width <= MAX_SIDE_PX and 0 < lens.height <= MAX_SIDE_PX):
        raise ValueError(f"a camera of {lens.width} x {lens.height} pixels")
    if len(lens.parameters) != MODELS[lens.model].parameters:
        raise ValueError(f"{lens.model} with {len(lens.parameters)} parameters")
    return lens


def _write_binary(folder: Path, lenses: Mapping[int, _Lens], images: Mapping[int, _Image]) -> None:
    cameras = struct.pack("<Q", len(lenses))
    for view, lens in lenses.items():
        cameras += struct.pack("<IiQQ", view + 1, MODELS[lens.model].number, lens.width, lens.height)
        cameras += struct.pack(f"<{len(lens.parameters)}d", *lens.parameters)
    poses = struct.pack("<Q", len(images))
    for view, image in images.items():
        poses += struct.pack("<I7dI", view + 1, *image.quaternion, *image.t, image.camera)
        poses += image.name.encode() + b"\0" + struct.pack("<Q", 0)
    for name, data in (("cameras", cameras), ("images", poses), ("points3D", struct.pack("<Q", 0))):
        with atomic_write(folder / f"{name}.bin") as temporary:
            temporary.write_bytes(data)


def _read_binary(folder: Path) -> tuple[dict[int, _Lens], list[_Image]]:
    data = read_bytes(folder / "cameras.bin", MAX_MODEL_BYTES // 4)
    (count,), at = struct.unpack_from("<Q", data), 8
    lenses = {}
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<IiQQ", data, at)
        at += 24
        if model not in _NAMES:
            raise CalibrationError(
                f"the lens model number {model} is not held by params.json; take {', '.join(MODELS)}"
            )
        size = MODELS[_NAMES[model]].parameters
        lenses[number] = _checked(_Lens(_NAMES[model], width, height, struct.unpack_from(f"<{size}d", data, at)))
        at += 8 * size
    data = read_bytes(folder / "images.bin", MAX_MODEL_BYTES)
    (count,), at = struct.unpack_from("<Q", data), 8
    images: list[_Image] = []
    for _ in range(count):
        if len(images) >= MAX_VIEWS:
            raise ValueError(f"it has more than {MAX_VIEWS:,} images")
        _, *numbers, camera = struct.unpack_from("<I7dI", data, at)
        at += 64
        end = data.index(b"\0", at)
        images.append(_Image(tuple(numbers[:4]), tuple(numbers[4:]), camera, data[at:end].decode()))
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
    return lenses, images
