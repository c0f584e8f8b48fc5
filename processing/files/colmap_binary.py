"""COLMAP's binary files: cameras.bin, images.bin."""

import struct
from collections.abc import Mapping
from pathlib import Path

from common.bounded.files import read_bytes
from common.bounded.limits import MAX_MODEL_BYTES, MAX_VIEWS
from common.files.atomic_write import atomic_write
from processing.files.calibration_errors import CalibrationError
from processing.files.colmap_model import MODEL_NAMES, MODELS, Lens, PosedImage, checked_lens


def write_binary_model(folder: Path, lenses: Mapping[int, Lens], images: Mapping[int, PosedImage]) -> None:
    """cameras.bin, images.bin and an empty points3D.bin. lenses, images: by view, one less than the number."""
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


def read_binary_model(folder: Path) -> tuple[dict[int, Lens], list[PosedImage]]:
    """Lenses by number, and images. Raises CalibrationError, and ValueError, IndexError, struct.error where damaged."""
    data = read_bytes(folder / "cameras.bin", MAX_MODEL_BYTES // 4)
    (count,), at = struct.unpack_from("<Q", data), 8
    lenses = {}
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<IiQQ", data, at)
        at += 24
        if model not in MODEL_NAMES:
            raise CalibrationError(
                f"the lens model number {model} is not held by params.json; take {', '.join(MODELS)}"
            )
        size = MODELS[MODEL_NAMES[model]].parameters
        lenses[number] = checked_lens(
            Lens(MODEL_NAMES[model], width, height, struct.unpack_from(f"<{size}d", data, at))
        )
        at += 8 * size
    data = read_bytes(folder / "images.bin", MAX_MODEL_BYTES)
    (count,), at = struct.unpack_from("<Q", data), 8
    images: list[PosedImage] = []
    for _ in range(count):
        if len(images) >= MAX_VIEWS:
            raise ValueError(f"it has more than {MAX_VIEWS:,} images")
        _, *numbers, camera = struct.unpack_from("<I7dI", data, at)
        at += 64
        end = data.index(b"\0", at)
        images.append(PosedImage(tuple(numbers[:4]), tuple(numbers[4:]), camera, data[at:end].decode()))
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
    return lenses, images
