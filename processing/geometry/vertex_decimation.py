"""A mesh with fewer vertices, all of them its own: half-edge collapses by quadric error over several poses.

Garland and Heckbert 1997 (quadrics), with the collapse always onto an end of the edge, so that what is known of a
vertex (UVs, shapes of a rig) is known of it afterwards. A vertex is chosen by what its loss costs in every pose at
once (Mohr and Gleicher 2003), so that joints keep theirs. Many collapses that do not touch each other are made in one
round: arrays instead of a queue, and the same result everywhere.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from common.array_types import Bools, Floats, Ints32, Ints64
from processing.errors import MeshError, ShapeError
from processing.geometry.mesh import Mesh, edge_keys

_TURNED = 0.25  # least cosine between a triangle's normals before and after a collapse
_SLIVER = 0.06  # least quality of a triangle that a collapse leaves, 1 for an equal-sided one
_SPREAD = 1e-3  # cost of a collapse's length, against its distance from the surface
_BORDER = 4.0  # weight of a border's planes
_ROUND = 0.3  # share of the cheapest vertices that are looked at in one round
_FORGET = 6  # rounds after which refused collapses are tried again


@dataclass(frozen=True, eq=False)
class Decimated:
    """What is left, in numbers of the whole mesh's vertices and UVs."""

    triangles: Ints32  # (T', 3)
    uv_triangles: Ints32  # (T', 3)

    @property
    def vertices(self) -> Ints32:
        """(V',) ascending, the vertices that triangles name."""
        return np.unique(self.triangles).astype(np.int32)


def decimate(mesh: Mesh, poses_mm: Floats, weight: Floats, groups: Ints32, kept: Bools, count: int) -> Decimated:
    """About `count` of a mesh's vertices and triangles between them; more where nothing more can go.

    poses_mm: (P, V, 3), the first the mesh at rest.  weight: (V,) of the surface around a vertex.  groups: (V,) numbers
    from 0; borders between groups, rims and UV seams stay where they are.  kept: (V,) vertices that stay.
    No collapse turns a triangle over, in any pose or in the UVs. Raises ShapeError, MeshError (no UVs).
    """
    vertices = len(mesh.vertices_mm)
    if poses_mm.ndim != 3 or poses_mm.shape[1:] != (vertices, 3):
        raise ShapeError("poses_mm", poses_mm.shape, f"(P, {vertices}, 3)")
    for key, shape in {"weight": weight.shape, "groups": groups.shape, "kept": kept.shape}.items():
        if shape != (vertices,):
            raise ShapeError(key, shape, f"({vertices},)")
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise MeshError("the mesh has no UVs: it cannot be made smaller with its texture")
    return _Decimation(mesh, mesh.uvs, mesh.uv_triangles, poses_mm, weight, groups, kept).run(count)


@dataclass(frozen=True, eq=False)
class _Collapses:
    """N collapses: vertex `gone` onto `onto`, and UV numbers that become others, up to two for each."""

    gone: Ints64  # (N,)
    onto: Ints64  # (N,)
    uv: Ints64  # (N, 2, 2) which UV, which one instead; twice the same where there is one


