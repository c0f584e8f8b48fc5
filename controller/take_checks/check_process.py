"""The check processes: they decode photographs at reduced size and look at them, away from the studio's event loops.

They run at low priority, ignore Ctrl-C (the studio ends them), and end when the studio is gone.
"""

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import cache
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from common.bounded.files import read_bytes
from common.bounded.limits import MAX_PHOTO_BYTES
from controller.take_checks.photograph_findings import ExaminedPhotograph, Measure, PhotographFindings, SamePerson

if TYPE_CHECKING:
    from PIL import Image

    from controller.take_checks.face_identity import FaceIdentity
    from controller.take_checks.face_landmarker import FaceReader
    from controller.take_checks.image_measures import Pixels

NICE = 10
EXAMINED_PX = 2000  # the longer side is at least this, where the photograph has it: fine enough to judge focus
FACE_PX = 640


def begin() -> None:
    """Once in each process, before its first photograph."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_studio, daemon=True).start()
    os.nice(NICE)
    # mediapipe's C++ writes to the process's standard error whatever one asks.
    sys.stderr.flush()
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    os.close(sink)


def _end_with_the_studio() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


def warm_up(faces: bool) -> None:
    """Load what the first photograph would wait for."""
    import controller.take_checks.image_measures  # noqa: F401

    if faces:
        _reader()


def look(path: str, want_face: bool, measures: Sequence[Measure] = ()) -> PhotographFindings:
    """Everything there is to know of one photograph. Never raises: what goes wrong is the answer's `problem`."""
    try:
        return _look(Path(path), want_face, measures)
    except Exception as error:  # whatever one photograph does, the others are looked at
        return PhotographFindings(problem=f"it could not be examined: {type(error).__name__}: {error}"[:500])


def _look(path: Path, want_face: bool, measures: Sequence[Measure]) -> PhotographFindings:
    import numpy as np
    from PIL import ImageOps

    from controller.take_checks.image_measures import measure
    from controller.take_checks.thumbnail_shelf import shrunk

    decoded = _decode(read_bytes(path, MAX_PHOTO_BYTES))
    if isinstance(decoded, str):
        return PhotographFindings(problem=f"the photograph is damaged: {decoded}", damaged=True)
    picture, orientation = decoded
    rgb = np.asarray(picture)
    measured = measure(rgb)
    small = picture.reduce(max(1, max(picture.size) // FACE_PX))
    small.getexif()[0x0112] = orientation
    small = ImageOps.exif_transpose(small)
    upright = np.asarray(small)
    face = _reader().read(upright) if want_face else None
    shown = ExaminedPhotograph(rgb, upright, face)
    return PhotographFindings(
        sharpness=measured.sharpness,
        brightness=measured.brightness,
        clipped_percent=measured.clipped_percent,
        face=(face is not None) if want_face else None,
        frontal=face.frontal if face else 0.0,
        scores=face.scores if face else None,
        figures={name: figure for one in measures for name, figure in one(shown).items()},
        thumbnail=shrunk(small),
    )


def same_person(now: Sequence[str], before: Sequence[Sequence[str]], least: int) -> SamePerson:
    """Whether the photographs (paths) `now` show the person of one of the earlier sessions.

    least: so many of a session's photographs must show a face. Nothing that is computed of a face outlives this call.
    """
    from controller.take_checks.face_identity import same

    faces = _identity()
    person = faces.person([_small(path) for path in now], least)
    if person is None:
        return SamePerson.NO_FACE
    earlier = [faces.person([_small(path) for path in paths], least) for paths in before]
    known = [one for one in earlier if one is not None]
    if not known:
        return SamePerson.NO_FACE_BEFORE
    return SamePerson.YES if any(same(person, one) for one in known) else SamePerson.NO


def _small(path: str) -> "Pixels":
    """(h, w, 3) RGB, upright, of a size that shows faces. Raises ValueError for what is no whole JPEG."""
    import numpy as np
    from PIL import ImageOps

    decoded = _decode(read_bytes(Path(path), MAX_PHOTO_BYTES))
    if isinstance(decoded, str):
        raise ValueError(f"a photograph is damaged: {decoded}")
    picture, orientation = decoded
    small = picture.reduce(max(1, max(picture.size) // FACE_PX))
    small.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(small))


def _decode(data: bytes) -> "tuple[Image.Image, int] | str":
    """The photograph as stored, at reduced size, and its EXIF orientation; or why it is no whole JPEG.

    Every code is read strictly once more: the studio may have filed the photograph on its node's word.
    """
    from PIL import Image

    from common.bounded.jpeg_integrity import JpegVerdict, read_pixels

    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        width, height = image.size
        orientation = image.getexif().get(0x0112, 1)
        factor = max(size for size in (1, 2, 4, 8) if size <= max(1, max(image.size) // EXAMINED_PX))
        pixels = read_pixels(data, "RGB", min_height=-(-height // factor), min_width=-(-width // factor))
        if not isinstance(pixels, JpegVerdict):
            return Image.fromarray(pixels), orientation
        if pixels.flaw:
            return pixels.flaw
        image.draft("RGB", (width // factor, height // factor))
        return image.convert("RGB"), orientation


@cache
def _reader() -> "FaceReader":
    from controller.take_checks.face_landmarker import FaceReader

    return FaceReader()


@cache
def _identity() -> "FaceIdentity":
    from controller.take_checks.face_identity import FaceIdentity

    return FaceIdentity()
