"""What an opened mouth shows: teeth, tongue and a dark cavity, in a photograph's light."""

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32
from processing.geometry.mesh import Mesh
from processing.single_view.appearance.lighting import Lighting, linear
from processing.single_view.editing.face_view import FaceView, see_face
from processing.single_view.editing.teeth import Teeth, coverage

TOOTH = np.array([238.0, 229.0, 214.0])  # RGB, display, as the other colours: what white light shows
CAVITY = np.array([52.0, 17.0, 15.0])
TONGUE = np.array([168.0, 88.0, 84.0])
_DEEP = 0.16  # of the light that reaches the cavity's ground


def mouth_inside(teeth: Teeth, teeth_mm: Floats, view: FaceView, inside: Bools, lighting: Lighting) -> Floats32:
    """(h, w, 3) linear RGB of what is seen within the lips, where `inside` (h, w) is; elsewhere nothing of meaning.

    view: the head with its mouth open; teeth_mm: (N, 3) the teeth's vertices in the camera's frame.
    """
    facing = lighting.shading(np.array([[0.0, 0.0, -1.0]]))[0]
    out = np.zeros((*inside.shape, 3))
    if not inside.any():
        return out.astype(np.float32)
    rows, columns = np.nonzero(inside)
    low, high, first, last = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    box = (slice(low, high), slice(first, last))
    part = inside[box]
    depth = cv2.distanceTransform(np.pad(part, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    tall = max(float(part.sum(axis=0).max()), 1.0)
    fraction = _height_fraction(part)
    lit = _DEEP + 0.5 * np.exp(-depth / (0.18 * tall))[..., None]  # light creeps in from the lips
    colour = linear(CAVITY) * lit
    across = np.abs(np.linspace(-1, 1, part.shape[1]))[None]
    tongue = _step(0.62, 0.18, fraction) * _step(0.95, 0.45, across) * min(1.0, tall / (0.5 * part.shape[1] + 1))
    wet = linear(TONGUE) * (0.25 + 0.45 * _step(0.0, 0.35, fraction)[..., None])
    colour = colour + tongue[..., None] * (wet - colour)
    covered, light = _teeth_pixels(teeth, teeth_mm, view, box)
    shade = (0.45 + 0.55 * (1 - np.exp(-depth / (0.10 * tall + 1)))) * light
    tooth = linear(TOOTH) * shade[..., None]
    colour = colour + covered[..., None] * (tooth - colour)
    out[box] = colour * facing
    return out.astype(np.float32)


def _height_fraction(part: Bools) -> Floats:
    """(h, w) 0 at the lower lip to 1 at the upper one, column by column."""
    height = part.shape[0]
    rows = np.arange(height)[:, None]
    top = np.where(part.any(axis=0), part.argmax(axis=0), 0)
    bottom = np.where(part.any(axis=0), height - 1 - part[::-1].argmax(axis=0), height - 1)
    return np.asarray(((bottom - rows) / np.maximum(bottom - top, 1)).clip(0, 1))


def _step(start: float, stop: float, value: Floats) -> Floats:
    t = ((value - start) / (stop - start)).clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _teeth_pixels(teeth: Teeth, teeth_mm: Floats, view: FaceView, box: tuple[slice, slice]) -> tuple[Floats, Floats]:
    """How much of a tooth each pixel of a box shows, and how light it is by its place in the row."""
    x0, y0 = view.window[:2]
    window = (x0 + box[1].start, y0 + box[0].start, x0 + box[1].stop, y0 + box[0].stop)
    seen = see_face(Mesh(teeth_mm, teeth.triangles), view.K, window)
    here = seen.seen
    covered, light = np.zeros(here.shape), np.zeros(here.shape)
    values = seen.values(np.c_[teeth.along_mm, teeth.height_mm, teeth.lower])
    covered[here], light[here] = coverage(values[here][:, 0], values[here][:, 1], values[here][:, 2] > 0.5)
    return covered, light
