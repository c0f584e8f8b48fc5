"""A photograph's face replaced by one of known shape: rendered in the photograph's light, completed, joined, glossy.

FaceScape (TPAMI 2023), section 6.1, with classical means where the paper has nets: the photograph's own eyes and mouth
are carried over by the mesh (CompNet), what surrounds the face is drawn to the new outline (SynNet), and colours are
joined by a membrane (SwapNet).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import DataError
from processing.evaluation.wild.blending import grain, joined, matched
from processing.evaluation.wild.face_region import darker, face_cover, face_pixels, grown, in_front, nearest_of, shrunk
from processing.evaluation.wild.highlights import Gloss, highlights
from processing.face_models.face_model import FaceModel
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface
from processing.single_view.appearance.lighting import Lighting
from processing.single_view.editing.face_view import see_face
from processing.single_view.editing.hole_filling import extended
from processing.single_view.editing.moved_face import MovedFace, motion_around, moved_face
from processing.single_view.editing.picture_light import sampled, soft, to_display, to_light

LASHES_SHARE = 0.022  # of the face's width, by which lids' edges and lashes reach around the eyes
LEAST_FACING = 0.45  # cosine, from which on what a photograph shows is told from skin
SUPERSAMPLE = 2
_OPEN_RAYS = 48
_REACH_MM = 40.0


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
        usable = region & skin & face.skin & shrunk(region, 0.03 * self._width)
        render = matched(render, light, usable)
        other = region & (~skin | darker(light, render, self._width))
        inner = face.eye | face.inside | face.slits
        before = in_front(region, other, inner, around, self._width)
        skin = skin & (before < 0.1)
        render = joined(render, light, region, skin & face.after.seen, self._width)
        render = render + self._gloss(normals, gloss)
        render = self._as_sharp(to_display(render), around, skin, rng)
        cover = face_cover(region, face.after.seen, self._width) * (1 - before)
        mixed = around + cover[..., None] * (render - around)
        parts = self._own_parts() * region
        mixed = mixed + parts[..., None] * (self._toned(around, mixed) - mixed)
        return mixed[..., ::-1].clip(0, 255).round().astype(np.uint8), region & (cover > 0.5)

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
        """(S, S, 3) linear RGB of the wanted face under the light, and (S, S, 3) its normals."""
        given, s = self._given, SUPERSAMPLE
        size = len(given.photograph)
        K = given.K.copy()
        K[:2] *= s
        K[:2, 2] += (s - 1) / 2
        view = see_face(given.wanted, K, (0, 0, size * s, size * s))
        mesh = given.wanted
        here = view.seen
        t, w = view.triangle[here], view.barycentric[here]
        corners = mesh.triangles[t]
        normal = np.einsum("nk,nkd->nd", w, mesh.vertex_normals[corners])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-9)
        uv = np.einsum("nk,nkd->nd", w, self._uvs()[t])
        side = self._texture.shape[0]
        texels = np.stack([uv[:, 0] * side - 0.5, (1 - uv[:, 1]) * side - 0.5], axis=1)
        colour = sample_image(self._texture, texels)[:, ::-1]
        open_sky = np.einsum("nk,nk->n", w, self._open_sky[corners])
        shade = given.lighting.shading(normal) * open_sky[:, None]
        out = np.zeros((*here.shape, 6), np.float32)
        out[here] = np.c_[to_light(colour) * shade, normal]
        small = cv2.resize(out, (size, size), interpolation=cv2.INTER_AREA)
        share = cv2.resize(here.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        small = small / np.maximum(share, 1e-3)[..., None]
        return small[..., :3], small[..., 3:]

    def _uvs(self) -> Floats:
        """(T, 3, 2) of the triangles' corners."""
        mesh = self._given.wanted
        if mesh.uvs is None or mesh.uv_triangles is None:
            raise DataError("the model's mesh has no UVs: no texture can be laid on it")
        return mesh.uvs[mesh.uv_triangles]

    def _gloss(self, normals: Floats32, gloss: Gloss) -> Floats32:
        here = self._face.after.seen
        out = np.zeros(normals.shape, np.float32)
        n = normals[here].astype(np.float64)
        n /= np.linalg.norm(n, axis=1, keepdims=True).clip(1e-9)
        open_sky = self._face.after.values(self._open_sky[:, None])[here][:, 0]
        level = np.median(to_light(self._photo_display[self._region & here]) @ [0.2126, 0.7152, 0.0722])
        light = self._given.lighting
        scale = level / max(float(np.median(light.shading(n) @ [0.2126, 0.7152, 0.0722])), 1e-3)
        out[here] = highlights(n, light, gloss, open_sky**2) * scale * 3.0
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


def openness(mesh: Mesh) -> Floats:
    """(V,) 0..1: the cosine-weighted share of directions above each vertex in which nothing is near."""
    count = len(mesh.vertices_mm)
    middle = mesh.vertices_mm.mean(axis=0)
    vertices = mesh.vertices_mm - middle
    picked = np.arange(0, count, max(1, count // 9000))
    i = np.arange(_OPEN_RAYS) + 0.5
    up, turn = np.sqrt(1 - i / _OPEN_RAYS), np.pi * (1 + 5**0.5) * i
    side = np.sqrt(1 - up**2)
    n = mesh.vertex_normals[picked]
    helper = np.where(np.abs(n[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    a = np.cross(n, helper)
    a /= np.linalg.norm(a, axis=1, keepdims=True).clip(1e-9)
    b = np.cross(n, a)
    directions = a[:, None] * (side * np.cos(turn))[:, None] + b[:, None] * (side * np.sin(turn))[:, None]
    directions = directions + n[:, None] * up[:, None]
    origins = np.broadcast_to((vertices[picked] + 0.3 * n)[:, None], directions.shape)
    distance, _, _ = Surface(mesh.with_vertices(vertices)).cast(origins.reshape(-1, 3), directions.reshape(-1, 3))
    free = (distance.reshape(len(picked), -1) > _REACH_MM).mean(axis=1)
    away, near = cKDTree(vertices[picked]).query(vertices, k=4)
    weight = 1 / (away + 0.3)
    return np.asarray(((free[near] * weight).sum(axis=1) / weight.sum(axis=1)).clip(0, 1))
