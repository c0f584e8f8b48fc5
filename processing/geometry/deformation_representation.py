"""Deformation representation (DR): a mesh as what each vertex's surroundings do to a reference, to blend meshes by.

Gao et al. 2016 (RIMD) and its successor DR, as in the avatar paper's supplement, equations 5 to 8: the affine map of a
vertex's one-ring, fitted with cotangent weights, is R S; its feature is log R (a rotation vector) and S - I, which may
be added up where positions and rotation matrices may not. A rotation has many logarithms. Neighbours' are taken from
one sheet (as in Gao et al. 2019, ACAP, whose integer programme this replaces by propagation along the tree of least
differences), so that no angle near 180 degrees or beyond flips between two of them.

Equation 8 alone gives a mesh back nearly, since a one-ring is no affine image of another. Three numbers a vertex more,
what the equation leaves over in the vertex's own axes, make it exact for whatever weights, and blend like the rest.
"""

from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from common.array_types import Bools, Floats, Ints32, Ints64
from processing.errors import ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor, graph_laplacian

#: Of a vertex: rotation vector (3, radians), S - I (xx, yy, zz, xy, xz, yz), remainder of equation 8 (3, mm).
FEATURE_SIZE = 12
ROTATION, STRETCH, REMAINDER = slice(0, 3), slice(3, 9), slice(9, 12)
_LEAST_WEIGHT, _MOST_WEIGHT = 0.02, 50.0  # of an edge; cotangents of obtuse and flat triangles go beyond both
_NORMAL_WEIGHT = 0.1  # of what a one-ring's edges weigh: flat rings do not fix what happens across them
_SOUND = 1e-6  # least over largest eigenvalue of a one-ring that fixes an affine map
_LINKS = 6  # by which a loose part hangs on the largest
_SAFE_RAD = 0.75 * np.pi  # logarithms below this are continuous as they come
_NO_TURN_RAD = 1e-7
_UPPER = ([0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2])


