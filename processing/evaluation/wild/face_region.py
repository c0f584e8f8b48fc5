"""Which pixels of a photograph are given a rendered face, and how the two meet."""

import cv2
import numpy as np

from common.array_types import Bools, Floats32
from processing.face_models.face_model import ModelTopology
from processing.single_view.editing.face_view import FaceView
from processing.single_view.editing.moved_face import disk
from processing.single_view.editing.picture_light import soft

SOFT_SHARE = 0.045  # of the face's width, over which it passes into the photograph's skin


def face_pixels(topology: ModelTopology, view: FaceView) -> Bools:
    """(h, w) where the face is seen: what a benchmark measures, without scalp, ears and neck; eyes and mouth too."""
    inside = topology.face | (topology.parts != 0)
    return view.marked(inside[topology.mesh.triangles].all(axis=1))


def face_cover(face: Bools, head: Bools, width_px: float) -> Floats32:
    """(h, w) 0..1: how much of each pixel the rendered face takes. Sharp where it stands before what is no head, soft
    where skin goes on.

    face, head: (h, w) where the face, and the whole head, is seen; width_px: of the face.
    """
    reach = max(2.0, SOFT_SHARE * width_px)
    goes_on = head & ~face
    away = cv2.distanceTransform((~goes_on).astype(np.uint8), cv2.DIST_L2, 5)
    ramp = ((away - 0.5) / reach).clip(0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return np.asarray(ramp * soft(face, 0.6), dtype=np.float32)


def grown(mask: Bools, radius_px: float) -> Bools:
    """The mask and what is nearer than so many pixels."""
    radius = round(radius_px)
    return mask if radius < 1 else np.asarray(cv2.dilate(mask.astype(np.uint8), disk(radius)) > 0)


def shrunk(mask: Bools, radius_px: float) -> Bools:
    """The mask without what is nearer to its outline."""
    radius = round(radius_px)
    return mask if radius < 1 else np.asarray(cv2.erode(mask.astype(np.uint8), disk(radius)) > 0)
