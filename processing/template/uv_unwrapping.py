"""UV unwrapping of a whole head: one chart, cut at the nape, laid on the unit square without overlap.

A convex boundary and positive weights make Tutte's embedding free of overlaps (Tutte 1963; Floater 1997). The weights
start as mean-value coordinates (Floater 2003) and are then corrected so that the stretch follows a wanted density
(Yoshizawa, Belyaev and Seidel 2004).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu

from common.array_types import Bools, Floats, Ints32
from processing.errors import MeshError
from processing.geometry.mesh import Mesh

MARGIN = 1 / 512


@dataclass(frozen=True, eq=False)
class Unwrapped:
    """A mesh's chart on the unit square."""

    uvs: Floats  # (U, 2)
    triangles: Ints32  # (T, 3) into uvs
    vertices: Ints32  # (U,) the mesh vertex of each uv


def unwrap_head(mesh: Mesh, density: Floats, iterations: int = 12) -> Unwrapped:
    """Lay a head, open at the neck only, on the unit square: throat at the bottom, seam from the nape to the crown.

    density: (V,) wanted texels per square millimetre, relative. Raises MeshError where the mesh is not such a head.
    """
    seam = _nape_seam(mesh)
    triangles, vertices = _cut_along_seam(mesh, seam)
    loop = _boundary_loop(triangles)
    where = _on_square(mesh.vertices_mm[vertices], loop, vertices, int(seam[-1]), set(seam.tolist()))
    points, wanted = mesh.vertices_mm[vertices], density[vertices]
    fixed = np.zeros(len(vertices), dtype=bool)
    fixed[loop] = True
    uvs = np.zeros((len(vertices), 2))
    uvs[loop] = where
    weights = _mean_value_weights(points, triangles)
    best, lowest = uvs, np.inf
    for _ in range(iterations):
        uvs = _tutte_embedding(weights, fixed, uvs)
        stretch, energy = _vertex_stretch(points, uvs, triangles, wanted)
        if energy < lowest * 0.999:
            best, lowest = uvs, energy
        elif energy > lowest * 1.2:
            break
        weights = sparse.csr_array(weights @ sparse.diags_array(1 / stretch**0.5))
    a, b, c = (best[triangles[:, k]] for k in range(3))
    if (_cross(b - a, c - a) <= 0).any():
        raise MeshError("the unwrapped head overlaps itself; is the mesh closed but for the neck?")
    return Unwrapped(MARGIN + best * (1 - 2 * MARGIN), triangles, vertices)


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _nape_seam(mesh: Mesh) -> Ints32:
    """Vertices from the neck's rim at the back up to the crown, the shortest way along edges near x = 0."""
    v = mesh.vertices_mm
    rim = np.flatnonzero(mesh.boundary_vertices)
    if not len(rim):
        raise MeshError("the head has no open neck to cut from")
    start = rim[np.argmin(v[rim, 2] + 5 * np.abs(v[rim, 0]))]
    crown = int(np.argmin(np.abs(v[:, 0]) * 50 + np.abs(v[:, 2] - v[:, 2].min() * 0.35) - v[:, 1]))
    e = mesh.edges
    length = np.linalg.norm(v[e[:, 0]] - v[e[:, 1]], axis=1)
    # Skull vertices far from the middle, and the rim itself, are expensive.
    away = np.abs(v[e, 0]).max(1) + np.where(mesh.boundary_vertices[e].all(1), 1000.0, 0.0)
    graph = sparse.csr_array((length * (1 + 20 * away), (e[:, 0], e[:, 1])), shape=(len(v), len(v)))
    _, before = dijkstra(graph, directed=False, indices=int(start), return_predecessors=True)
    path = [crown]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
        if path[-1] < 0:
            raise MeshError("no way along the edges from the neck to the crown")
    return np.array(path[::-1], dtype=np.int32)


def _cut_along_seam(mesh: Mesh, seam: Ints32) -> tuple[Ints32, Ints32]:
    """Double the seam's vertices (not the crown's): the triangles on the seam's right use the copies.

    Returns triangles (T, 3) and the mesh vertex of each of the (U,) cut vertices.
    """
    count = len(mesh.vertices_mm)
    rows = mesh.triangles.tolist()
    # Which triangle has the edge a -> b in its walk around.
    half = {(t[c], t[(c + 1) % 3]): k for k, t in enumerate(rows) for c in range(3)}
    on_seam = {int(x): i for i, x in enumerate(seam)}
    triangles = mesh.triangles.copy()
    vertices = np.r_[np.arange(count), seam[:-1]].astype(np.int32)
    for i, x in enumerate(seam[:-1].tolist()):
        # The fan to the right of the walk: from the triangle right of edge x -> next, turn until the seam or the rim.
        at = half.get((int(seam[i + 1]), x))
        fan: list[int] = []
        while at is not None and at not in fan:
            fan.append(at)
            beyond = rows[at][(rows[at].index(x) + 1) % 3]
            if beyond in on_seam and abs(on_seam[beyond] - i) == 1:
                break
            at = half.get((beyond, x))
        corner = triangles[fan]
        triangles[fan] = np.where(corner == x, count + i, corner)
    return triangles, vertices