class DeformationRepresentation:
    """Features of meshes of one topology against a reference; what depends on the reference is made once."""

    def __init__(self, reference: Mesh) -> None:
        """reference: V vertices, mm. Loose parts and lone vertices hang on the largest part by their nearest places."""
        self.reference = reference
        count = len(reference.vertices_mm)
        edges, weight = cotangent_weights(reference)
        links = part_links(reference)
        self._ring_edges, self._ring_weight = edges, weight
        self._edges = np.concatenate([edges, links])
        self._weight = np.r_[weight, np.ones(len(links))]
        rows = np.arange(len(self._edges))
        ones = np.ones(len(self._edges))
        self._ahead = sparse.csr_array((ones, (rows, self._edges[:, 0])), shape=(len(rows), count))
        self._behind = sparse.csr_array((ones, (rows, self._edges[:, 1])), shape=(len(rows), count))
        self._arms = reference.vertices_mm[self._edges[:, 0]] - reference.vertices_mm[self._edges[:, 1]]
        self._laplacian = graph_laplacian(self._edges, count, self._weight)
        self._rings = self._ring_sums(self._arms[: len(edges)], self._arms[: len(edges)], reference, reference)
        eigenvalues = np.linalg.eigvalsh(self._rings)
        self._sound: Bools = np.asarray(eigenvalues[:, 0] > _SOUND * eigenvalues[:, 2].clip(1e-300))
        self._inverse = np.linalg.inv(np.where(self._sound[:, None, None], self._rings, np.eye(3)))

    @cached_property
    def _factor(self) -> Factor:
        held = np.zeros(self._laplacian.shape[0])
        held[0] = 1.0
        return Factor(self._laplacian + sparse.diags_array(held))

    @cached_property
    def _donors(self) -> Ints64:
        """(V,) whose affine map a vertex has: its own, or that of the nearest whose one-ring fixes one."""
        own = np.arange(len(self._sound))
        sound, unsound = np.flatnonzero(self._sound), np.flatnonzero(~self._sound)
        if len(sound) and len(unsound):
            places = self.reference.vertices_mm
            own[unsound] = sound[cKDTree(places[sound]).query(places[unsound])[1]]
        return own

    def encode(self, vertices_mm: Floats) -> Floats:
        """(V, 3) of this topology -> (V, FEATURE_SIZE). Equations 5 and 6, and what equation 8 leaves over."""
        if vertices_mm.shape != self.reference.vertices_mm.shape:
            raise ShapeError("vertices_mm", vertices_mm.shape, str(self.reference.vertices_mm.shape))
        maps = self.affine_maps(vertices_mm)
        turn, stretch = polar_decomposition(maps)
        out = np.empty((len(maps), FEATURE_SIZE))
        out[:, ROTATION] = self._logarithms(turn)
        out[:, STRETCH] = (stretch - np.eye(3))[:, _UPPER[0], _UPPER[1]]
        left = self._laplacian @ vertices_mm - self._divergence(turn @ stretch)
        out[:, REMAINDER] = np.einsum("vji,vj->vi", turn, left)
        return out

    def recover(self, features: Floats, held_mm: Floats | None = None) -> Floats:
        """(V, FEATURE_SIZE) -> (V, 3) mm. Equation 8, with the first vertex at held_mm (3,), or where the reference
        has it. Any blend of features is one.
        """
        wanted = (len(self._sound), FEATURE_SIZE)
        if features.shape != wanted:
            raise ShapeError("features", features.shape, str(wanted))
        turn = Rotation.from_rotvec(features[:, ROTATION]).as_matrix()
        stretch = np.empty((len(features), 3, 3))
        stretch[:, _UPPER[0], _UPPER[1]] = stretch[:, _UPPER[1], _UPPER[0]] = features[:, STRETCH]
        right = self._divergence(turn @ (stretch + np.eye(3))) + np.einsum("vij,vj->vi", turn, features[:, REMAINDER])
        # Remainders of a blend need not add up to nothing, as forces between vertices do; all share what is over.
        right -= right.mean(axis=0)
        found = self._factor.solve(right)
        place = self.reference.vertices_mm[0] if held_mm is None else np.asarray(held_mm)
        return np.asarray(found - found[0] + place)

    def affine_maps(self, vertices_mm: Floats) -> Floats:
        """(V, 3, 3) T of equation 5."""
        here = self._ring_edges
        arms = vertices_mm[here[:, 0]] - vertices_mm[here[:, 1]]
        sums = self._ring_sums(arms, self._arms[: len(here)], self.reference.with_vertices(vertices_mm), self.reference)
        maps = np.where(self._sound[:, None, None], sums @ self._inverse, np.eye(3))
        return np.asarray(maps[self._donors])

    def _ring_sums(self, left: Floats, right: Floats, left_mesh: Mesh, right_mesh: Mesh) -> Floats:
        """(V, 3, 3) sums of c left right^T over the edges of each vertex, and over its normal."""
        outer = (self._ring_weight[:, None, None] * left[:, :, None] * right[:, None, :]).reshape(-1, 9)
        incident = (self._ahead + self._behind)[: len(left)]
        sums = (incident.T @ outer).reshape(-1, 3, 3)
        weight = _NORMAL_WEIGHT * (incident.T @ self._ring_weight)
        across = (_sized_normals(mesh) for mesh in (left_mesh, right_mesh))
        return np.asarray(sums + weight[:, None, None] * np.einsum("vi,vj->vij", *across))

    def _divergence(self, maps: Floats) -> Floats:
        """(V, 3) the right side of equation 8, halved: sum of c (T_i + T_j) / 2 (p_i - p_j) of the reference."""
        mean = (maps[self._edges[:, 0]] + maps[self._edges[:, 1]]) / 2
        pull = self._weight[:, None] * np.einsum("eij,ej->ei", mean, self._arms)
        return np.asarray(self._ahead.T @ pull - self._behind.T @ pull)

    def _logarithms(self, turn: Floats) -> Floats:
        """(V, 3) rotation vectors of (V, 3, 3), neighbours' on one sheet; the least turned vertex has its principal."""
        principal = Rotation.from_matrix(turn).as_rotvec()
        if np.linalg.norm(principal, axis=1).max(initial=0.0) < _SAFE_RAD:
            return np.asarray(principal)
        return consistent_logarithms(principal, self._edges)


