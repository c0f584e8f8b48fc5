"""Takes in FaceScape's multi-view layout: `<k>_<name>/{0..N}.jpg + params.json`."""

import errno
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Image
from common.bounded.decoder_pool import decode
from common.bounded.exif_orientation import turned
from common.bounded.limits import OutOfBounds
from common.files.json_object import read_json_object
from common.progress import Progress, no_progress
from common.take_codes import TakeLabel
from common.view_counts import FEWEST_VIEWS, allowed_missing
from processing.errors import TakeError
from processing.files.camera_models import camera_from_params, is_valid
from processing.files.photograph_sequence import LazyPhotographs, constant_maker
from processing.files.subject_folder import label_of_folder
from processing.files.take_photographs import JPEG_ENDINGS, TakePhotographs, find_photographs
from processing.geometry.camera_units import other_unit
from processing.geometry.cameras import Camera, CameraError

# '<v>_absent' in params.json: why the studio knows that there is no photograph of a view.
ABSENT = {
    "aside": "its camera was set aside when the take was fired",
    "decided": "its photograph is missing, and the studio kept the take without it",
}
#: Of a disk, of the way to it, of this machine: the photograph may well be whole.
_NOT_OF_THE_FILE = {
    errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EREMOTEIO, errno.EHOSTDOWN, errno.ENODEV,
    errno.ENOMEM, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
HELD_BYTES = 500_000_000  # of a take's photographs are held decoded; the rest are decoded each time


@dataclass(frozen=True, eq=False)
class View:
    """One photograph and the camera that took it."""

    index: int  # the view's number in params.json
    camera: Camera
    photo: Path  # JPEG, PNG or TIFF
    serial: str  # the camera body's


@dataclass(frozen=True, eq=False)
class Take:
    """One expression of one subject, as its photographs."""

    folder: Path
    name: str  # the folder's, such as 2_smile; 2_smile also of 02_Smile
    views: tuple[View, ...]  # those that can be used
    skipped: Mapping[int, str]  # view -> why it is not used
    notes: tuple[str, ...] = ()  # what else a person should know of the photographs

    @property
    def cameras(self) -> list[Camera]:
        return [view.camera for view in self.views]

    @property
    def expression(self) -> str:
        """`smile` of `2_smile`; the whole name where it has no number."""
        label = TakeLabel.find(self.name)
        return label.name if label else self.name

    @property
    def position(self) -> int:
        """2 of `2_smile`; 0 where the name has no number."""
        label = TakeLabel.find(self.name)
        return label.position if label else 0


def read_take(folder: Path, *, max_missing: int | None = None) -> Take:
    """Read a take's params.json and look at its photographs' presence, not yet at their pixels.

    A view that params.json marks invalid, whose photograph is missing or whose camera is unusable is skipped with its
    reason, up to `max_missing` (default `allowed_missing`); beyond that TakeError names them all, as it does cameras
    that are in another unit than millimetres.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TakeError(f"{folder} is not a folder; give a take: a folder of 0.jpg, 1.jpg, ... and params.json")
    params = read_take_params(folder)
    photographs = find_photographs(folder, params)
    named = {int(m[1]) for key in params if (m := re.match(r"(\d{1,6})_", key))}
    indices = sorted(named | set(photographs.of_view) | set(photographs.doubled))
    if not indices:
        raise TakeError(f"{folder / 'params.json'} names no view; keys are '0_K', '0_Rt', '0_distortion', ...")
    if photographs.counted_from_one(named):
        raise TakeError(
            f"{folder}: photographs are numbered 1 to {len(named)}, the cameras of params.json 0 to {max(named)}: "
            "taken so, each would have its neighbour's camera. Rename the photographs, 1.jpg to 0.jpg and so on; "
            f"where they are right, mark '0_valid': false and take {len(named)}.jpg away"
        )
    views: list[View] = []
    skipped: dict[int, str] = {}
    for i in indices:
        found = _view(params, photographs, i)
        if isinstance(found, View):
            views.append(found)
        else:
            skipped[i] = found
    label = label_of_folder(folder)
    take = Take(folder, str(label) if label else folder.resolve().name, tuple(views), skipped)
    _check_missing(take, len(indices), max_missing, photographs.unnamed())
    require_millimetres(take.cameras, folder / "params.json")
    return take


def require_millimetres(cameras: Iterable[Camera], file: Path) -> None:
    """Raises TakeError where what the cameras see is too small or too large for the millimetres of it to be any.

    file: where they stand.
    """
    if unlikely := other_unit(list(cameras)):
        raise TakeError(
            f"{file}: {unlikely}. Bring them to millimetres: mien cameras convert {file} rig.json --scale 1000 for "
            "metres, and give rig.json as --rig or in place of params.json; for a free unit, measure something in it "
            "whose length is known, and give the millimetres of one unit"
        )


def _view(params: Mapping[str, Any], photographs: TakePhotographs, i: int) -> View | str:
    """View i, or why it cannot be used."""
    photo = photographs.of_view.get(i)
    try:
        if not is_valid(params, i):
            return "marked invalid in params.json"
        if photo is None:
            return ABSENT.get(str(params.get(f"{i}_absent")), photographs.why_none(i))
        return View(i, camera_from_params(params, i), photo, str(params.get(f"{i}_sn", "")))
    except CameraError as error:
        return str(error)


def take_files(folder: Path) -> dict[str, Path]:
    """The files that make a take by the names they have in one: params.json and each view's photograph, as in 7.jpg."""
    photographs = find_photographs(folder, read_take_params(folder)).of_view
    endings = dict.fromkeys(JPEG_ENDINGS, ".jpg") | {".tiff": ".tif"}
    files = {"params.json": folder / "params.json"}
    for view, path in photographs.items():
        ending = path.suffix.lower()
        files[f"{view}{endings.get(ending, ending)}"] = path
    return files


def read_take_params(folder: Path) -> dict[str, Any]:
    """What a take's params.json says. Raises TakeError."""
    path = folder / "params.json"
    if not path.is_file():
        raise TakeError(f"{folder} is not a take: it has no params.json (the cameras of its photographs)")
    return read_json_object(path, TakeError, keys="'0_K', '0_Rt', ...")


def _check_missing(take: Take, total: int, max_missing: int | None, unnamed: str = "") -> None:
    allowed = allowed_missing(total) if max_missing is None else max_missing
    if len(take.skipped) <= allowed and len(take.views) >= FEWEST_VIEWS:
        return
    lines = [f"Take {take.name} cannot be used: {len(take.skipped)} of {total} views fail, {allowed} may."]
    lines += [f"  view {i}  {reason}" for i, reason in list(take.skipped.items())[:20]]
    if len(take.skipped) > 20:
        lines.append(f"  and {len(take.skipped) - 20} more")
    if len(take.views) < FEWEST_VIEWS:
        lines.append(f"  {len(take.views)} views remain; a scan needs {FEWEST_VIEWS}.")
    if unnamed:
        lines.append(f"  {unnamed}.")
    lines.append(f"Mend {take.folder}, or mark single views '<v>_valid': false in its params.json.")
    raise TakeError("\n".join(lines))


def read_photos(
    take: Take, *, max_missing: int | None = None, progress: Progress = no_progress
) -> tuple[Take, LazyPhotographs]:
    """Decode the photographs: the take without the views that turned out unusable, and (H, W, 3) BGR for the rest.

    Those beyond HELD_BYTES are decoded again each time they are asked for, so take them one at a time.

    A photograph that cannot be decoded or has another size than its camera is skipped with its reason like a missing
    one; beyond the allowance TakeError names them. One that has its camera's size only when it is turned as its EXIF
    says is turned so; where turning leaves the size as it is, the take's notes say that it was not.
    """
    views: list[View] = []
    images: list[Callable[[], Image]] = []
    held = 0
    skipped = dict(take.skipped)
    unturned: list[str] = []
    for number, view in enumerate(take.views):
        progress(number / len(take.views), f"reading {view.photo.name}")
        size = (view.camera.height, view.camera.width)
        found = _decoded(view.photo)
        if isinstance(found, str):
            skipped[view.index] = found
            continue
        image = found.of_size(size)
        if image is None:
            skipped[view.index] = f"{found.size_in_words(view.photo.name)}; params.json says {size[1]} x {size[0]}"
            continue
        if found.orientation != 1 and found.turned_shape == size == found.pixels.shape[:2]:
            unturned.append(view.photo.name)
        views.append(view)
        held += image.nbytes
        images.append(constant_maker(image) if held <= HELD_BYTES else _read_again(view.photo, size))
    notes = (*take.notes, *_told_unturned(unturned))
    read = Take(take.folder, take.name, tuple(views), dict(sorted(skipped.items())), notes)
    _check_missing(read, len(take.views) + len(take.skipped), max_missing)
    progress(1.0, f"{len(images)} photographs read")
    return read, LazyPhotographs(images)


def _told_unturned(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return [
        f"{shown}: EXIF says to turn the picture, which leaves its size as it is; taken as stored, as cameras are "
        "calibrated here. Where the cameras are of turned pictures, turn the files and take the EXIF away"
    ]


def _read_again(path: Path, size: tuple[int, int]) -> Callable[[], Image]:
    def image() -> Image:
        found = _decoded(path)
        turned = None if isinstance(found, str) else found.of_size(size)
        if turned is None:
            why = found if isinstance(found, str) else f"{path.name} has another size"
            raise TakeError(f"{why}; it could be read a moment ago. Is something writing to {path.parent}?")
        return turned

    return image


@dataclass(frozen=True, eq=False)
class _Decoded:
    """A photograph as stored."""

    pixels: Image  # (H, W, 3) BGR
    orientation: int  # EXIF's, 1 to 8: how it is to be turned to be looked at

    @property
    def turned_shape(self) -> tuple[int, int]:
        """(height, width) when turned so."""
        h, w = self.pixels.shape[:2]
        return (w, h) if self.orientation >= 5 else (h, w)

    def of_size(self, size: tuple[int, int]) -> Image | None:
        """As stored where that has the size (height, width), else turned as EXIF says; None where neither has it."""
        if self.pixels.shape[:2] == size:
            return self.pixels
        return np.asarray(turned(self.pixels, self.orientation), np.uint8) if self.turned_shape == size else None

    def size_in_words(self, name: str) -> str:
        h, w = self.pixels.shape[:2]
        return f"{name} is {w} x {h} px" + (f" (EXIF orientation {self.orientation})" if self.orientation != 1 else "")


def decode_photo(path: Path) -> Image | str:
    """(H, W, 3) BGR as stored (no EXIF rotation), or the reason why it cannot be had.

    A photograph that is damaged inside is none, as in the studio; what follows its end marker is not looked at.
    """
    found = _decoded(path)
    return found if isinstance(found, str) else found.pixels


def _decoded(path: Path) -> _Decoded | str:
    try:
        images, about = decode("photograph", path)
    except OutOfBounds as error:
        return f"{path.name} is not read: {error}"
    except OSError as error:
        if error.errno in _NOT_OF_THE_FILE:
            raise TakeError(
                f"{path} cannot be read: {error.strerror}. The photograph may be whole: look at its disk, or the way "
                "to it, and run this again"
            ) from error
        return f"{path.name} cannot be read: {error.strerror}"
    except ValueError as error:
        images, about = [], {"flaw": str(error)}
    if images:
        return _Decoded(np.asarray(images[0], dtype=np.uint8), int(about["orientation"]))
    if about["flaw"] == "not a JPEG photograph":
        return f"{path.name} is not a JPEG, nor a PNG or TIFF"
    if "cut short" in about["flaw"]:
        return f"{path.name} is cut short"
    return f"{path.name} is damaged: {about['flaw']}"
