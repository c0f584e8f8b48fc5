"""Catmull-Clark subdivision as sparse matrices, and triangle meshes of any vertex count on its limit surface.

Because every new vertex is a fixed mixture of the control vertices, one matrix carries a whole family of shapes
(identities, expressions) into a finer topology, vertex by vertex in true correspondence.
Catmull and Clark 1978; limit positions after Halstead, Kass and DeRose 1993.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from common.array_types import Bools, Floats, Ints32
from processing.errors import MeshError, ShapeError


def _rows(counts: tuple[int, int], row: Ints32, column: Ints32, value: Floats) -> sparse.csr_array:
    return sparse.csr_array((value, (row, column)), shape=counts)


@dataclass(frozen=True, eq=False)
class QuadEdges:
    """The edges of a quad mesh, each once."""

    #: (E, 2) vertices, lower first.
    edges: Ints32
    #: (Q, 4) edge k of a quad joins its corners k and k + 1.
    of_quad: Ints32
    #: (E,) how many quads have it, 1 or 2.
    faces: Ints32


def quad_edges(quads: Ints32) -> QuadEdges:
    """Each edge of a quad mesh once. Raises MeshError where more than two quads meet at an edge."""
    if quads.ndim != 2 or quads.shape[1] != 4:
        raise ShapeError("quads", quads.shape, "(Q, 4)")
    ahead = np.roll(quads, -1, axis=1)
    vertices = int(quads.max(initial=0)) + 1
    keys = np.minimum(quads, ahead).astype(np.int64) * vertices + np.maximum(quads, ahead)
    unique, inverse, count = np.unique(keys.ravel(), return_inverse=True, return_counts=True)
    edges = np.stack(np.divmod(unique, vertices), axis=1)
    if len(count) and count.max() > 2:
        raise MeshError(f"{int((count > 2).sum())} edges have more than two quads")
    return QuadEdges(edges.astype(np.int32), inverse.reshape(-1, 4).astype(np.int32), count.astype(np.int32))


def refine(quads: Ints32, vertices: int) -> tuple[sparse.csr_array, Ints32]:
    """One Catmull-Clark step: the matrix (V + E + Q, V) and four quads for each.

    New vertices: the old ones moved, then one an edge, then one a quad. Quad k's children keep its corners' order.
    """
    e = quad_edges(quads)
    E, Q, V = len(e.edges), len(quads), vertices
    face = _rows((Q, V), np.repeat(np.arange(Q), 4), quads.ravel(), np.full(4 * Q, 0.25))
    middle = _rows((E, V), np.repeat(np.arange(E), 2), e.edges.ravel(), np.full(2 * E, 0.5))
    face_of_edge = _rows((E, Q), e.of_quad.ravel(), np.repeat(np.arange(Q), 4), np.ones(4 * Q))
    inner = e.faces == 2
    diagonal = sparse.diags_array
    edge_points = diagonal(np.where(inner, 0.5, 1.0)) @ middle + diagonal(np.where(inner, 0.25, 0.0)) @ (
        face_of_edge @ face
    )
    # A vertex inside: (F + 2 M + (n - 3) P) / n; on the boundary: (A + 6 P + B) / 8; where only one quad is: fixed.
    edge_at = _rows((V, E), e.edges.ravel(), np.repeat(np.arange(E), 2), np.ones(2 * E))
    quad_at = _rows((V, Q), quads.ravel(), np.repeat(np.arange(Q), 4), np.ones(4 * Q))
    n = np.bincount(quads.ravel(), minlength=V).clip(1).astype(np.float64)
    rim_edges = np.flatnonzero(~inner)
    rim = np.zeros(V, dtype=bool)
    rim[e.edges[rim_edges].ravel()] = True
    a, b = e.edges[rim_edges].T
    along = _rows((V, V), np.r_[a, b], np.r_[b, a], np.ones(2 * len(a)))
    inside = diagonal((~rim) / n**2) @ (quad_at @ face + 2 * (edge_at @ middle)) + diagonal((~rim) * (n - 3) / n)
    border = diagonal(rim / 8.0) @ along + diagonal(rim * 0.75)
    matrix = sparse.csr_array(sparse.vstack([inside + border, edge_points, face]))
    edge, centre = V + e.of_quad, V + E + np.arange(Q)
    children = [np.stack([quads[:, k], edge[:, k], centre, edge[:, k - 1]], axis=1) for k in range(4)]
    return matrix, np.stack(children, axis=1).reshape(-1, 4).astype(np.int32)


def limit(quads: Ints32, vertices: int) -> sparse.csr_array:
    """(V, V) matrix from the vertices of a mesh refined at least once to their places on the limit surface."""
    e = quad_edges(quads)
    V, Q = vertices, len(quads)
    n = np.bincount(quads.ravel(), minlength=V).clip(1).astype(np.float64)
    a, b = e.edges.T
    beside = _rows((V, V), np.r_[a, b], np.r_[b, a], np.ones(2 * len(a)))
    across = _rows((V, V), quads.ravel(), np.roll(quads, -2, axis=1).ravel(), np.ones(4 * Q))
    rim = np.zeros(V, dtype=bool)
    on_rim = e.edges[e.faces == 1]
    rim[on_rim.ravel()] = True
    a, b = on_rim.T
    along = _rows((V, V), np.r_[a, b], np.r_[b, a], np.ones(2 * len(a)))
    share = (~rim) / (n * (n + 5))
    inside = sparse.diags_array(share) @ (4 * beside + across) + sparse.diags_array(share * n**2)
    border = sparse.diags_array(rim / 6.0) @ along + sparse.diags_array(rim * (4 / 6))
    return sparse.csr_array(inside + border)


@dataclass(frozen=True, eq=False)
class Refinement:
    """A triangle mesh on a quad mesh's limit surface."""

    #: Matrices that are applied one after the other, the first to the V control vertices; the last has N rows.
    steps: tuple[sparse.csr_array, ...]
    #: (T, 3)
    triangles: Ints32
    #: (T,) the control quad under each.
    triangle_quads: Ints32

    def __call__(self, control: Floats) -> Floats:
        """(V, k) values at the control vertices, such as positions -> (N, k)."""
        for step in self.steps:
            control = step @ control
        return np.asarray(control)