class _Decimation:
    """A mesh on its way to fewer vertices."""

    def __init__(
        self, mesh: Mesh, uvs: Floats, uv_triangles: Ints32, poses: Floats, weight: Floats, groups: Ints32, kept: Bools
    ) -> None:
        self._count = len(mesh.vertices_mm)
        self._triangles = mesh.triangles.astype(np.int64)
        self._uv_triangles = uv_triangles.astype(np.int64)
        self._uvs = uvs
        self._poses = poses - poses.mean(axis=(0, 1))
        self._groups, self._kept = groups.astype(np.int64), kept | _uv_corners(mesh, uvs, uv_triangles)
        self._quadrics = _quadrics(self._poses, self._triangles, uv_triangles, weight, self._groups)
        self._weight = weight
        self._facing = np.stack([mesh.with_vertices(pose).vertex_normals for pose in poses])
        self._refused = np.zeros(0, np.int64)
        self._known: tuple[Ints64, Floats] = (np.zeros(0, np.int64), np.zeros(0))  # keys of collapses, and costs
        self._changed = np.zeros(self._count, np.bool_)  # vertices whose quadrics are others since

    def run(self, count: int) -> Decimated:
        left = len(np.unique(self._triangles))
        idle = rounds = 0
        while left > count and idle < 2:
            rounds += 1
            if rounds % _FORGET == 0:
                self._refused = self._refused[:0]
            made = self._round(left - count)
            left -= made
            if not made and not len(self._refused):
                idle = 2
            elif not made:
                idle, self._refused = idle + 1, self._refused[:0]
            else:
                idle = 0
        return Decimated(self._triangles.astype(np.int32), self._uv_triangles.astype(np.int32))

    def _round(self, most: int) -> int:
        """Collapses that do not touch each other, the cheapest first; how many."""
        found = self._candidates()
        if not len(found.gone):
            return 0
        cost = self._kept_costs(found)
        order = np.lexsort((found.onto, cost, found.gone))
        first = np.r_[True, found.gone[order][1:] != found.gone[order][:-1]]
        best = order[first]  # of each vertex that can go
        best = best[np.argsort(cost[best], kind="stable")]
        best = best[: max(int(_ROUND * len(best)), min(len(best), 50))]
        chosen = best[self._apart(found.gone[best])]
        some = _Collapses(found.gone[chosen], found.onto[chosen], found.uv[chosen])
        sound = self._sound(some)
        keys = some.gone << 32 | some.onto
        self._refused = np.union1d(self._refused, keys[~sound])
        pick = np.flatnonzero(sound)[:most]
        self._make(_Collapses(some.gone[pick], some.onto[pick], some.uv[pick]))
        return len(pick) if len(pick) or not (~sound).any() else self._round(most)

    def _candidates(self) -> _Collapses:
        """Every collapse that rims, seams, groups and the surface's kind allow."""
        t, s = self._triangles, self._uv_triangles
        ends = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)]
        u, v = (np.concatenate([t[:, pair[k]] for pair in ends]) for k in (0, 1))
        uv_u, uv_v = (np.concatenate([s[:, pair[k]] for pair in ends]) for k in (0, 1))
        key = u << 32 | v
        order = np.argsort(key, kind="stable")
        key, u, v, uv_u, uv_v = key[order], u[order], v[order], uv_u[order], uv_v[order]
        start = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        shared = np.diff(np.r_[start, len(key)])  # triangles on the edge
        last = start + shared - 1
        u, v, key = u[start], v[start], key[start]
        uv = np.stack([np.stack([uv_u[k], uv_v[k]], axis=1) for k in (start, last)], axis=1)
        rim = np.zeros(self._count, np.int64)
        np.add.at(rim, u[shared == 1], 1)
        allowed = ~self._kept[u] & (shared <= 2) & ((rim[u] == 0) | ((rim[u] == 2) & (shared == 1)))
        pairs = np.unique(t.ravel() << 32 | s.ravel())
        uv_count = np.bincount(pairs >> 32, minlength=self._count)  # UVs of each vertex
        same = uv[:, 0, 0] == uv[:, 1, 0]
        allowed &= np.where(same, (uv_count[u] == 1) & (uv[:, 0, 1] == uv[:, 1, 1]), uv_count[u] == 2)
        around = 1 << self._groups
        mask = around.copy()
        np.bitwise_or.at(mask, u, around[v])
        allowed &= (self._groups[u] == self._groups[v]) & ((mask[u] & ~mask[v]) == 0)
        allowed &= self._common(u, v) == shared
        if len(self._refused):
            allowed &= ~np.isin(key, self._refused)
        return _Collapses(u[allowed], v[allowed], uv[allowed])

    def _common(self, u: Ints64, v: Ints64) -> Ints64:
        """(N,) neighbours that both ends of an edge have; u, v are all directed edges, ordered by u, then v."""
        graph = sparse.csr_array((np.ones(len(u), np.int32), (u, v)), shape=(self._count, self._count))
        both = ((graph @ graph) * graph).tocsr()
        both.sort_indices()
        rows = np.repeat(np.arange(self._count), np.diff(both.indptr))
        found = rows.astype(np.int64) << 32 | both.indices
        at = np.searchsorted(found, u << 32 | v).clip(max=len(found) - 1)
        return np.where(found[at] == (u << 32 | v), both.data[at], 0).astype(np.int64)

    def _kept_costs(self, some: _Collapses) -> Floats:
        """(N,) costs; those that the round before had are not told again."""
        keys, known = self._known
        wanted = some.gone << 32 | some.onto  # ascending
        at = np.searchsorted(keys, wanted).clip(max=max(len(keys) - 1, 0))
        costs = known[at].copy() if len(keys) else np.zeros(len(wanted))
        new = self._changed[some.gone] | ((keys[at] != wanted) if len(keys) else True)
        costs[new] = self._costs(_Collapses(some.gone[new], some.onto[new], some.uv[new]))
        self._known = (wanted, costs)
        self._changed[:] = False
        return costs

    def _costs(self, some: _Collapses) -> Floats:
        at = self._poses[:, some.onto]
        gone = self._quadrics[:, some.gone]
        ahead = np.concatenate([at, np.ones((*at.shape[:2], 1))], axis=2)
        off = np.zeros(at.shape[:2])
        for number, (i, j) in enumerate(zip(*_UPPER, strict=True)):
            off += gone[..., number] * ahead[..., i] * ahead[..., j] * (1.0 if i == j else 2.0)
        length = np.square(at - self._poses[:, some.gone]).sum(axis=2)
        return np.asarray((off.clip(0) + _SPREAD * self._weight[some.gone] * length**2).mean(axis=0))

    def _apart(self, gone: Ints64) -> Ints64:
        """Of vertices, the best first, the places of those that are the best within two rings."""
        t = self._triangles
        rank = np.full(self._count, len(gone))
        rank[gone] = np.arange(len(gone))
        best = rank
        for _ in range(2):
            lowest = best[t].min(axis=1)
            spread = best.copy()
            np.minimum.at(spread, t, lowest[:, None])
            best = spread
        return np.flatnonzero(best[gone] == np.arange(len(gone)))

    def _around(self, some: _Collapses) -> tuple[Ints64, Ints64]:
        """Triangles that stay around vertices that go: (M,) the collapse, (M,) the triangle."""
        place = np.full(self._count, -1)
        place[some.gone] = np.arange(len(some.gone))
        which = place[self._triangles].max(axis=1)  # two rings apart: one collapse a triangle
        triangle = np.flatnonzero(which >= 0)
        stays = (self._triangles[triangle] != some.onto[which[triangle], None]).all(axis=1)
        return which[triangle][stays], triangle[stays]

    def _sound(self, some: _Collapses) -> Bools:
        """(N,) collapses after which no triangle around is turned over or a sliver, in any pose or the UVs."""
        which, triangle = self._around(some)
        old = self._triangles[triangle]
        new = np.where(old == some.gone[which, None], some.onto[which, None], old)
        good = np.ones(len(which), np.bool_)
        for pose, facing in zip(self._poses, self._facing, strict=True):
            before, after = _cross(pose[old]), _cross(pose[new])
            size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
            good &= (before * after).sum(axis=1) > _TURNED * size
            out = facing[new].sum(axis=1)
            good &= ((after * out).sum(axis=1) > 0) | ((before * facing[old].sum(axis=1)).sum(axis=1) < 0)
        first = self._poses[0]
        quality = _quality(first[new])
        good &= (quality > _SLIVER) | (quality > _quality(first[old]))
        uv_old = self._uv_triangles[triangle]
        uv_new = uv_old.copy()
        for k in (0, 1):
            uv_new = np.where(uv_old == some.uv[which, k, 0, None], some.uv[which, k, 1, None], uv_new)
        before, after = _uv_area(self._uvs[uv_old]), _uv_area(self._uvs[uv_new])
        good &= (before * after > 0) & (np.abs(after) > 1e-10) | (before == 0)
        bad = np.bincount(which[~good], minlength=len(some.gone))
        return np.asarray(bad == 0)

    def _make(self, some: _Collapses) -> None:
        if not len(some.gone):
            return
        vertex = np.arange(self._count)
        vertex[some.gone] = some.onto
        uv = np.arange(len(self._uvs))
        uv[some.uv[:, 0, 0]] = some.uv[:, 0, 1]
        uv[some.uv[:, 1, 0]] = some.uv[:, 1, 1]
        t = vertex[self._triangles]
        stays = (t != np.roll(t, 1, axis=1)).all(axis=1)
        self._triangles, self._uv_triangles = t[stays], uv[self._uv_triangles][stays]
        self._quadrics[:, some.onto] += self._quadrics[:, some.gone]
        self._changed[some.onto] = True
        self._weight = self._weight.copy()
        self._weight[some.onto] = np.maximum(self._weight[some.onto], self._weight[some.gone])


