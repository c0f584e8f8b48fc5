"""Faces that look aside, which the detector misses: shown to it widened, from a little another side each time.

Seen nearly in profile, above all by a short lens, a face is too narrow for a detector that learned from faces that
look at the camera: it sees nothing, or only in one of two mirror images. Widened, it sees it in most pictures. What it
sees once may be an ear or a fold of cloth: only what many looks see at one place, alike, is a face.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from common.array_types import Floats, Image
from processing.landmarks.detector import DETECTION_SIZE_PX, LandmarkDetector
from processing.landmarks.found_face import FoundFace, carried_back, each_once, seen_again, turned

LOOK_PX = 512  # the side of the square of one look
WIDER = (1.25, 1.5)
LEANS_DEG = (0.0, 15.0, -15.0)
MARGINS = (1.0, 0.6)  # of a face's size, around it
ALIKE = 0.12  # of a face's size: the points of two looks that saw the same are on average nearer than this
LEAST = 6  # of the 24 looks must have seen the same
LEAST_ALIKE = 4  # or so many, where they differ by FINE at most
SPREAD, FINE = 0.07, 0.035  # of a face's size: by how much those may differ; what is no face looks other in each
_ROOMS = (1.3, 2.0)  # sides of a picture, in those of the photograph
_ENLARGED_PX = 512
_UP = (10, 152)  # the detector's points at the top of the forehead and at the chin


def find_sideways(image: Image, seen_before: Sequence[FoundFace], detector: LandmarkDetector) -> list[FoundFace]:
    """The faces of a photograph (H, W, 3) uint8 BGR that many widened looks see alike, from left to right.

    seen_before: where there may be one. Where none of them is, one is looked for.
    """
    for seen in _seen(image, seen_before, detector):
        faces = [face for one in each_once(seen) if (face := _agreed(image, one, detector)) is not None]
        if faces:
            return sorted(each_once(faces), key=lambda face: face.centre[0])
    return []


def _seen(image: Image, before: Sequence[FoundFace], detector: LandmarkDetector) -> Iterator[list[FoundFace]]:
    yield list(before)
    longer = max(image.shape[:2])
    factor = min(_ENLARGED_PX / longer, 2.0) if longer < _ENLARGED_PX else min(1.0, DETECTION_SIZE_PX / longer)
    for room in _ROOMS:
        for wider in WIDER:
            for lean in LEANS_DEG:
                matrix, picture = turned(image, factor, lean, room, wider)
                yield [FoundFace(carried_back(found, matrix)) for found in detector.detect_all(picture)]


def _agreed(image: Image, face: FoundFace, detector: LandmarkDetector) -> FoundFace | None:
    """The mean of the looks that saw the same face here, or else where those few saw it; None where too few did."""
    for _ in range(2):
        seen = _mean_look(image, face, detector)
        if seen is None:
            return None
        face, looks = seen
        if face.unsteady <= (SPREAD if looks >= LEAST else FINE):
            return face
    return None


def _mean_look(image: Image, face: FoundFace, detector: LandmarkDetector) -> tuple[FoundFace, int] | None:
    """The mean of the looks that saw the same, and how many did."""
    looks = [
        points
        for wider in WIDER
        for margin in MARGINS
        for lean in LEANS_DEG
        for mirrored in (False, True)
        if (points := _look(image, face, detector, margin, lean, wider, mirrored)) is not None
    ]
    if len(looks) < LEAST_ALIKE:
        return None
    points = np.stack(looks)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(axis=-1) / face.size_px
    alike = apart < ALIKE
    of = alike[alike.sum(axis=1).argmax()]
    count = int(of.sum())
    if count < LEAST_ALIKE:
        return None
    unsteady = apart[np.ix_(of, of)].sum() / (count * (count - 1))
    return FoundFace(np.asarray(points[of].mean(axis=0)), float(unsteady)), count


def _look(
    image: Image, face: FoundFace, detector: LandmarkDetector, margin: float, lean: float, wider: float, mirrored: bool
) -> Floats | None:
    """The points of the face (478, 2) in one square around it."""
    down = face.landmarks_px[_UP[1]] - face.landmarks_px[_UP[0]]
    roll = float(np.degrees(np.arctan2(-down[0], down[1])))
    turn = cv2.getRotationMatrix2D((0.0, 0.0), roll + lean, LOOK_PX / (face.size_px * (1 + 2 * margin)))[:, :2]
    turn = np.diag([-wider if mirrored else wider, 1.0]) @ turn
    matrix = np.c_[turn, (LOOK_PX - 1) / 2 - turn @ face.centre]
    how = cv2.INTER_CUBIC if abs(np.linalg.det(turn)) > 1 else cv2.INTER_AREA
    picture = cv2.warpAffine(image, matrix, (LOOK_PX, LOOK_PX), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return seen_again(face, matrix, detector.detect_all(np.asarray(picture, dtype=np.uint8)), mirrored)