def consistent_logarithms(principal: Floats, edges: Ints32) -> Floats:
    """Rotation vectors (V, 3), each with as many whole turns as bring it nearest to its neighbour's.

    principal: (V, 3) radians, at most pi long.  edges: (E, 2), of a graph that holds together.  Sheets go from the
    least turned vertex along the tree whose edges differ least in rotation. About one axis any number of turns is
    followed; near a multiple of 360 degrees a logarithm has no continuation if the axis turns there too.
    """
    rotations = Rotation.from_rotvec(principal)
    differ = (rotations[edges[:, 0]].inv() * rotations[edges[:, 1]]).magnitude() + 1e-6
    graph = sparse.csr_array((differ, (edges[:, 0], edges[:, 1])), shape=(len(principal),) * 2)
    angle = np.linalg.norm(principal, axis=1)
    root = int(angle.argmin())
    order, before = breadth_first_order(minimum_spanning_tree(graph), root, directed=False)
    out = principal.copy()
    depth = np.zeros(len(principal), np.int64)
    for vertex in order[1:]:
        depth[vertex] = depth[before[vertex]] + 1
    sorted_depth = depth[order]
    begins = np.flatnonzero(np.r_[True, sorted_depth[1:] != sorted_depth[:-1]])
    for level in np.split(order, begins[1:])[1:]:
        near, vector = out[before[level]], principal[level]
        # One that hardly turns has no axis of its own.
        still = angle[level] < _NO_TURN_RAD
        axis = np.where(still[:, None], near, vector)
        length = np.linalg.norm(axis, axis=1, keepdims=True)
        axis = axis / length.clip(1e-300)
        turns = np.round((np.einsum("vi,vi->v", near - vector, axis)) / (2 * np.pi))
        out[level] = vector + (2 * np.pi * turns)[:, None] * axis
    return out


def polar_decomposition(maps: Floats) -> tuple[Floats, Floats]:
    """(V, 3, 3) T = R S -> proper rotations and symmetric matrices; S has a negative eigenvalue where T mirrors."""
    u, s, vt = np.linalg.svd(maps)
    sign = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    u[:, :, 2] *= sign[:, None]
    s[:, 2] *= sign
    return np.asarray(u @ vt), np.asarray(np.einsum("vki,vk,vkj->vij", vt, s, vt))


def cotangent_weights(mesh: Mesh) -> tuple[Ints32, Floats]:
    """Edges (E, 2) and (E,) half the sum of the cotangents opposite, held between two positive bounds.

    Bounded, since the systems of obtuse, flat and crushed triangles would not be positive definite or finite.
    """
    t = mesh.triangles.astype(np.int64)
    p = mesh.vertices_mm
    ends, cotangents = [], []
    for k in range(3):
        a, b, c = t[:, k], t[:, (k + 1) % 3], t[:, (k + 2) % 3]
        one, other = p[b] - p[a], p[c] - p[a]
        area = np.linalg.norm(np.cross(one, other), axis=1)
        size = np.einsum("td,td->t", one, one) + np.einsum("td,td->t", other, other)
        cotangents.append(np.einsum("td,td->t", one, other) / area.clip(1e-12 * size).clip(1e-300))
        ends.append(np.sort(np.stack([b, c], axis=1), axis=1))
    pairs = np.concatenate(ends)
    apart = pairs[:, 0] != pairs[:, 1]  # a triangle may name a vertex twice
    edges, which = np.unique(pairs[apart], axis=0, return_inverse=True)
    weight = np.bincount(which.reshape(-1), np.concatenate(cotangents)[apart] / 2, len(edges))
    return edges.astype(np.int32), weight.clip(_LEAST_WEIGHT, _MOST_WEIGHT)


def part_links(mesh: Mesh) -> Ints32:
    """(K, 2) pairs of vertices by which every connected part, lone vertices too, hangs on the largest: places of the
    part that are far from each other, each with the nearest of the largest.
    """
    count, label = connected_components(mesh.adjacency(), directed=False)
    largest = int(np.bincount(label).argmax()) if len(label) else 0
    places = mesh.vertices_mm
    there = np.flatnonzero(label == largest)
    tree = cKDTree(places[there])
    links = []
    for part in range(count):
        if part == largest:
            continue
        here = np.flatnonzero(label == part)
        distance, nearest = tree.query(places[here])
        chosen = [int(distance.argmin())]
        while len(chosen) < min(_LINKS, len(here)):
            apart = cKDTree(places[here[chosen]]).query(places[here])[0]
            chosen.append(int(apart.argmax()))
        links.append(np.stack([here[chosen], there[nearest[chosen]]], axis=1))
    return np.concatenate([np.zeros((0, 2)), *links]).astype(np.int32)


def _sized_normals(mesh: Mesh) -> Floats:
    """(V, 3) normals as long as the root of the vertex's area: they turn and grow as edges do."""
    return np.asarray(mesh.vertex_normals * np.sqrt(mesh.vertex_areas)[:, None])
