"""The faces in a photograph of anything: found at several sizes, turned if need be, each looked at closely."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from common.array_types import Floats, Image
from processing.landmarks.detector import DETECTION_SIZE_PX, LandmarkDetector
from processing.landmarks.found_face import OUTER_EYES, FoundFace, carried_back, each_once, seen_again, turned
from processing.landmarks.sideways_faces import find_sideways

MOST_FACES = 8
ROLLS_DEG = (0, 90, -90, 180, 30, -30)
CLOSE_PX = 640  # the side of the square in which a face is looked at closely
MARGIN = 1.0  # of a face's size, around it
_SMALL_PX = 512  # photographs of a smaller side are looked at enlarged, too
_LOOKS = 3  # at a face, each time where it was seen last
_SETTLED = 0.1  # of a face's size: it was where it was looked at
STEADY = 0.06  # disagreement up to which a face is believed
DOUBTFUL = 0.12  # disagreement up to which it is, where there is nothing better


def find_faces(image: Image, detector: LandmarkDetector) -> list[FoundFace]:
    """Every face of a photograph (H, W, 3) uint8 BGR, from left to right; none where nothing helps.

    detector: one that looks for several faces (`LandmarkDetector(faces=MOST_FACES)`).
    Looked for as the photograph is, then enlarged or with a border, turned, and in its parts; at last widened, which
    shows a face that looks aside (`sideways_faces`).
    """
    doubtful: list[FoundFace] = []
    for matrix, picture in _views(image):
        seen = [FoundFace(carried_back(found, matrix)) for found in detector.detect_all(picture)]
        closer = each_once([face for one in each_once(seen) if (face := _closely(image, one, detector)) is not None])
        steady = [face for face in closer if face.unsteady <= STEADY]
        if steady:
            return sorted(steady, key=lambda face: face.centre[0])
        doubtful += closer
    if sideways := find_sideways(image, doubtful, detector):
        return sideways
    return sorted((face for face in doubtful if face.unsteady <= DOUBTFUL), key=lambda face: face.unsteady)[:1]


def _views(image: Image) -> Iterator[tuple[Floats, Image]]:
    """Pictures to look for a face in, each with the (2, 3) matrix that brought the photograph's pixels there."""
    height, width = image.shape[:2]
    longer = max(height, width)
    whole = min(1.0, DETECTION_SIZE_PX / longer)
    yield np.eye(2, 3), image
    factors = [whole * 0.6, *((2.0, 3.0) if longer < _SMALL_PX else ())]
    for factor in factors:  # with a border as wide as the picture is high: a face that fills it is found
        yield turned(image, factor, 0, 1.8)
    for roll in ROLLS_DEG[1:]:
        yield turned(image, max(whole, min(2.0, _SMALL_PX / longer)), roll, 1.4)
    if longer > DETECTION_SIZE_PX:  # a small face in a large photograph
        side = longer // 2
        for top in range(0, max(1, height - side // 2), side // 2):
            for left in range(0, max(1, width - side // 2), side // 2):
                part = np.ascontiguousarray(image[top : top + side, left : left + side])
                yield np.array([[1.0, 0, -left], [0, 1.0, -top]]), part


def _closely(image: Image, face: FoundFace, detector: LandmarkDetector) -> FoundFace | None:
    """The face as it is seen in a square of its own, upright, and in that one's mirror image: the mean of both.

    None where it is not seen there again: what was found is no face, or hardly one.
    """
    for _ in range(_LOOKS):
        pair = [_once(image, face, detector, mirrored) for mirrored in (False, True)]
        found = [points for points in pair if points is not None]
        if not found:
            return None
        mean = FoundFace(np.asarray(np.mean(found, axis=0)))
        apart = 2 * np.linalg.norm(found[0] - mean.landmarks_px, axis=1).mean() if len(found) == 2 else np.inf
        moved = np.linalg.norm(face.centre - mean.centre) / face.size_px
        face = FoundFace(mean.landmarks_px, float(apart / mean.size_px))
        if moved < _SETTLED and face.unsteady <= STEADY:
            break
    return face


def _once(image: Image, face: FoundFace, detector: LandmarkDetector, mirrored: bool) -> Floats | None:
    """The points of the face in a square around it."""
    eyes = face.landmarks_px[list(OUTER_EYES)]
    roll = float(np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1])))
    factor = CLOSE_PX / (face.size_px * (1 + 2 * MARGIN))
    matrix = cv2.getRotationMatrix2D(tuple(face.centre.tolist()), roll, factor)
    matrix[:, 2] += (CLOSE_PX - 1) / 2 - face.centre
    if mirrored:
        matrix = np.array([[-1, 0, CLOSE_PX - 1], [0, 1.0, 0]]) @ np.vstack([matrix, [0, 0, 1]])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = cv2.warpAffine(image, matrix, (CLOSE_PX, CLOSE_PX), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return seen_again(face, matrix, detector.detect_all(np.asarray(picture, dtype=np.uint8)), mirrored)


def positions(faces: Sequence[FoundFace]) -> list[str]:
    """What to call each of several faces, from left to right: 'left', '2nd from left', 'right'."""
    count = len(faces)
    if count <= 1:
        return ["the only one"] * count
    middle = [f"{k + 1}{'nd' if k == 1 else 'rd' if k == 2 else 'th'} from left" for k in range(1, count - 1)]
    if count == 3:
        middle = ["middle"]
    return ["left", *middle, "right"]
