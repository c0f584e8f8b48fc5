"""Takes in FaceScape's multi-view layout: `<k>_<name>/{0..N}.jpg + params.json`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Image
from common.bounded.decoder_pool import decode
from common.bounded.limits import OutOfBounds
from common.files.json_object import read_json_object
from common.progress import Progress, no_progress
from common.view_counts import FEWEST_VIEWS, allowed_missing
from processing.errors import TakeError
from processing.files.camera_models import camera_from_params
from processing.files.photograph_sequence import LazyPhotographs, constant_maker
from processing.geometry.cameras import Camera, CameraError

NAME = re.compile(r"(?P<k>[1-9]\d*)_(?P<name>[a-z0-9_]+)$")
# '<v>_absent' in params.json: why the studio knows that there is no photograph of a view.
ABSENT = {
    "aside": "its camera was set aside when the take was fired",
    "decided": "its photograph is missing, and the studio kept the take without it",
}
HELD_BYTES = 500_000_000  # of a take's photographs are held decoded; the rest are decoded each time


@dataclass(frozen=True, eq=False)
class View:
    """One photograph and the camera that took it."""

    index: int  # the view's number in params.json
    camera: Camera
    photo: Path  # the JPEG
    serial: str  # the camera body's


@dataclass(frozen=True, eq=False)
class Take:
    """One expression of one subject, as its photographs."""

    folder: Path
    name: str  # the folder's, such as 2_smile
    views: tuple[View, ...]  # those that can be used
    skipped: Mapping[int, str]  # view -> why it is not used

    @property
    def cameras(self) -> list[Camera]:
        return [view.camera for view in self.views]

    @property
    def expression(self) -> str:
        """`smile` of `2_smile`; the whole name where it has no number."""
        match = NAME.fullmatch(self.name)
        return match["name"] if match else self.name

    @property
    def position(self) -> int:
        """2 of `2_smile`; 0 where the name has no number."""
        match = NAME.fullmatch(self.name)
        return int(match["k"]) if match else 0


def read_take(folder: Path, *, max_missing: int | None = None) -> Take:
    """Read a take's params.json and look at its photographs' presence, not yet at their pixels.

    A view that params.json marks invalid, whose photograph is missing or whose camera is unusable is skipped with its
    reason, up to `max_missing` (default `allowed_missing`); beyond that TakeError names them all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TakeError(f"{folder} is not a folder; give a take: a folder of 0.jpg, 1.jpg, ... and params.json")
    params = _read_params(folder)
    indices = sorted({int(m[1]) for key in params if (m := re.match(r"(\d{1,6})_", key))})
    photographs = {int(p.stem) for p in folder.glob("*.jpg") if p.stem.isdecimal() and len(p.stem) <= 6}
    indices = sorted(set(indices) | photographs)
    if not indices:
        raise TakeError(f"{folder / 'params.json'} names no view; keys are '0_K', '0_Rt', '0_distortion', ...")
    views: list[View] = []
    skipped: dict[int, str] = {}
    for i in indices:
        photo = folder / f"{i}.jpg"
        if params.get(f"{i}_valid") is False:
            skipped[i] = "marked invalid in params.json"
        elif not photo.is_file():
            skipped[i] = ABSENT.get(str(params.get(f"{i}_absent")), f"{photo.name} is missing")
        else:
            try:
                views.append(View(i, camera_from_params(params, i), photo, str(params.get(f"{i}_sn", ""))))
            except CameraError as error:
                skipped[i] = str(error)
    take = Take(folder, folder.resolve().name, tuple(views), skipped)
    _check_missing(take, len(indices), max_missing)
    return take


def _read_params(folder: Path) -> dict[str, Any]:
    path = folder / "params.json"
    if not path.is_file():
        raise TakeError(f"{folder} is not a take: it has no params.json (the cameras of its photographs)")
    return read_json_object(path, TakeError, keys="'0_K', '0_Rt', ...")


