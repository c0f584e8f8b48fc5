"""A photograph's face replaced by one of known shape: rendered in the photograph's light, completed, joined, glossy.

FaceScape (TPAMI 2023), section 6.1, with classical means where the paper has nets: the photograph's own eyes and mouth
are carried over by the mesh (CompNet), what surrounds the face is drawn to the new outline (SynNet), and colours are
joined by a membrane (SwapNet).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import DataError
from processing.evaluation.wild.blending import grain, joined, matched, monochrome
from processing.evaluation.wild.face_region import darker, face_cover, face_pixels, grown, in_front, nearest_of, shrunk
from processing.evaluation.wild.face_render import openness, rendered_face
from processing.evaluation.wild.highlights import LUMINANCE, Gloss, highlights
from processing.face_models.face_model import FaceModel
from processing.geometry.mesh import Mesh
from processing.single_view.appearance.lighting import Lighting
from processing.single_view.editing.face_view import pixels_of
from processing.single_view.editing.hole_filling import extended
from processing.single_view.editing.moved_face import MovedFace, motion_around, moved_face
from processing.single_view.editing.picture_light import sampled, soft, to_display, to_light

LASHES_SHARE = 0.022  # of the face's width, by which lids' edges and lashes reach around the eyes
MOST_SHINE = 0.7  # of the skin's own light, that gloss adds at most
LEAST_FACING = 0.45  # cosine, from which on what a photograph shows is told from skin


@dataclass(frozen=True, eq=False)
class SwapInputs:
    """A square photograph and the faces in it; S x S pixels."""

    photograph: Image  # (S, S, 3) BGR
    K: Floats  # (3, 3) of its camera, px
    seen: Mesh  # V vertices in the camera's frame: the face that the photograph shows
    wanted: Mesh  # ... and the one that it is to show
    lighting: Lighting  # camera axes
    skin: Bools  # (S, S) where the photograph shows the face's own skin
    sharpness: float  # pixels of the original photograph for one of this, at most 1


def swapped(
    model: FaceModel, given: SwapInputs, texture: Image, gloss: Gloss, rng: np.random.Generator
) -> tuple[Image, Bools]:
    """(S, S, 3) BGR with the wanted face, and (S, S) the pixels that show it.

    texture: (T, T, 3) BGR over the model's UVs, without light.  rng: of the picture's grain.
    Raises DataError where no face is in the picture.
    """
    return _Swap(model, given, texture).run(gloss, rng)


class _Swap:
    def __init__(self, model: FaceModel, given: SwapInputs, texture: Image) -> None:
        self._model, self._given, self._texture = model, given, texture
        size = len(given.photograph)
        window = (0, 0, size, size)
        self._face: MovedFace = moved_face(model.topology, given.seen, given.wanted, given.K, window)
        self._region = face_pixels(model.topology, self._face.after)
        if self._region.sum() < 0.02 * size * size:
            raise DataError("the picture shows hardly anything of the face")
        self._width = float(np.sqrt(self._region.sum()))
        self._open_sky = openness(given.wanted)
        self._photo_display = given.photograph[..., ::-1].astype(np.float32)

    def run(self, gloss: Gloss, rng: np.random.Generator) -> tuple[Image, Bools]:
        face, region = self._face, self._region
        around = self._around()
        light = to_light(around)
        render, normals = self._rendered()
        skin = self._skin(normals)
        one_colour = monochrome(around, region)
        if one_colour:
            render = np.repeat(render.mean(axis=2, keepdims=True), 3, axis=2)
        usable = region & skin & face.skin & shrunk(region, 0.03 * self._width)
        render = matched(render, light, usable)
        other = region & (~skin | darker(light, render, self._width))
        inner = face.eye | face.inside | face.slits
        before = in_front(region, other, inner, self._landmarks_px(), around, self._width)
        skin = skin & (before < 0.1)
        render = joined(render, light, region, skin & face.after.seen, self._width)
        shine = self._gloss(normals, gloss)
        if one_colour:
            tone = np.median(light[region], axis=0)
            shine = (shine @ LUMINANCE)[..., None] * tone / max(float(tone @ LUMINANCE), 1e-4)
        render = np.asarray(render + shine, dtype=np.float32)
        render = self._as_sharp(to_display(render), around, skin, rng)
        cover = face_cover(region, face.after.seen, self._width) * (1 - before)
        mixed = around + cover[..., None] * (render - around)
        parts = self._own_parts() * region
        mixed = mixed + parts[..., None] * (self._toned(around, mixed) - mixed)
        return mixed[..., ::-1].clip(0, 255).round().astype(np.uint8), region & (cover > 0.5)

    def _landmarks_px(self) -> Floats:
        """(68, 2) of the wanted face."""
        places = self._model.topology.landmark_points(self._given.wanted.vertices_mm)
        return pixels_of(places, self._given.K)

    def _around(self) -> Floats32:
        """(S, S, 3) RGB display: the photograph, drawn so that its face's outline is where the wanted one is."""
        face = self._face
        held = face.after.seen & (face.shown | (np.abs(face.source_px - face.after.grid_px).max(axis=2) < 3))
        self._places = (face.after.grid_px + motion_around(face, held)).astype(np.float32)
        return sampled(self._photo_display, self._places)

    def _skin(self, normals: Floats32) -> Bools:
        """(S, S) where what is drawn around shows skin. What is seen at a grazing angle is as what is next to it."""
        skin = sampled(self._given.skin.astype(np.float32), self._places) > 0.5
        known = self._region & (normals[..., 2] < -LEAST_FACING)
        return nearest_of(skin, known) | (self._face.after.seen & ~self._region)

    def _rendered(self) -> tuple[Floats32, Floats32]:
        """(S, S, 3) linear RGB of the wanted face under the light, and (S, S, 3) its normals; nothing beside it."""
        rows, columns = np.flatnonzero(self._region.any(axis=1)), np.flatnonzero(self._region.any(axis=0))
        size, room = len(self._region), 4
        low = [max(0, int(k[0]) - room) for k in (columns, rows)]
        high = [min(size, int(k[-1]) + 1 + room) for k in (columns, rows)]
        window = (low[0], low[1], high[0], high[1])
        light, normals = np.zeros((2, size, size, 3), np.float32)
        box = (slice(low[1], high[1]), slice(low[0], high[0]))
        given = self._given
        light[box], normals[box] = rendered_face(
            given.wanted, given.K, window, self._texture, given.lighting, self._open_sky
        )
        return light, normals

    def _gloss(self, normals: Floats32, gloss: Gloss) -> Floats32:
        here = self._face.after.seen
        out = np.zeros(normals.shape, np.float32)
        n = normals[here].astype(np.float64)
        n /= np.linalg.norm(n, axis=1, keepdims=True).clip(1e-9)
        open_sky = self._face.after.values(self._open_sky[:, None])[here][:, 0]
        level = np.median(to_light(self._photo_display[self._region & here]) @ LUMINANCE)
        light = self._given.lighting
        scale = level / max(float(np.median(light.shading(n) @ LUMINANCE)), 1e-3)
        shine = highlights(n, light, gloss, open_sky**2) * scale * 2.0
        out[here] = shine / (1 + shine / (MOST_SHINE * level + 1e-6))
        return out

    def _as_sharp(self, render: Floats32, around: Floats32, skin: Bools, rng: np.random.Generator) -> Floats32:
        """No sharper than the photograph, and as grainy."""
        blur = 0.5 / max(self._given.sharpness, 0.05)
        if blur > 0.55:
            render = cv2.GaussianBlur(render, (0, 0), blur)
        noise = min(grain(around, skin & self._region), 6.0)
        return (render + (0.7 * noise * rng.standard_normal(render.shape[:2]))[..., None]).astype(np.float32)

    def _own_parts(self) -> Floats32:
        """(S, S) 0..1 where the photograph's own eyes and mouth are kept: with lashes and lids' edges."""
        face, width = self._face, self._width
        eyes = soft(grown(face.eye, LASHES_SHARE * width), 0.5 * LASHES_SHARE * width)
        mouth = soft(grown(face.inside | face.slits, 0.006 * width), max(0.8, 0.008 * width))
        return np.asarray(np.maximum(eyes, mouth), dtype=np.float32)

    def _toned(self, around: Floats32, mixed: Floats32) -> Floats32:
        """(S, S, 3) the photograph with its lids in the colours of the rendered skin about them."""
        face, width = self._face, self._width
        eyes = grown(face.eye, 1.3 * LASHES_SHARE * width)
        ring = grown(eyes, 0.05 * width) & ~eyes & face.skin & self._region
        if not ring.any():
            return around
        sigma = 0.02 * width
        weight = soft(ring, sigma)[..., None] + 1e-3
        ours, theirs = (cv2.GaussianBlur(p * ring[..., None], (0, 0), sigma) / weight for p in (mixed, around))
        ratio = ((ours + 4) / (theirs + 4)).clip(0.7, 1.4)
        far = ~grown(eyes, 0.08 * width)
        ratio[far] = 1
        return np.asarray((around * extended(ratio, ring | far)).clip(0, 255), dtype=np.float32)
