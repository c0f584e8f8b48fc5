"""Eyeballs: spheres through what a scan shows between the lids, and the surface between the lids laid on them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import graph_laplacian
from processing.geometry.vertex_rings import dilated
from processing.mesh_repair.fold_repair import solve_harmonic
from processing.registration.lid_margins import LID_MM, MOST_WALL_RINGS, LidFit, LidTarget

RADIUS_MM, RADIUS_SPREAD_MM = 12.0, 0.6  # of adults' eyes (Bekerman, Gottlieb and Vaiman 2014)
CENTRE_SPREAD_MM = 3.0  # of its centre, about a radius behind the lids' middle
SCAN_SPREAD_MM = 0.4  # wet and white: stereo sees an eye badly
WITHIN_MM = 0.8  # of the lids' edges, what lies there may be lashes or tears
MOST_POINTS = 400
RIM_STEPS = 64  # between two vertices of a rim
BESIDE = 0.02  # weight of an edge along a lid, of that of one across it
EDGE_SHARES = (0.2, 0.8)  # of the way from a rim to the skin around it, within which the lid's edge lies
CLEAR_MM = 0.3  # from a lid's edge, as seen along the way out, begins what a scan shows of its outer side
GROOVE_MM = 0.8  # over which the surface between the lids rises from their rim to the eyeball


@dataclass(frozen=True, eq=False)
class Eyeball:
    """A sphere."""

    centre_mm: Floats  # (3,)
    radius_mm: float


def fit_eyeball(target: LidTarget, scan: Mesh) -> Eyeball:
    """The sphere that the lids' edges and the scan between them lie on, near what eyes measure."""
    shown = scan.vertices_mm[target.between(scan.vertices_mm, -WITHIN_MM)]
    shown = shown[:: max(1, len(shown) // MOST_POINTS)]
    edges = target.edges_mm.reshape(-1, 3)
    return sphere_behind(np.r_[edges, shown], edges.mean(axis=0), target.outwards)


def sphere_behind(points: Floats, middle: Floats, outwards: Floats) -> Eyeball:
    """The sphere through points (N, 3) on an eye, seen along its `outwards`; middle: (3,) of its opening.

    Least squares with priors, robust against what was reconstructed wrongly (Gauss-Newton, Cauchy weights).
    """
    expected = np.r_[middle - RADIUS_MM * outwards, RADIUS_MM]
    prior = np.r_[np.full(3, CENTRE_SPREAD_MM**-2), RADIUS_SPREAD_MM**-2]
    state = expected
    share = 40.0 / len(points)  # neighbours are not independent
    for _ in range(15):
        off = points - state[:3]
        length = np.linalg.norm(off, axis=1).clip(1e-9)
        residual = length - state[3]
        weight = share / (1 + np.square(residual / SCAN_SPREAD_MM)) / SCAN_SPREAD_MM**2
        jacobian = np.c_[-off / length[:, None], -np.ones(len(points))]
        matrix = jacobian.T @ (weight[:, None] * jacobian) + np.diag(prior)
        right = -jacobian.T @ (weight * residual) + prior * (expected - state)
        state = state + np.linalg.solve(matrix, right)
    return Eyeball(state[:3], float(state[3]))


def settle_lids(vertices_mm: Floats, lids: LidFit, scan: Mesh) -> tuple[Floats, Bools]:
    """A fitted mesh with its lids' inner sides spanned to their rims, and eyeballs between the lids.

    vertices_mm: (V, 3).  Returns the vertices, and (V,) those placed here.
    """
    source = lids.rest
    ring = source.adjacency()
    settled = np.zeros(len(vertices_mm), dtype=np.bool_)
    for lid in lids.targets:
        walls = _walls(ring, vertices_mm, lid)
        vertices_mm = _ruled(source, vertices_mm, lid, walls)
        vertices_mm = lay_on_eyeball(source.with_vertices(vertices_mm), lid, fit_eyeball(lid, scan))
        settled |= walls
        settled[lid.vertices] = settled[lid.rim.inside] = True
    return vertices_mm, settled


def _walls(ring: sparse.csr_array, vertices_mm: Floats, lid: LidTarget) -> Bools:
    """(V,) the lids' inner sides: skin at their rim that faces the opening, and what a fit left before the eye."""
    walls, rim = np.zeros((2, len(vertices_mm)), dtype=np.bool_)
    walls[lid.rim.walls] = True
    rim[lid.vertices] = rim[lid.rim.inside] = True
    before = np.flatnonzero(dilated(ring, rim, MOST_WALL_RINGS))
    walls[before[lid.between(vertices_mm[before], CLEAR_MM)]] = True
    return walls & ~rim


def _ruled(source: Mesh, vertices_mm: Floats, lid: LidTarget, walls: Bools) -> Floats:
    """(V, 3) with the lids' inner sides on lines from the rim to the lid's edge, which is where its landmarks lie, and
    from there to the skin around.

    Any film between the two would draw together into the opening.
    """
    loop = np.r_[lid.rim.upper, lid.rim.lower[-2:0:-1]]
    steps = np.arange(0, len(loop), 1 / RIM_STEPS)
    rest = _at(source.vertices_mm[loop], steps)
    across = np.eye(3) - np.outer(lid.outwards, lid.outwards)
    foot = cKDTree(rest @ across).query(source.vertices_mm @ across)[1]  # where on the rim each vertex's line begins
    rim = np.zeros(len(vertices_mm), dtype=np.bool_)
    rim[loop] = rim[lid.rim.inside] = True
    i, j = source.edges[:, 0], source.edges[:, 1]
    length = np.linalg.norm(source.vertices_mm[i] - source.vertices_mm[j], axis=1).clip(0.05)
    beside = np.linalg.norm(rest[foot[i]] - rest[foot[j]], axis=1) / length
    along = np.maximum(1 - np.square(beside), BESIDE) / length
    outside = ~(rim[i] | rim[j])
    to_skin = graph_laplacian(source.edges[outside], len(rim), along[outside])
    share = solve_harmonic(graph_laplacian(source.edges, len(rim), along), np.where(rim, 0.0, 1.0)[:, None], walls)
    edge_share = float(np.clip(lid.rim.marks_of(share).max(), *EDGE_SHARES))
    share = share[walls]
    back = _at(vertices_mm[loop], steps[foot[walls]])
    edge, skin = back + LID_MM * lid.outwards, solve_harmonic(to_skin, vertices_mm, walls)[walls]
    out = vertices_mm.copy()
    out[walls] = back + np.minimum(share / edge_share, 1.0) * (edge - back)
    out[walls] += ((share - edge_share) / (1 - edge_share)).clip(0) * (skin - edge)
    return out


def _at(loop: Floats, places: Floats) -> Floats:
    """(N, 3) points of a closed line of points (K, 3), at places counted in points."""
    number = np.arange(len(loop))
    return np.stack([np.interp(places, number, loop[:, k], period=len(loop)) for k in range(3)], axis=1)


def lay_on_eyeball(mesh: Mesh, target: LidTarget, ball: Eyeball) -> Floats:
    """(V, 3) with the surface between the lids spread between their rim and laid on the eyeball, along the way out.

    It meets the rim where that is, and rises from there to the eyeball over GROOVE_MM. As seen along the way out it
    stays within the rim, so that it meets no lid.
    """
    inside = np.zeros(len(mesh.vertices_mm), dtype=np.bool_)
    inside[target.rim.inside] = True
    laplacian = graph_laplacian(mesh.edges, len(mesh.vertices_mm))
    rise = np.zeros((len(mesh.vertices_mm), 1))
    rise[target.vertices, 0] = _rise(mesh.vertices_mm[target.vertices], target.outwards, ball)
    spread = solve_harmonic(laplacian, np.c_[mesh.vertices_mm, rise], inside)[inside]
    flat = spread[:, :3]
    to_rim = cKDTree(mesh.vertices_mm[target.vertices]).query(flat)[0]
    height = _rise(flat, target.outwards, ball) - spread[:, 3] * np.exp(-to_rim / GROOVE_MM)
    vertices = mesh.vertices_mm.copy()
    vertices[inside] = flat + height[:, None] * target.outwards
    return vertices


def _rise(points: Floats, outwards: Floats, ball: Eyeball) -> Floats:
    """(N,) how far points lie behind the front of a sphere, along the way out; beside it, behind its widest circle."""
    off = points - ball.centre_mm
    along = off @ outwards
    return np.asarray(np.sqrt((along**2 - (off**2).sum(axis=1) + ball.radius_mm**2).clip(0)) - along)
