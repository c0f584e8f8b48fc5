"""A deformation graph over a mesh: few affine nodes that move many vertices (Sumner et al. 2007).

The nodes carry Amberg's energy (Amberg et al. 2007, equations 3 to 6) instead of every vertex carrying it: the systems
are twenty times smaller and equally affine-invariant. Nodes lie a fixed number of edges apart, so they are dense where
the mesh is dense: at lips and lids.
"""

from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from common.array_types import Floats, Ints32
from processing.geometry.mesh import Mesh

NODES_A_VERTEX = 6


class DeformationGraph:
    """Nodes, their influence on the vertices and their links.

    nodes: (K,) vertex numbers.  near: (V, 6) nodes of each vertex and share: (V, 6) their weights, rows summing to one.
    A deformation is (4 K, 3): for each node the transposed 3x4 affine map in the coordinates of the mesh.
    """

    def __init__(self, mesh: Mesh, hops: int = 3, seed: int = 0) -> None:
        adjacency = mesh.adjacency()
        self.nodes = _maximal_independent_set(adjacency, hops, seed)
        self.near, self.share = _influence(mesh, adjacency, self.nodes, steps=2 * hops)
        self.links = _links(self.near, self.share, len(self.nodes))
        self.rebase(mesh.vertices_mm)

    def rebase(self, vertices_mm: Floats) -> None:
        """Start from other positions of the same mesh (nodes, shares and links are of the topology alone)."""
        self.homogeneous = np.c_[vertices_mm, np.ones(len(vertices_mm))]
        self.basis = self._basis()
        self.stiffness = self._stiffness()

    @property
    def rest(self) -> Floats:
        """(4 K, 3) the deformation that leaves everything where it is."""
        return np.tile(np.eye(4)[:, :3], (len(self.nodes), 1))

    def _basis(self) -> sparse.csr_array:
        """(V, 4 K): basis @ deformation = deformed vertices."""
        count = len(self.near)
        columns = (4 * self.near[:, :, None] + np.arange(4)).reshape(-1)
        data = (self.share[:, :, None] * self.homogeneous[:, None]).reshape(-1)
        rows = np.arange(0, len(data) + 1, 4 * NODES_A_VERTEX)
        return sparse.csr_array((data, columns, rows), shape=(count, 4 * len(self.nodes)))

    def _stiffness(self) -> sparse.csr_array:
        """(4 K, 4 K) the sum over links of how differently its two nodes move the link's middle and turn space, mm^2.

        Amberg's |(X_i - X_j) G|^2 with the origin moved to each link, which makes it independent of the frame.
        """
        i, j = self.links[:, 0], self.links[:, 1]
        at = self.homogeneous[self.nodes]
        reach = np.linalg.norm(at[i] - at[j], axis=1)
        row = np.zeros((len(i), 4, 4))
        row[:, 0] = (at[i] + at[j]) / 2
        for k in range(3):
            row[:, 1 + k, k] = reach
        rows = np.repeat(np.arange(4 * len(i)), 4)
        at_i = (np.broadcast_to(4 * i[:, None, None] + np.arange(4), row.shape)).ravel()
        at_j = (np.broadcast_to(4 * j[:, None, None] + np.arange(4), row.shape)).ravel()
        where = (np.r_[rows, rows], np.r_[at_i, at_j])
        difference = sparse.csr_array(
            (np.r_[row.ravel(), -row.ravel()], where), shape=(4 * len(i), 4 * len(self.nodes))
        )
        return sparse.csr_array(difference.T @ difference)

    @cached_property
    def _pairs(self) -> tuple[sparse.csr_array, Ints32, Ints32]:
        """(pairs, V) products of shares, and the two nodes of each pair; fixed by the topology."""
        count, width = self.near.shape
        first = np.repeat(self.near, width, axis=1).astype(np.int64)
        second = np.tile(self.near, (1, width)).astype(np.int64)
        product = np.repeat(self.share, width, axis=1) * np.tile(self.share, (1, width))
        used = product > 0
        keys, pair = np.unique((first << 32 | second)[used], return_inverse=True)
        vertex = np.repeat(np.arange(count), width * width).reshape(count, -1)[used]
        products = sparse.csr_array((product[used], (pair, vertex)), shape=(len(keys), count))
        return products, (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)

    def weigh(self, weights: Floats) -> sparse.csr_array:
        """(4 K, 4 K) basis^T diag(weights) basis, by way of the pairs' products (much faster than multiplying it)."""
        products, first, second = self._pairs
        h = self.homogeneous
        outer = (h[:, :, None] * h[:, None, :]).reshape(len(h), 16) * weights[:, None]
        blocks = (products @ outer).reshape(-1, 4, 4)
        starts = np.searchsorted(first, np.arange(len(self.nodes) + 1))
        size = 4 * len(self.nodes)
        return sparse.csr_array(sparse.bsr_array((blocks, second, starts), shape=(size, size)))


