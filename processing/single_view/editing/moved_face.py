"""A face that moves within a photograph: where each pixel's new surface point lay before."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.face_models.face_model import ModelTopology
from processing.geometry.mesh import Mesh
from processing.single_view.editing.face_view import FaceView, Window, see_face
from processing.single_view.editing.hole_filling import extended
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

LEAST_AREA = 0.15  # of a pixel that was seen for one that is to be made; what was seen narrower is unknown
_FIELD_PX = 320  # longer side of the pictures in which the motion is carried on around the face


@dataclass(frozen=True, eq=False)
class MovedFace:
    """A window of h x w pixels with the face before and after."""

    before: FaceView
    after: FaceView
    source_px: Floats  # (h, w, 2) where in the photograph each pixel's surface point lay; its own place without a face
    shown: Bools  # (h, w) where the photograph shows that point
    skin: Bools  # (h, w) of the face as it is after
    eye: Bools  # (h, w)
    inside: Bools  # (h, w) of the mouth
    slits: Bools  # (h, w) of eyes and mouth, narrower than anything is seen through
    area_share: Floats  # (h, w) of a pixel in the photograph for one of the new picture; 0 where none


def moved_face(
    topology: ModelTopology, before: Mesh, after: Mesh, K: Floats, window: Window, *, slit_px: int = 1, lips_px: int = 1
) -> MovedFace:
    """before, after: the model's mesh in the camera's frame, as the photograph has it and as it is to be.

    slit_px, lips_px: half of what eyes and mouth are open by at least; what is open by less is closed.
    """
    old, new = see_face(before, K, window), see_face(after, K, window)
    here = new.seen
    source = new.grid_px.copy()
    source[here] = new.values(old.vertices_px)[here]
    places = new.values(before.vertices_mm)[here]
    shown = np.zeros(here.shape, np.bool_)
    shown[here] = old.shows(places)
    share = _areas(old) / np.maximum(_areas(new), 1e-9)
    shown &= new.marked(share > LEAST_AREA)
    eye, inside = part_pixels(topology, new)
    open_eye, open_inside = opened(eye, slit_px), opened(inside, lips_px)
    slits = (eye | inside) & ~(open_eye | open_inside)
    skin = here & ~eye & ~inside
    shares = np.where(here, share[new.triangle], 0.0)
    return MovedFace(old, new, source, shown, skin, open_eye, open_inside, slits, shares)


def opened(mask: Bools, radius: int) -> Bools:
    """The mask without what is narrower than twice a radius, px."""
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disk(radius)) > 0)


def disk(radius: int) -> Image:
    """A round structuring element."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))


def part_pixels(topology: ModelTopology, view: FaceView) -> tuple[Bools, Bools]:
    """(h, w) where the surface between the lids and what lies within the lips is seen."""
    parts = topology.parts[topology.mesh.triangles]
    skin = parts == SKIN
    eye = (parts == EYE).any(axis=1) & (skin.sum(axis=1) < 2)
    inside = (parts == MOUTH_INTERIOR).any(axis=1) & (skin.sum(axis=1) < 2)
    return view.marked(eye), view.marked(inside)


def motion_around(face: MovedFace, held: Bools) -> Floats32:
    """(h, w, 2) px from each pixel to where it takes its colour: as the skin moved where it is `held` (h, w), nothing
    at the window's border, and a membrane between them, so that what surrounds a face goes with it.
    """
    move = (face.source_px - face.after.grid_px).astype(np.float32)
    height, width = held.shape
    known = held.copy()
    known[[0, -1]] = True
    known[:, [0, -1]] = True
    rim = known & ~held
    move[rim] = 0
    factor = min(1.0, _FIELD_PX / max(height, width))
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    weight = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(move * known[..., None], size, interpolation=cv2.INTER_AREA)
    small = small / np.maximum(weight, 1e-6)[..., None]
    carried = extended(small, weight > 0.25)
    back = cv2.resize(carried, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(held[..., None], move, back).astype(np.float32)


def _areas(view: FaceView) -> Floats:
    """(T,) px^2 of the triangles in the picture; nothing for those seen from behind."""
    a, b, c = (view.vertices_px[view.mesh.triangles[:, k]] for k in range(3))
    first, second = b - a, c - a
    # Rows go down: what is counter-clockwise from outside is clockwise here.
    return np.asarray((first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1]).clip(0) / 2)
