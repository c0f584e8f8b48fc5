"""Part labels of a head that comes without them: which vertices are skin, by what can be seen from outside."""

import numpy as np
from scipy.sparse.csgraph import connected_components

from common.array_types import Floats
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.vertex_rings import dilated
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Labels

DIRECTIONS = 96
LEAST_SEEN = 0.08  # of all directions, from which a vertex is in sight
EDGE_RINGS = 2  # behind what is seen, skin that an open mouth shows
_RAY_START_SHARE = 2e-4  # of the head's height, by which rays start before the surface
_GRAZING = 0.1


def label_parts(mesh: Mesh, landmarks_mm: Floats, parts: Labels | None = None) -> Labels:
    """(V,) SKIN, EYE or MOUTH_INTERIOR of a head and its loose pieces; landmarks_mm: (68, 3) on it.

    Loose pieces about an eye's landmarks are eyes, others (teeth) belong to the mouth. Of the main piece, what is in
    sight from nowhere around the head is no skin: the sockets behind the lids belong to the eyes, the mouth's bag and
    nostrils to the mouth.
    parts: (V,) what is known; what it has as EYE or MOUTH_INTERIOR stays so.
    """
    out = np.zeros(len(mesh.vertices_mm), dtype=np.int8) if parts is None else parts.copy()
    count, piece = connected_components(mesh.adjacency(), directed=False)
    main = np.bincount(piece[mesh.triangles[:, 0]], minlength=count).argmax()
    eyes = np.stack([landmarks_mm[36:42].mean(axis=0), landmarks_mm[42:48].mean(axis=0)])
    wide = float(np.linalg.norm(landmarks_mm[45] - landmarks_mm[42]))
    for one in np.unique(piece[(out == SKIN) & (piece != main)]):
        members = piece == one
        off = np.linalg.norm(eyes - mesh.vertices_mm[members].mean(axis=0), axis=1).min()
        out[members] = EYE if off < wide else MOUTH_INTERIOR
    seen = dilated(mesh.adjacency(), _visible_share(mesh) >= LEAST_SEEN, EDGE_RINGS)
    by_eye = np.linalg.norm(mesh.vertices_mm[:, None] - eyes, axis=2).min(axis=1) < wide
    return np.where((out == SKIN) & ~seen, np.where(by_eye, EYE, MOUTH_INTERIOR), out).astype(np.int8)


def _visible_share(mesh: Mesh) -> Floats:
    """(V,) the share of directions around the head from which each vertex is in sight."""
    k = np.arange(DIRECTIONS) + 0.5
    polar, around = np.arccos(1 - 2 * k / DIRECTIONS), np.pi * (1 + 5**0.5) * k
    directions = np.stack([np.cos(around) * np.sin(polar), np.cos(polar), np.sin(around) * np.sin(polar)], axis=1)
    surface, normals = Surface(mesh), mesh.vertex_normals
    start = mesh.vertices_mm + _RAY_START_SHARE * np.ptp(mesh.vertices_mm[:, 1]) * normals
    seen = np.zeros(len(mesh.vertices_mm))
    for direction in directions:
        front = np.flatnonzero(normals @ direction > _GRAZING)
        distance, _, _ = surface.cast(start[front], np.broadcast_to(direction, (len(front), 3)))
        seen[front] += np.isinf(distance)
    return seen / DIRECTIONS
