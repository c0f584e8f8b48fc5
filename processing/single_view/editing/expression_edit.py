"""The expression of a photographed face changed: warped by the fitted mesh, shaded anew, filled where it opens.

FaceScape, supplement (CVPR 2020), section 7: pixels move as the model's vertices do, and are shaded by their new
normals under the light that the fit found.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import ShapeError
from processing.face_models.face_model import FaceModel
from processing.single_view.appearance.lighting import Lighting, linear
from processing.single_view.editing.face_view import face_window, pixels_of
from processing.single_view.editing.hole_filling import extended
from processing.single_view.editing.landmark_alignment import picture_alignment
from processing.single_view.editing.mouth_inside import mouth_inside
from processing.single_view.editing.moved_face import MovedFace, disk, motion_around, moved_face, opened, part_pixels
from processing.single_view.editing.picture_light import sampled, soft, to_display, to_light
from processing.single_view.editing.teeth import teeth_of
from processing.single_view.photograph import PhotoFit

SLIT_MM, LIPS_MM = 0.5, 1.3  # eyes and lips that are open by less than twice this are closed
LID_SHARE = 0.5  # of a pixel in the photograph for one of a closing lid, below which it is made of skin around it
LASHES, LIP_LINE = 0.6, 0.5  # by which the lines where lids and lips meet are darker


@dataclass(frozen=True)
class EditSettings:
    """How a photograph is edited."""

    shade: bool = True  # anew, by the new normals
    least_ratio: float = 0.55  # of new light to old, and the most
    most_ratio: float = 1.7
    margin: float = 0.35  # of the head's extent, within which what surrounds it gives way


def edit_expression(
    model: FaceModel, fit: PhotoFit, image: Image, weights: Floats, *, settings: EditSettings | None = None
) -> Image:
    """The photograph (H, W, 3) BGR with the face at expression weights (U,) instead of the fit's; same size.

    A fit without appearance is shaded as it was. Raises ShapeError.
    """
    settings = settings or EditSettings()
    if weights.shape != (len(model.units),):
        raise ShapeError("weights", weights.shape, f"({len(model.units)},)")
    camera = fit.camera.camera
    if image.shape[:2] != (camera.height, camera.width):
        raise ShapeError("image", image.shape, f"({camera.height}, {camera.width}, 3)")
    return _Edit(model, fit, image, weights, settings).run()


class _Edit:
    def __init__(self, model: FaceModel, fit: PhotoFit, image: Image, weights: Floats, settings: EditSettings) -> None:
        self._model, self._settings = model, settings
        camera = fit.camera.camera
        topology = model.topology
        alignment = picture_alignment(model, fit.vertices_mm, camera, fit.landmarks_px)
        before = camera.to_camera(fit.vertices_mm) + alignment.move_mm
        wanted = model.face(fit.identity, weights) + fit.correction_mm
        self._shift = alignment.move_of(topology.landmark_points(wanted))
        after = camera.to_camera(wanted) + self._shift
        both = np.concatenate([pixels_of(before, camera.K), pixels_of(after, camera.K)])
        window = face_window(both, (camera.width, camera.height), margin=settings.margin)
        mesh = topology.mesh
        self._px_per_mm = float(camera.K[0, 0] / before[:, 2].mean())
        slit = max(1, round(SLIT_MM * self._px_per_mm))
        old, new = mesh.with_vertices(before), mesh.with_vertices(after)
        lips = max(1, round(LIPS_MM * self._px_per_mm))
        self._face = moved_face(topology, old, new, camera.K, window, slit_px=slit, lips_px=lips)
        eye, inside = part_pixels(topology, self._face.before)
        self._eye_before, self._inside_before = opened(eye, slit), inside
        self._was_open = opened(inside, lips)
        x0, y0, x1, y1 = window
        self._slice = (slice(y0, y1), slice(x0, x1))
        self._image = image
        self._lighting = None if fit.appearance is None else fit.appearance.lighting
        self._fit, self._weights, self._camera = fit, weights, camera

    def run(self) -> Image:
        face = self._face
        lids = self._grown_lids() | self._lips_meeting()
        trusted = face.skin & face.shown & ~lids
        held = face.skin & face.shown
        move = motion_around(face, held | (face.skin & self._still()))
        photograph = self._image[self._slice].astype(np.float32)
        places = (face.after.grid_px + move - [self._slice[1].start, self._slice[0].start]).astype(np.float32)
        moved = sampled(photograph, places)
        unknown = (face.skin & ~trusted) | lids
        if unknown.any():
            moved = self._filled(moved, trusted, unknown)
        light = to_light(moved[..., ::-1])
        if self._settings.shade and self._lighting is not None:
            light = light * self._shading_ratio(self._lighting)
        light = self._with_lashes(self._with_eyes(light, photograph))
        light = self._with_mouth(light, photograph)
        out = self._image.copy()
        out[self._slice] = to_display(light)[..., ::-1].clip(0, 255).round()
        return out

    def _still(self) -> Bools:
        """(h, w) where nothing moves: hidden or not, the photograph is there."""
        return np.asarray(np.linalg.norm(self._face.source_px - self._face.after.grid_px, axis=2) < 0.25)

    def _grown_lids(self) -> Bools:
        """(h, w) where a lid has unfolded: the photograph has a few rows of it, with lashes before them."""
        face = self._face
        closed = self._eye_before & ~face.eye
        if not closed.any():
            return closed
        near = cv2.dilate(self._eye_before.astype(np.uint8), disk(self._px(7.0))) > 0
        narrow = face.area_share < LID_SHARE
        return np.asarray((face.skin & near & narrow) | self._lids_meeting())

    def _lids_meeting(self) -> Bools:
        """(h, w) what an eye that was open has left."""
        return np.asarray(self._face.slits & self._eye_before)

    def _lips_meeting(self) -> Bools:
        """(h, w) what a mouth that was open has left; nothing of one that was shut already."""
        face = self._face
        if not self._was_open.any():
            return self._was_open
        return np.asarray(face.slits & ~self._eye_before & part_pixels(self._model.topology, face.after)[1])

    def _px(self, mm: float) -> int:
        return max(1, round(mm * self._px_per_mm))

    def _filled(self, moved: Floats32, trusted: Bools, unknown: Bools) -> Floats32:
        """Skin that the photograph does not show, from the skin around it."""
        reach = self._px(1.2)
        border = cv2.dilate(unknown.astype(np.uint8), disk(reach)) > 0
        known = trusted & ~border
        if not known.any():
            return moved
        share = soft(unknown, 0.5 * reach)
        return np.asarray(moved + share[..., None] * (extended(moved, known) - moved), dtype=np.float32)

    def _shading_ratio(self, lighting: Lighting) -> Floats32:
        """(h, w, 3) new light over old, smooth, 1 around the face."""
        face, settings = self._face, self._settings
        old = lighting.shading(face.before.mesh.vertex_normals)
        new = lighting.shading(face.after.mesh.vertex_normals)
        ratio = (new / old).clip(settings.least_ratio, settings.most_ratio)
        values = face.after.values(ratio)
        values[~face.skin] = 1
        blurred = cv2.GaussianBlur(values.astype(np.float32), (0, 0), max(0.6, 0.8 * self._px_per_mm))
        return np.asarray(blurred, dtype=np.float32)

    def _with_eyes(self, light: Floats32, photograph: Floats32) -> Floats32:
        """Eyes stay where they are behind lids that move; what these uncover goes on from what was seen."""
        face, before = self._face, self._eye_before
        if not (face.eye & before).any():
            return light
        seen = to_light(photograph[..., ::-1])
        well = cv2.erode(before.astype(np.uint8), disk(self._px(0.7))) > 0
        eyes = np.where(before[..., None], seen, extended(seen, well if well.any() else before))
        return np.asarray(light + soft(face.eye, 0.7)[..., None] * (eyes - light), dtype=np.float32)

    def _with_lashes(self, light: Floats32) -> Floats32:
        """Where lids have met, a line of lashes; where lips have, their shadow."""
        for line, dark in ((self._lids_meeting(), LASHES), (_middle(self._lips_meeting()), LIP_LINE)):
            if line.any():
                thick = cv2.dilate(line.astype(np.uint8), disk(self._px(0.35))) > 0
                light = light * (1 - dark * soft(thick, 0.45 * self._px_per_mm))[..., None]
        return light

    def _with_mouth(self, light: Floats32, photograph: Floats32) -> Floats32:
        face = self._face
        if not face.inside.any():
            return light
        lighting = self._lighting or _flat_light(photograph, face)
        teeth = teeth_of(self._model, self._fit.identity, self._weights)
        lips = self._shift[self._model.topology.landmark_vertices[48:]].mean(axis=0)
        teeth_mm = self._camera.to_camera(teeth.vertices_mm) + lips
        made = mouth_inside(teeth, teeth_mm, face.after, face.inside, lighting)
        made = self._own_mouth(made, photograph)
        return light + soft(face.inside, 0.7)[..., None] * (made - light)

    def _own_mouth(self, made: Floats32, photograph: Floats32) -> Floats32:
        """The photograph's own teeth where the mouth was open already, but for a rim beside what has opened now."""
        face, before = self._face, self._inside_before
        new = (face.inside & ~before).astype(np.uint8)
        stays = face.inside & before & ~(cv2.dilate(new, disk(self._px(0.4))) > 0)
        if not stays.any():
            return made
        share = soft(stays, 0.5 * self._px_per_mm if new.any() else 0.3)
        share = np.where(stays, np.maximum(share, 0.5), np.minimum(share, 0.5)) if new.any() else stays
        return np.asarray(made + share[..., None] * (to_light(photograph[..., ::-1]) - made), dtype=np.float32)


def _middle(mask: Bools) -> Bools:
    """The middle row of each column of a narrow mask."""
    rows = np.arange(len(mask))[:, None]
    middle = np.rint((mask * rows).sum(axis=0) / np.maximum(mask.sum(axis=0), 1))
    return np.asarray((rows == middle) & mask.any(axis=0))


def _flat_light(photograph: Floats32, face: MovedFace) -> Lighting:
    """Light by the skin's brightness alone."""
    skin = face.before.seen
    level = linear(np.median(photograph[skin], axis=0)[::-1].astype(np.float64)) / linear(
        np.array([200.0, 150.0, 130.0])
    )
    return Lighting.ambient(float(np.median(level)))