def _boundary_loop(triangles: Ints32) -> Ints32:
    """The one boundary, walked with the surface to its left."""
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in directed}
    following = {a: b for a, b in known if (b, a) not in known}
    start = next(iter(following))
    loop = [start]
    while (step := following.pop(loop[-1], None)) is not None and step != start:
        loop.append(step)
    if following:
        raise MeshError(f"the cut head has more than one boundary ({len(following)} edges are left over)")
    return np.array(loop, dtype=np.int32)


def _on_square(points: Floats, loop: Ints32, vertices: Ints32, crown: int, seam: set[int]) -> Floats:
    """(n, 2) a place on the square's sides for each vertex of the loop: the crown at the top's middle."""
    turn = int(np.flatnonzero(vertices[loop] == crown)[0])
    order = np.roll(np.arange(len(loop)), -turn)
    ring = points[loop[order]]
    step = np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=1)
    is_seam = np.array([int(x) in seam for x in vertices[loop[order]]])
    between = is_seam & np.roll(is_seam, -1)
    gap = int(np.flatnonzero(~between)[0]), int(np.flatnonzero(~between)[-1]) + 1
    # The loop runs crown -> nape (one side), round the neck, nape -> crown. Counter-clockwise from the top's middle.
    shares = [(slice(0, gap[0]), 1.25), (slice(gap[0], gap[1]), 1.5), (slice(gap[1], len(loop)), 1.25)]
    s = np.zeros(len(loop) + 1)
    done = 0.0
    for piece, share in shares:
        along = np.cumsum(step[piece])
        s[piece.start + 1 : piece.stop + 1] = done + share * along / along[-1]
        done += share
    place = _walk_square(s[:-1])
    out = np.zeros_like(place)
    out[order] = place
    return out


def _walk_square(s: Floats) -> Floats:
    """Counter-clockwise along the unit square's sides, 0 at the top's middle, 4 all around."""
    corners = np.array([[0.5, 1], [0, 1], [0, 0], [1, 0], [1, 1], [0.5, 1]], dtype=np.float64)
    at = np.array([0, 0.5, 1.5, 2.5, 3.5, 4.0])
    return np.stack([np.interp(s, at, corners[:, 0]), np.interp(s, at, corners[:, 1])], axis=1)


def _mean_value_weights(points: Floats, triangles: Ints32) -> sparse.csr_array:
    """(U, U) positive: (tan(alpha / 2) + tan(beta / 2)) / length at each edge."""
    rows, columns, values = [], [], []
    for k in range(3):
        i, j, l = triangles[:, k], triangles[:, (k + 1) % 3], triangles[:, (k + 2) % 3]  # noqa: E741
        a, b = points[j] - points[i], points[l] - points[i]
        la, lb = np.linalg.norm(a, axis=1).clip(1e-9), np.linalg.norm(b, axis=1).clip(1e-9)
        cosine = np.clip((a * b).sum(1) / (la * lb), -0.9999, 0.9999)
        half = np.sqrt((1 - cosine) / (1 + cosine))
        rows += [i, i]
        columns += [j, l]
        values += [half / la, half / lb]
    shape = (len(points), len(points))
    return sparse.csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def _tutte_embedding(weights: sparse.csr_array, fixed: Bools, uvs: Floats) -> Floats:
    """Every free vertex at the weighted middle of its neighbours."""
    share = sparse.csr_array(sparse.diags_array(1 / np.asarray(weights.sum(axis=1)).ravel()) @ weights)
    free = ~fixed
    system = sparse.csc_array(sparse.eye_array(int(free.sum())) - share[free][:, free])
    out = uvs.copy()
    out[free] = splu(system).solve(np.asarray(share[free][:, fixed] @ uvs[fixed]))
    return out


def _vertex_stretch(points: Floats, uvs: Floats, triangles: Ints32, wanted: Floats) -> tuple[Floats, float]:
    """(U,) how much too few texels each vertex has (mean 1), and the whole chart's L2 stretch.

    Sander et al. 2001's stretch, divided by the one that the wanted density gives.
    """
    p = points[triangles]
    (u0, u1, u2) = (uvs[triangles[:, k]] for k in range(3))
    area_uv = (0.5 * _cross(u1 - u0, u2 - u0)).clip(1e-14)[:, None]
    ds = (p[:, 0] * (u1 - u2)[:, 1:] + p[:, 1] * (u2 - u0)[:, 1:] + p[:, 2] * (u0 - u1)[:, 1:]) / (2 * area_uv)
    dt = (p[:, 0] * (u2 - u1)[:, :1] + p[:, 1] * (u0 - u2)[:, :1] + p[:, 2] * (u1 - u0)[:, :1]) / (2 * area_uv)
    area = 0.5 * np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1)
    density = wanted[triangles].mean(1)
    square = 0.5 * ((ds**2).sum(1) + (dt**2).sum(1)) * density
    total = np.bincount(triangles.ravel(), np.repeat(area * density * square, 3), len(points))
    mass = np.bincount(triangles.ravel(), np.repeat(area * density, 3), len(points))
    sigma = np.sqrt(total / mass.clip(1e-12)).clip(1e-9)
    energy = float((area * density * square).sum() / (area * density).sum())
    return sigma / np.exp(np.log(sigma).mean()), energy
