"""What a head may be that nobody foresaw: a smooth, small correction of every vertex, told by a photograph's landmarks.

Equation 2 of the avatar paper holds the correction d by |L d|^2 and lambda |d|^2. With the Laplacian of finite elements
that is the precision of a Whittle-Matern field (Lindgren, Rue and Lindstrom 2011), whose size and reach are
millimetres on any mesh. Of all corrections the ones of least energy that move the landmarks at will are spanned by the
precision's inverse at these landmarks (the representer theorem): one sparse factor, as many right-hand sides, and the
full field is found exactly with some hundred unknowns.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from common.array_types import Floats, Floats32, Ints32
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor

_TIE = 50.0  # stiffness between vertices that are tied; of a mesh's edges it is about 1


@dataclass(frozen=True)
class CorrectionLimits:
    """How far a head may leave what it was taken for."""

    size_mm: float = 1.8  # standard deviation a coordinate
    reach_mm: float = 45.0  # by which neighbours go together
    modes: int = 40


def correction_modes(
    mesh: Mesh,
    triangles: Ints32,
    barycentric: Floats,
    limits: CorrectionLimits | None = None,
    tied: Ints32 | None = None,
) -> Floats32:
    """(L, K) smooth fields over a mesh's vertices whose scores are standard normal, along each axis alike.

    triangles: (N,), barycentric: (N, 3) the places that are looked at.  tied: (P, 2) vertices that go together though
    they are far from each other along the surface.
    """
    limits = limits or CorrectionLimits()
    count = len(mesh.vertices_mm)
    kappa = np.sqrt(8.0) / limits.reach_mm  # of smoothness 1 in the plane
    mass = mesh.vertex_areas.clip(1e-3)
    stiff = cotangents(mesh)
    if tied is not None and len(tied):
        a, b = tied.T
        weight = np.full(len(tied), _TIE)
        rows, columns = np.r_[a, b, a, b], np.r_[a, b, b, a]
        stiff = stiff + sparse.csr_array((np.r_[weight, weight, -weight, -weight], (rows, columns)), shape=stiff.shape)
    inner = (kappa**2 * sparse.diags_array(mass) + stiff).tocsr()
    precision = inner @ sparse.diags_array(1 / mass) @ inner * (1 / (4 * np.pi * kappa**2 * limits.size_mm**2))
    rows = np.repeat(np.arange(len(triangles)), 3)
    shape = (len(triangles), count)
    at = sparse.csr_array((barycentric.ravel(), (rows, mesh.triangles[triangles].ravel())), shape=shape)
    spread = Factor(sparse.csc_array((precision + precision.T) / 2)).solve(at.T.toarray())
    values, vectors = np.linalg.eigh(at @ spread)
    strongest = np.argsort(values)[::-1][: limits.modes]
    strongest = strongest[values[strongest] > 1e-6 * values.max()]
    return np.asarray(spread @ (vectors[:, strongest] / np.sqrt(values[strongest])), dtype=np.float32)


def cotangents(mesh: Mesh) -> sparse.csr_array:
    """(V, V) the positive semi-definite cotangent Laplacian; flat triangles hold nothing."""
    count = len(mesh.vertices_mm)
    corners = mesh.vertices_mm[mesh.triangles]
    total = sparse.csr_array((count, count))
    area = np.linalg.norm(mesh.triangle_cross, axis=1).clip(1e-6)
    for k in range(3):
        i, j = mesh.triangles[:, (k + 1) % 3], mesh.triangles[:, (k + 2) % 3]
        a, b = corners[:, (k + 1) % 3] - corners[:, k], corners[:, (k + 2) % 3] - corners[:, k]
        weight = ((a * b).sum(axis=1) / area / 2).clip(1e-3, 1e3)
        total = total + sparse.csr_array(
            (np.r_[weight, weight, -weight, -weight], (np.r_[i, j, i, j], np.r_[i, j, j, i])), shape=(count, count)
        )
    return total