def _check_missing(take: Take, total: int, max_missing: int | None) -> None:
    allowed = allowed_missing(total) if max_missing is None else max_missing
    if len(take.skipped) <= allowed and len(take.views) >= FEWEST_VIEWS:
        return
    lines = [f"Take {take.name} cannot be used: {len(take.skipped)} of {total} views fail, {allowed} may."]
    lines += [f"  view {i}  {reason}" for i, reason in list(take.skipped.items())[:20]]
    if len(take.skipped) > 20:
        lines.append(f"  and {len(take.skipped) - 20} more")
    if len(take.views) < FEWEST_VIEWS:
        lines.append(f"  {len(take.views)} views remain; a scan needs {FEWEST_VIEWS}.")
    lines.append(f"Mend {take.folder}, or mark single views '<v>_valid': false in its params.json.")
    raise TakeError("\n".join(lines))


def read_photos(
    take: Take, *, max_missing: int | None = None, progress: Progress = no_progress
) -> tuple[Take, LazyPhotographs]:
    """Decode the photographs: the take without the views that turned out unusable, and (H, W, 3) BGR for the rest.

    Those beyond HELD_BYTES are decoded again each time they are asked for, so take them one at a time.

    A photograph that cannot be decoded or has another size than its camera is skipped with its reason like a missing
    one; beyond the allowance TakeError names them.
    """
    views: list[View] = []
    images: list[Callable[[], Image]] = []
    held = 0
    skipped = dict(take.skipped)
    for number, view in enumerate(take.views):
        progress(number / len(take.views), f"reading {view.photo.name}")
        image = decode_photo(view.photo)
        size = (view.camera.height, view.camera.width)
        if isinstance(image, str):
            skipped[view.index] = image
        elif image.shape[:2] != size:
            h, w = image.shape[:2]
            skipped[view.index] = f"{view.photo.name} is {w} x {h} px; params.json says {size[1]} x {size[0]}"
        else:
            views.append(view)
            held += image.nbytes
            images.append(constant_maker(image) if held <= HELD_BYTES else _read_again(view.photo))
    read = Take(take.folder, take.name, tuple(views), dict(sorted(skipped.items())))
    _check_missing(read, len(take.views) + len(take.skipped), max_missing)
    progress(1.0, f"{len(images)} photographs read")
    return read, LazyPhotographs(images)


def _read_again(path: Path) -> Callable[[], Image]:
    def image() -> Image:
        found = decode_photo(path)
        if isinstance(found, str):
            raise TakeError(f"{found}; it could be read a moment ago. Is something writing to {path.parent}?")
        return found

    return image


def decode_photo(path: Path) -> Image | str:
    """(H, W, 3) BGR as stored (no EXIF rotation), or the reason why it cannot be had.

    A photograph that is damaged inside is none, as in the studio; what follows its end marker is not looked at.
    """
    try:
        images, about = decode("photograph", path)
    except OutOfBounds as error:
        return f"{path.name} is not read: {error}"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
    except ValueError as error:
        images, about = [], {"flaw": str(error)}
    if images:
        return np.asarray(images[0], dtype=np.uint8)
    if about["flaw"] == "not a JPEG photograph":
        return f"{path.name} is not a JPEG"
    if "cut short" in about["flaw"]:
        return f"{path.name} is cut short"
    return f"{path.name} is damaged: {about['flaw']}"


def find_takes(subject: Path) -> list[Path]:
    """The take folders `<k>_<name>` of a subject, in k order. Raises TakeError where there is none."""
    subject = Path(subject)
    if not subject.is_dir():
        raise TakeError(f"{subject} is not a folder; give a subject: a folder of takes <k>_<name>/")
    folders = [p for p in subject.iterdir() if p.is_dir() and NAME.fullmatch(p.name)]
    if not folders:
        hint = "it is a take itself: give the folder above it" if (subject / "params.json").is_file() else "none found"
        raise TakeError(f"{subject} has no take folders <k>_<name> such as 1_neutral; {hint}")
    return sorted(folders, key=lambda p: (int(p.name.split("_")[0]), p.name))
