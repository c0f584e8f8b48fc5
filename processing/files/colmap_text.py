"""COLMAP's text files: cameras.txt, images.txt.

COLMAP writes two lines for an image, the second, its points, often empty. Exporters and hands leave empty lines out, or
add some: so an empty line says nothing here, and what a line is, is told from what stands in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.bounded.files import read_bytes
from common.bounded.limits import MAX_MODEL_BYTES, MAX_VIEWS
from common.files.atomic_write import atomic_write
from common.guarding.safe_text import shown
from processing.files.calibration_errors import CalibrationError
from processing.files.colmap_model import Lens, PosedImage, checked_lens

TWICE = "which camera took that photograph is not known; leave one of its lines"
_CAMERA = "CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]"
_IMAGE = "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"


def read_text_model(folder: Path) -> tuple[dict[int, Lens], list[PosedImage]]:
    """Lenses by number, and images. Raises CalibrationError with file and line, OSError, UnicodeDecodeError."""
    return _read_lenses(folder / "cameras.txt"), _read_images(folder / "images.txt")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of the lines that say something."""
    text = read_bytes(path, MAX_MODEL_BYTES // 4).decode("utf-8-sig")
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _read_lenses(path: Path) -> dict[int, Lens]:
    lenses: dict[int, Lens] = {}
    for number, line in _lines(path):
        words = line.split()
        try:
            if len(words) < 4:
                raise ValueError(f"{len(words)} words; wanted {_CAMERA}")
            camera = int(words[0])
            lens = checked_lens(Lens(words[1], int(words[2]), int(words[3]), tuple(map(float, words[4:]))))
        except ValueError as error:
            raise CalibrationError(f"{path}, line {number}: {shown(error)}") from None
        if lenses.setdefault(camera, lens) != lens:
            raise CalibrationError(f"{path}, line {number}: camera {camera} stands there twice, and not the same")
    return lenses


def _read_images(path: Path) -> list[PosedImage]:
    images: list[PosedImage] = []
    named: dict[str, int] = {}  # photograph -> its line
    after_image = False  # the line with an image's points may follow
    for number, line in _lines(path):
        if after_image and _are_points(line.split()):
            after_image = False
            continue
        try:
            images.append(_image(line))
        except ValueError as error:
            raise CalibrationError(
                f"{path}, line {number}: neither an image ({_IMAGE}) nor the points of one ({shown(error)})"
            ) from None
        name = images[-1].name
        if named.setdefault(name, number) != number:
            raise CalibrationError(f"{path}, lines {named[name]} and {number} both name {shown(name)}: {TWICE}")
        after_image = True
        if len(images) > MAX_VIEWS:
            raise CalibrationError(f"{path} has more than {MAX_VIEWS:,} images")
    return images


def _image(line: str) -> PosedImage:
    words = line.split(maxsplit=9)
    if len(words) < 10:
        raise ValueError(f"{len(words)} words")
    int(words[0])
    numbers = tuple(map(float, words[1:8]))
    length = sum(value * value for value in numbers[:4]) ** 0.5
    if not 0.5 < length < 2:
        raise ValueError(f"a quaternion of length {length:g}")
    return PosedImage(numbers[:4], numbers[4:], int(words[8]), words[9].strip().replace("\\", "/"))


def _are_points(words: Sequence[str]) -> bool:
    """Whether a line is X Y POINT3D_ID, any number of times: an image's has ten words, or a name among more.

    Where such a name is numbers alone, as in "12 1 2", its quaternion is not: those of points are whole at each third.
    """
    if len(words) % 3:
        return False
    try:
        return all(map(_is_finite, words)) and all(float(number).is_integer() for number in words[2::3])
    except ValueError:
        return False


def _is_finite(word: str) -> bool:
    return abs(float(word)) < float("inf")


def write_text_model(folder: Path, lenses: Mapping[int, Lens], images: Mapping[int, PosedImage]) -> None:
    """cameras.txt, images.txt and an empty points3D.txt. lenses, images: by view, which is one less than the number."""
    cameras = [f"# {_CAMERA}"]
    for view, lens in lenses.items():
        cameras.append(
            " ".join([str(view + 1), lens.model, str(lens.width), str(lens.height), *map(repr, lens.parameters)])
        )
    poses = [f"# {_IMAGE}", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for view, image in images.items():
        numbers = " ".join(map(repr, (*image.quaternion, *image.t)))
        poses += [f"{view + 1} {numbers} {image.camera} {image.name}", ""]
    for name, lines in (("cameras", cameras), ("images", poses), ("points3D", ["# empty"])):
        with atomic_write(folder / f"{name}.txt") as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
