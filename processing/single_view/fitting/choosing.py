"""Which face of a photograph is meant; refusals where that cannot be told, or the face is too small."""

from collections.abc import Sequence

import numpy as np

from processing.errors import NoFace
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import find_faces, positions
from processing.landmarks.found_face import OUTER_EYES, FoundFace
from processing.single_view.photograph import PhotoFitError, Photograph

LEAST_PX = 60.0  # of a face's longer side, chin to brow
CLEARLY = 3.0  # times as large as the next, a face is the one that is meant


def chosen_face(photograph: Photograph, detector: LandmarkDetector) -> FoundFace:
    """Raises NoFace, PhotoFitError."""
    faces = find_faces(photograph.image, detector)
    height, width = photograph.image.shape[:2]
    if not faces:
        raise NoFace(
            f"{photograph.name}: no face was found in the {width} x {height} pixels, as they are, enlarged, turned or "
            "in parts. Give a photograph that shows the face, lit and not seen from behind; crop it to the head "
            "if it is small"
        )
    face = _which(photograph, faces)
    if face.size_px < LEAST_PX:
        raise PhotoFitError(
            f"{photograph.name}: the face is {face.size_px:.0f} pixels high; {LEAST_PX:.0f} are needed, and 200 make a "
            "good fit. Give a larger photograph"
        )
    return face


def _which(photograph: Photograph, faces: Sequence[FoundFace]) -> FoundFace:
    names = positions(faces)
    if photograph.face is not None:
        return faces[_number(photograph, names, faces)]
    order = np.argsort([-face.size_px for face in faces])
    if len(faces) == 1 or faces[order[0]].size_px > CLEARLY * faces[order[1]].size_px:
        return faces[int(order[0])]
    raise PhotoFitError(
        f"{photograph.name}: {len(faces)} faces: {_told(names, faces)}. Choose one (--face '{names[0]}')"
    )


def _number(photograph: Photograph, names: Sequence[str], faces: Sequence[FoundFace]) -> int:
    wanted = str(photograph.face).strip().lower()
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(faces):
        return int(wanted) - 1
    raise PhotoFitError(f"{photograph.name}: no face is called '{wanted}'. There are: {_told(names, faces)}")


def _told(names: Sequence[str], faces: Sequence[FoundFace]) -> str:
    parts = []
    for name, face in zip(names, faces, strict=True):
        x, y = face.centre.round().astype(int).tolist()
        parts.append(f"{name} (at {x}, {y}, {face.size_px:.0f} pixels)")
    return ", ".join(parts)


def eye_distance_px(face: FoundFace) -> float:
    """Between the outer corners of the eyes."""
    first, second = face.landmarks_px[list(OUTER_EYES)]
    return float(np.linalg.norm(first - second))
