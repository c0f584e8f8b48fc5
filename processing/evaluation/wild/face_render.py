"""A textured face rendered in a photograph's light: matt, under nine harmonics, dark where it hides itself."""

import cv2
import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Floats, Floats32, Image
from processing.errors import MeshError
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface
from processing.single_view.appearance.lighting import Lighting
from processing.single_view.editing.face_view import Window, see_face
from processing.single_view.editing.picture_light import to_light

SUPERSAMPLE = 2
_OPEN_RAYS = 48
_OPEN_PLACES = 9000  # at which openness is cast; vertices between take the nearest ones'
_REACH_MM = 40.0


def rendered_face(
    mesh: Mesh, K: Floats, window: Window, texture: Image, lighting: Lighting, open_sky: Floats
) -> tuple[Floats32, Floats32]:
    """(h, w, 3) linear RGB of a window, and (h, w, 3) the normals, camera axes, not of unit length at the outline.

    mesh: with UVs, in the camera's frame.  texture: (T, T, 3) BGR, without light.  open_sky: (V,), of `openness`.
    Raises MeshError without UVs.
    """
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise MeshError("the model's mesh has no UVs: no texture can be laid on it")
    s = SUPERSAMPLE
    fine = K.copy()
    fine[:2] *= s
    fine[:2, 2] += (s - 1) / 2
    x0, y0, x1, y1 = window
    view = see_face(mesh, fine, (x0 * s, y0 * s, x1 * s, y1 * s))
    here = view.seen
    t, w = view.triangle[here], view.barycentric[here]
    corners = mesh.triangles[t]
    normal = np.einsum("nk,nkd->nd", w, mesh.vertex_normals[corners])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-9)
    uv = np.einsum("nk,nkd->nd", w, mesh.uvs[mesh.uv_triangles[t]])
    side = texture.shape[0]
    colour = sample_image(texture, np.stack([uv[:, 0] * side - 0.5, (1 - uv[:, 1]) * side - 0.5], axis=1))[:, ::-1]
    shade = lighting.shading(normal) * np.einsum("nk,nk->n", w, open_sky[corners])[:, None]
    out = np.zeros((*here.shape, 7), np.float32)
    out[here] = np.c_[to_light(colour) * shade, normal, np.ones(len(t))]
    small = np.concatenate(
        [cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA) for part in (out[..., :4], out[..., 4:])],
        axis=2,
    )
    small = small / np.maximum(small[..., 6:], 1e-3)
    return np.asarray(small[..., :3], np.float32), np.asarray(small[..., 3:6], np.float32)


def openness(mesh: Mesh) -> Floats:
    """(V,) 0..1: the cosine-weighted share of directions above each vertex in which nothing is near."""
    count = len(mesh.vertices_mm)
    middle = mesh.vertices_mm.mean(axis=0)
    vertices = mesh.vertices_mm - middle
    picked = np.arange(0, count, max(1, count // _OPEN_PLACES))
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
