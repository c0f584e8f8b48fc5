"""Where the face is on a template, in its vertices and in its UVs, and which vertex is whose mirror image."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats, Ints64
from processing.errors import MeshError
from processing.geometry.mesh import Mesh
from processing.template.face_regions import face_regions
from processing.template.template import Template

MASK_PX = 1024
_FACE = ("brow", "eye", "nose", "mouth", "chin", "cheek")
_MIDLINE = (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)  # landmarks that lie between left and right


def mirrored(template: Template) -> tuple[Ints64, Floats]:
    """(V,) the vertex nearest to where each one lies in a mirror, on the neutral face, and (V,) how far off it is, mm.

    The mirror stands at the mean x of the landmarks on the midline.
    """
    vertices = template.mesh.vertices_mm
    middle = float(template.landmark_points(vertices)[list(_MIDLINE), 0].mean())
    reflected = vertices * [-1.0, 1.0, 1.0] + [2 * middle, 0.0, 0.0]
    # Parts look alike but lie close to one another: an eye's mirror is the other eye, not the lid before it.
    other = np.zeros(len(vertices), dtype=np.int64)
    distance = np.zeros(len(vertices))
    for part in np.unique(template.parts):
        mine = np.flatnonzero(template.parts == part)
        distance[mine], nearest = cKDTree(vertices[mine]).query(reflected[mine])
        other[mine] = mine[nearest]
    return other, distance


def face_vertices(template: Template) -> Bools:
    """(V,) the face: brows, eyes, nose, mouth, chin, cheeks, and what they enclose."""
    mesh = template.mesh
    regions = face_regions(template)
    face = np.any([regions[name] for name in _FACE], axis=0)
    front = template.landmark_points(mesh.vertices_mm)
    # Forehead and temples up to a brow's height above the brows; eyes and the mouth's inside by their parts.
    low, high = front[8, 1], front[17:27, 1].max() + 0.6 * (front[27, 1] - front[33, 1])
    sides = np.abs(mesh.vertices_mm[:, 0] - front[27, 0]) < 0.5 * (front[16, 0] - front[0, 0])
    before = mesh.vertices_mm[:, 2] > front[[0, 16], 2].mean()
    between = (mesh.vertices_mm[:, 1] > low) & (mesh.vertices_mm[:, 1] < high) & sides & before
    return np.asarray(face | between)


def uv_mask(mesh: Mesh, inside: Bools, size_px: int = MASK_PX) -> NDArray[np.uint8]:
    """(S, S, 3) white where `inside` (V,) is, and within its outline, black elsewhere; row 0 is v = 1, as in textures.

    Raises MeshError without UVs.
    """
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise MeshError("the mesh has no UVs: it can have no mask")
    corners = inside[mesh.triangles].all(axis=1)
    mask = np.zeros((size_px, size_px, 3), dtype=np.uint8)
    places = mesh.uvs * [size_px, -size_px] + [-0.5, size_px - 0.5]
    polygons = np.rint(places[mesh.uv_triangles[corners]] * 256).astype(np.int32)
    for polygon in polygons:
        cv2.fillConvexPoly(mask, polygon, (255, 255, 255), cv2.LINE_8, 8)
    # The slit of the mouth belongs to the face.
    outlines, _ = cv2.findContours(mask[..., 0].copy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, outlines, -1, (255, 255, 255), cv2.FILLED)
    return mask
