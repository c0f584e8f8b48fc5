"""Which pixels of a photograph are given a rendered face, and how the two meet."""

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32
from processing.face_models.face_model import ModelTopology
from processing.single_view.editing.face_view import FaceView
from processing.single_view.editing.moved_face import disk
from processing.single_view.editing.picture_light import soft

RIM_SHARE = 0.05  # of the face's width: what stands before it comes in from there
LEAST_SHARE = 0.004  # of the face's area, that something before it covers
DARKER = 0.42  # of the light that a face would show, below which it is something else
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


def nearest_of(mask: Bools, known: Bools) -> Bools:
    """The mask where it is known, elsewhere as at the nearest known pixel."""
    if not known.any():
        return mask
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(label.max()) + 1, np.bool_)
    values[label[known]] = mask[known]
    return np.asarray(values[label])


def darker(photograph: Floats32, render: Floats32, width_px: float) -> Bools:
    """(h, w) where the photograph is so much darker than a face rendered in its light that it shows something else:
    hair, the rims of glasses, a beard. Both (h, w, 3), linear light.
    """
    sigma = max(0.8, 0.006 * width_px)
    ours, theirs = (cv2.GaussianBlur(p.mean(axis=2), (0, 0), sigma) for p in (render, photograph))
    return np.asarray(theirs + 1e-3 < DARKER * (ours + 1e-3))


def in_front(
    face: Bools, other: Bools, inner: Bools, landmarks_px: Floats, picture: Floats32, width_px: float
) -> Floats32:
    """(h, w) 0..1: how much of each pixel stands before the face: hair, hands, glasses, a beard.

    face: (h, w) where the face is; other: where the photograph shows no skin of it; inner: eyes and mouth;
    landmarks_px: (68, 2) of the face; picture: (h, w, 3) the photograph, 0..255, along whose edges the answer ends.
    What is no skin but lies within the face all around is of the face: a mole, a shadow of the nose. So are brows and
    lashes, even where they reach hair at the temple, unless hair falls over them from above, or glasses stand there.
    """
    apart = face & other & ~grown(inner, 0.02 * width_px)
    eyes = _about_eyes(landmarks_px, face.shape, width_px)
    if _glasses(other, landmarks_px, width_px):
        eyes[:] = False
    kept = _from_rim(apart & ~eyes, face, width_px)
    over = _below(kept, eyes, max(2, round(0.02 * width_px)))
    kept |= apart & eyes & over
    if not kept.any():
        return np.zeros(face.shape, np.float32)
    guide = (picture / 255).astype(np.float32)
    radius = max(2, round(0.02 * width_px))
    cover = cv2.ximgproc.guidedFilter(guide, nearest_of(kept, face).astype(np.float32), radius, 4e-4)
    return np.asarray(((cover - 0.15) / 0.6).clip(0, 1), dtype=np.float32)


def _from_rim(apart: Bools, face: Bools, width_px: float) -> Bools:
    """Its pieces that are large and come in from the face's rim."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(apart.astype(np.uint8), connectivity=8)
    rim = face & ~shrunk(face, RIM_SHARE * width_px)
    touching = np.zeros(count, np.bool_)
    touching[label[rim & apart]] = True
    touching &= stats[:, cv2.CC_STAT_AREA] > LEAST_SHARE * width_px**2
    touching[0] = False
    return np.asarray(touching[label])


def _about_eyes(landmarks_px: Floats, shape: tuple[int, int], width_px: float) -> Bools:
    """(h, w) brows, eyes and what lies between them, either side."""
    zone = np.zeros(shape, np.uint8)
    for brow, eye in ((slice(17, 22), slice(36, 42)), (slice(22, 27), slice(42, 48))):
        points = np.concatenate([landmarks_px[brow], landmarks_px[eye]]).astype(np.float32)
        cv2.fillConvexPoly(zone, cv2.convexHull(points).round().astype(np.int32), 1)
    return grown(zone > 0, 0.055 * width_px)


def _glasses(other: Bools, landmarks_px: Floats, width_px: float) -> bool:
    """Whether something dark crosses the nose between the eyes."""
    middle = (landmarks_px[27] + landmarks_px[39] + landmarks_px[42]) / 3
    half = max(2, round(0.045 * width_px))
    x, y = np.rint(middle).astype(int).tolist()
    patch = other[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
    return bool(patch.size and patch.any(axis=0).mean() > 0.9)


def _below(kept: Bools, zone: Bools, reach: int) -> Bools:
    """(h, w) columns of a zone above which, within so many rows, is what is kept."""
    columns = np.flatnonzero(zone.any(axis=0))
    out = np.zeros_like(zone)
    for column in columns.tolist():
        top = int(zone[:, column].argmax())
        out[:, column] = kept[max(top - reach, 0) : top, column].any()
    return out