_UPPER = tuple(axis.tolist() for axis in np.triu_indices(4))


def _quadrics(poses: Floats, triangles: Ints64, uv_triangles: Ints32, weight: Floats, groups: Ints64) -> Floats:
    """(P, V, 10) the quadric of each vertex in each pose, upper triangle: planes of triangles, weighted by area, and
    planes upright on rims, seams and borders between groups."""
    count = len(weight)
    t = triangles
    share = weight[t].mean(axis=1)
    edge = np.stack([t, np.roll(t, -1, axis=1)], axis=2).reshape(-1, 2)
    uv_edge = np.stack([uv_triangles, np.roll(uv_triangles, -1, axis=1)], axis=2).reshape(-1, 2).astype(np.int64)
    single = np.unique(np.sort(uv_edge, axis=1) @ np.array([1 << 32, 1]), return_inverse=True, return_counts=True)
    border = single[2][single[1].reshape(-1)] == 1  # of rims and of seams alike
    border |= groups[edge[:, 0]] != groups[edge[:, 1]]
    at = np.flatnonzero(border)
    out = np.zeros((len(poses), count, 10))
    for number, pose in enumerate(poses):
        cross = _cross(pose[t])
        area = np.linalg.norm(cross, axis=1)
        normal = cross / area.clip(1e-12)[:, None]
        own = _planes(normal, pose[t[:, 0]], share * area / 6)
        along = pose[edge[at, 1]] - pose[edge[at, 0]]
        upright = np.cross(along, normal[at // 3])
        size = np.linalg.norm(upright, axis=1)
        strength = _BORDER * share[at // 3] * np.square(size)
        rims = _planes(upright / size.clip(1e-12)[:, None], pose[edge[at, 0]], strength)
        for k in range(10):
            for c in range(3):
                out[number, :, k] += np.bincount(t[:, c], own[:, k], minlength=count)
            for c in range(2):
                out[number, :, k] += np.bincount(edge[at, c], rims[:, k], minlength=count)
    return out


def _planes(normal: Floats, point: Floats, weight: Floats) -> Floats:
    """(N, 10) quadrics of planes."""
    plane = np.c_[normal, -(normal * point).sum(axis=1)]
    return np.stack([weight * plane[:, i] * plane[:, j] for i, j in zip(*_UPPER, strict=True)], axis=1)


def _cross(corners: Floats) -> Floats:
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _quality(corners: Floats) -> Floats:
    """(N,) 1 for an equal-sided triangle, 0 for a flat one."""
    sides = np.square(corners - np.roll(corners, 1, axis=1)).sum(axis=(1, 2))
    return np.asarray(2 * np.sqrt(3) * np.linalg.norm(_cross(corners), axis=1) / np.maximum(sides, 1e-12))


def _uv_area(corners: Floats) -> Floats:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _uv_corners(mesh: Mesh, uvs: Floats, uv_triangles: Ints32) -> Bools:
    """(V,) vertices where the outline of the UVs turns by more than 30 degrees: a chart keeps its corners."""
    keys = edge_keys(uv_triangles)
    unique, counts = np.unique(keys, return_counts=True)
    ends = np.stack([unique >> 32, unique & 0xFFFFFFFF], axis=1)[counts == 1]
    direction = uvs[ends[:, 1]] - uvs[ends[:, 0]]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True).clip(1e-12)
    total = np.zeros((len(uvs), 2))  # of the directions away from a UV: none where the outline is straight
    np.add.at(total, ends[:, 0], direction)
    np.add.at(total, ends[:, 1], -direction)
    turned = np.linalg.norm(total, axis=1) > 2 * np.sin(np.radians(15))
    corners = np.zeros(len(mesh.vertices_mm), np.bool_)
    corners[mesh.triangles[turned[uv_triangles]]] = True
    return corners
