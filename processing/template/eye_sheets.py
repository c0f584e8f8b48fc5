"""The surface between a head's lids, where it is one with the skin: it follows the lids and stays behind them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from common.array_types import Floats, Ints32
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor, graph_laplacian
from processing.template.part_contacts import EYES, eye_surface, sphere_centre
from processing.template.template import Labels

GROOVE_MM = 1.0  # over which it rises from the lids' rim to where it is
SLOPE = 1.5  # by which it rises at most
_STEPS = np.linspace(0.0, 1.0, 4, endpoint=False)


@dataclass(frozen=True, eq=False)
class EyeSheet:
    """One eye's surface: a disk of vertices within a rim of the lids' own."""

    inside: Ints32  # (n,)
    rim: Ints32  # (m,)
    rim_edges: Ints32  # (m, 2) into `rim`
    spread: Floats  # (n, m) harmonic weights of the rim
    centre_mm: Floats  # (3,) of the eyeball from the middle of the rim, at rest

    def lay(self, vertices_mm: Floats) -> Floats:
        """(n, 3) the inside of a posed head (V, 3), no farther out than the rim allows: where the lids meet it is
        folded away between them."""
        rim = vertices_mm[self.rim]
        flat = self.spread @ rim
        out = flat - (rim.mean(axis=0) + self.centre_mm)
        out /= np.linalg.norm(out, axis=1, keepdims=True).clip(1e-9)
        bulge = vertices_mm[self.inside] - flat
        height = (bulge * out).sum(axis=1)
        to_rim = _smooth_distance(flat, rim[self.rim_edges])
        most = SLOPE * to_rim
        wanted = height * (1 - np.exp(-to_rim / GROOVE_MM))
        allowed = np.where(wanted > 0, wanted * most / (wanted.clip(0) ** 4 + most**4 + 1e-12) ** 0.25, wanted)
        aside = (bulge - height[:, None] * out) * (allowed / np.maximum(height, 1e-6)).clip(0, 1)[:, None]
        return np.asarray(flat + allowed[:, None] * out + aside)


def _smooth_distance(points: Floats, edges: Floats) -> Floats:
    """(N,) about how far points (N, 3) are from the edges (M, 2, 3) of a rim, mm; without a crease between its sides.

    From the sum of the third powers of one over the distance, along the rim: twice the inverse square for a line.
    """
    line = (edges[:, 0] + _STEPS[:, None, None] * (edges[:, 1] - edges[:, 0])).reshape(-1, 3)
    length = np.tile(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1) / len(_STEPS), len(_STEPS))
    square = (points**2).sum(1)[:, None] + (line**2).sum(1) - 2 * points @ line.T
    return np.asarray(1 / np.sqrt((square.clip(1e-4) ** -1.5 @ length) / 2))


def eye_sheets(mesh: Mesh, parts: Labels, landmarks_mm: Floats) -> tuple[EyeSheet, ...]:
    """The eyes' surfaces of a head at rest; none for eyes that are balls of their own.

    parts: (V,) as a template's; landmarks_mm: (68, 3) Multi-PIE, on it.
    """
    sheets = []
    for eye in EYES:
        members, loose = eye_surface(mesh, parts, landmarks_mm[list(eye)])
        if loose or not members.any():
            continue
        touched = members[mesh.triangles].any(axis=1)
        disk = np.zeros(len(members), np.bool_)
        disk[mesh.triangles[touched]] = True
        inside, rim = np.flatnonzero(members), np.flatnonzero(disk & ~members)
        if not len(rim):
            continue
        local = np.r_[inside, rim]
        place = np.full(len(members), -1, dtype=np.int32)
        place[local] = np.arange(len(local), dtype=np.int32)
        edges = place[mesh.edges]
        edges = edges[(edges >= 0).all(axis=1)]
        laplacian = graph_laplacian(edges, len(local))
        n = len(inside)
        held = laplacian[:n, n:].toarray()
        spread = Factor(sparse.csr_array(laplacian[:n, :n]) + 1e-9 * sparse.eye_array(n)).solve(-held)
        rim_edges = edges[(edges >= n).all(axis=1)] - n
        centre = sphere_centre(mesh.vertices_mm[inside]) - mesh.vertices_mm[rim].mean(axis=0)
        sheets.append(EyeSheet(inside.astype(np.int32), rim.astype(np.int32), rim_edges, spread, centre))
    return tuple(sheets)