def refine_to(quads: Ints32, control_mm: Floats, levels: int, vertices: int, quad_weights: Floats) -> Refinement:
    """Subdivide `levels` times, then split the longest edges once until there are `vertices` vertices.

    quads: (Q, 4) over control_mm (V, 3).  quad_weights: (Q,) multiply the edges' lengths in the choice, so that a
    higher weight gives a denser mesh. Fewer vertices than the levels alone give are not taken away; more than one
    further level holds cannot be had: the result then is that level.
    """
    now, places = quads, control_mm
    steps: list[sparse.csr_array] = []
    for _ in range(levels):
        step, now = refine(now, len(places))
        steps.append(step)
        places = step @ places
    count, edges = len(places), quad_edges(now)
    step, finer = refine(now, count)
    steps.append(step)
    to_limit = limit(finer, step.shape[0])
    places = to_limit @ (step @ places)
    owner = np.repeat(np.arange(len(quads), dtype=np.int32), 4**levels)
    # Triangulate: the shorter diagonal; the point that splits an edge is the next level's edge point, a diagonal's
    # is the quad's middle.
    a, b, c, d = (places[now[:, k]] for k in range(4))
    other = np.linalg.norm(b - d, axis=1) < np.linalg.norm(a - c, axis=1) - 1e-6
    turned = np.where(other[:, None], np.roll(now, -1, axis=1), now)
    turned_edges = count + np.where(other[:, None], np.roll(edges.of_quad, -1, axis=1), edges.of_quad)
    middle = count + len(edges.edges) + np.arange(len(now))
    triangles = np.concatenate([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]])
    split = np.concatenate(
        [np.c_[turned_edges[:, 0], turned_edges[:, 1], middle], np.c_[middle, turned_edges[:, 2], turned_edges[:, 3]]]
    )
    owner = np.r_[owner, owner]
    chosen = _longest(places, triangles, split, quad_weights[owner], len(places), vertices - count)
    triangles, owner = _split_triangles(triangles, split, chosen[split], owner)
    used = np.zeros(len(places), dtype=bool)
    used[triangles.ravel()] = True
    packed = (np.cumsum(used) - 1).astype(np.int32)[triangles]
    return Refinement((*steps, sparse.csr_array(to_limit[np.flatnonzero(used)])), packed, owner.astype(np.int32))


def _longest(places: Floats, triangles: Ints32, split: Ints32, weights: Floats, total: int, wanted: int) -> Bools:
    """(total,) marks the split points of the `wanted` longest edges, mirror images of an edge alike."""
    chosen = np.zeros(total, dtype=bool)
    if wanted <= 0:
        return chosen
    length = np.zeros(total)
    for k in range(3):
        edge = np.linalg.norm(places[triangles[:, k]] - places[triangles[:, (k + 1) % 3]], axis=1) * weights
        np.maximum.at(length, split[:, k], np.round(edge, 4))
    order = np.argsort(-length, kind="stable")
    chosen[order[: min(wanted, int((length > 0).sum()))]] = True
    return chosen


def _split_triangles(triangles: Ints32, split: Ints32, marked: Bools, owner: Ints32) -> tuple[Ints32, Ints32]:
    """Replace each triangle by 1, 2, 3 or 4 according to which of its edges (0-1, 1-2, 2-0) are marked."""
    count = marked.sum(1)
    # Turn each triangle so that its pattern starts at edge 0: one marked -> edge 0; two -> edges 0 and 1.
    first = np.where(count == 2, (np.argmin(marked, axis=1) + 1) % 3, np.argmax(marked, axis=1))
    turn = (first[:, None] + np.arange(3)) % 3
    t, m = np.take_along_axis(triangles, turn, 1), np.take_along_axis(split, turn, 1)
    none, one, two, three = (count == k for k in range(4))
    a, b, c, ab, bc, ca = t[:, 0], t[:, 1], t[:, 2], m[:, 0], m[:, 1], m[:, 2]
    pieces = [
        (none, (a, b, c)),
        (one, (a, ab, c)), (one, (ab, b, c)),
        (two, (ab, b, bc)), (two, (a, ab, bc)), (two, (a, bc, c)),
        (three, (a, ab, ca)), (three, (ab, b, bc)), (three, (ca, bc, c)), (three, (ab, bc, ca)),
    ]  # fmt: skip
    new = np.concatenate([np.stack([corner[where] for corner in corners], 1) for where, corners in pieces])
    return new, np.concatenate([owner[where] for where, _ in pieces])