def _maximal_independent_set(adjacency: sparse.csr_array, hops: int, seed: int) -> Ints32:
    """Vertices over `hops` edges apart with none farther than that: a maximal independent set (Luby 1986)."""
    count = adjacency.shape[0]
    reach = sparse.csr_array(adjacency + sparse.eye_array(count))
    ball = reach
    for _ in range(hops - 1):
        ball = sparse.csr_array(ball @ reach)
        ball.data[:] = 1
    rank = np.random.default_rng(seed).permutation(count).astype(np.float64) + 1
    open_ = np.ones(count, dtype=np.bool_)
    chosen = np.zeros(count, dtype=np.bool_)
    starts = ball.indptr[:-1]
    while open_.any():
        mine = np.where(open_, rank, 0.0)
        highest = np.maximum.reduceat(mine[ball.indices], starts)
        new = open_ & (mine == highest)
        chosen |= new
        open_ &= ~(ball @ new.astype(np.float64) > 0)
    return np.flatnonzero(chosen).astype(np.int32)


def _influence(mesh: Mesh, adjacency: sparse.csr_array, nodes: Ints32, steps: int) -> tuple[Ints32, Floats]:
    """Each vertex's nearest nodes along the surface and their shares: regions spread by a short random walk."""
    count = len(mesh.vertices_mm)
    e = mesh.edges
    length = np.linalg.norm(mesh.vertices_mm[e[:, 0]] - mesh.vertices_mm[e[:, 1]], axis=1).clip(1e-9)
    graph = sparse.csr_array((length, (e[:, 0], e[:, 1])), shape=(count, count))
    _, _, source = dijkstra(graph, directed=False, indices=nodes, min_only=True, return_predecessors=True)
    region = np.full(count, -1)
    region[nodes] = np.arange(len(nodes))
    reached = source >= 0
    column = region[np.where(reached, source, nodes[0])]
    share = sparse.csr_array((np.ones(count), (np.arange(count), column)), shape=(count, len(nodes)))
    degree = np.asarray(adjacency.sum(axis=1)).clip(1)
    walk = sparse.csr_array(sparse.diags_array(0.5 / degree) @ adjacency + 0.5 * sparse.eye_array(count))
    for _ in range(steps):
        share = sparse.csr_array(walk @ share)
    return _largest_entries(share, NODES_A_VERTEX)


def _largest_entries(share: sparse.csr_array, width: int) -> tuple[Ints32, Floats]:
    """The `width` largest entries of each row, sorted by column; what is left out is taken off, so shares fade."""
    count = share.shape[0]
    each = np.diff(share.indptr)
    dense = np.zeros((count, max(int(each.max()), width + 1)))
    column = np.zeros(dense.shape, dtype=np.int32)
    row = np.repeat(np.arange(count), each)
    place = np.arange(len(row)) - np.repeat(share.indptr[:-1], each)
    dense[row, place], column[row, place] = share.data, share.indices
    order = np.argsort(-dense, axis=1, kind="stable")[:, : width + 1]
    top = np.take_along_axis(dense, order, axis=1)
    value = np.maximum(top[:, :width] - top[:, width:], 0)
    value[:, 0] = np.maximum(value[:, 0], 1e-12)
    return np.take_along_axis(column, order[:, :width], axis=1), value / value.sum(axis=1, keepdims=True)


def _links(near: Ints32, share: Floats, nodes: int) -> Ints32:
    """Pairs of nodes that move a vertex together."""
    first = np.repeat(near, near.shape[1], axis=1)
    second = np.tile(near, (1, near.shape[1]))
    joint = np.minimum(np.repeat(share, near.shape[1], axis=1), np.tile(share, (1, near.shape[1])))
    used = (first < second) & (joint > 0.05)
    keys = np.unique(first[used].astype(np.int64) * nodes + second[used])
    return np.stack([keys // nodes, keys % nodes], axis=1).astype(np.int32)
