"""Poisson blending over a head's UVs: what a photograph does not show is completed from another texture, without edge.

Perez et al. 2003, section 2: of what is completed the gradients are the other texture's, at its border the colours are
the photograph's. So the difference of both is harmonic where nothing is seen: it is solved for, and added to the other
texture. UV charts have borders that are none on the head: texels on both sides of a seam are neighbours here, so that
colours meet across it. The difference is smooth; it is solved exactly on few texels and refined on more.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse

from common.array_types import Bools, Floats, Floats32, Ints64
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import Factor
from processing.geometry.uv_charts import uv_charts
from processing.geometry.uv_rasterization import Texels

COARSE_PX = 128
_SWEEPS = 30  # of refinement, each level
_SMALL = 1e-8  # of the weight that ties a texel to nothing: what no seen texel reaches keeps the other texture


@dataclass(frozen=True, eq=False)
class Completed:
    """A texture whose unseen texels are completed."""

    colours: Floats32  # (S, S, 3)
    completed: Bools  # (S, S) texels of the domain that are not the photograph's


def blend(mesh: Mesh, texels: Texels, seen: Floats32, known: Bools, other: Floats32, domain: Bools) -> Completed:
    """Colours of a photograph completed from another texture.

    mesh: with UVs.  texels: of it.  seen: (S, S, 3) of the photograph, where `known` (S, S).  other: (S, S, 3), given
    everywhere.  domain: (S, S) texels that are blended; beyond it and where nothing is known at all, `other`.
    """
    known = known & domain
    difference = np.where(known[..., None], seen - other, 0).astype(np.float32)
    if known.any():
        difference = harmonic(mesh, texels, difference, known, domain)
    colours = np.where(domain[..., None], other + difference, other)
    return Completed(colours.astype(np.float32), domain & ~known)


def harmonic(mesh: Mesh, texels: Texels, values: Floats32, known: Bools, domain: Bools) -> Floats32:
    """(S, S, K): values where known, harmonic over the head's surface elsewhere in the domain, 0 beyond it."""
    size = texels.size_px
    sizes = [size]
    while sizes[-1] % 2 == 0 and sizes[-1] // 2 >= COARSE_PX:
        sizes.append(sizes[-1] // 2)
    levels = [(values, known, domain)]
    for _ in sizes[1:]:
        levels.append(_halved(*levels[-1]))
    out = _solved(mesh, texels, *levels[-1])
    for finer, there, within in levels[-2::-1]:
        first = cv2.resize(_filled(out, levels[-1][2]), within.shape[::-1], interpolation=cv2.INTER_LINEAR)
        first = first.reshape(*within.shape, -1)
        levels.pop()
        out = _refined(np.where(there[..., None], finer, first).astype(np.float32), there, within)
    return np.asarray(np.where(domain[..., None], out, 0), np.float32)


def _halved(values: Floats32, known: Bools, domain: Bools) -> tuple[Floats32, Bools, Bools]:
    """Of four texels the mean of those that are known; known where half of those of the domain are."""

    def four(array: np.ndarray) -> np.ndarray:
        h, w = array.shape[0] // 2, array.shape[1] // 2
        return np.asarray(array.reshape(h, 2, w, 2, *array.shape[2:]).sum(axis=(1, 3)))

    count, within = four(known.astype(np.float32)), four(domain.astype(np.float32))
    total = four(values * known[..., None])
    there = (count > 0) & (2 * count >= within)
    return (total / count.clip(1)[..., None]).astype(np.float32), there, within > 0


def _solved(mesh: Mesh, texels: Texels, values: Floats32, known: Bools, domain: Bools) -> Floats32:
    """The harmonic function itself, seams included, by one sparse factor."""
    size = len(domain)
    number = np.full(domain.size, -1)
    number[domain.ravel()] = np.arange(int(domain.sum()))
    chart = _charts(mesh, texels, size)
    pairs = [_beside(domain, chart, axis) for axis in (0, 1)] + [_across_seams(mesh, size)]
    i, j = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    there = (number[i] >= 0) & (number[j] >= 0) & (i != j)
    i, j = number[i[there]], number[j[there]]
    count = int(domain.sum())
    weight = np.ones(2 * len(i))
    graph = sparse.csr_array((weight, (np.r_[i, j], np.r_[j, i])), shape=(count, count))
    laplacian = sparse.diags_array(graph.sum(axis=1) + _SMALL) - graph
    fixed = known.ravel()[domain.ravel()]
    own = values.reshape(domain.size, -1)[domain.ravel()].astype(np.float64)
    free = np.flatnonzero(~fixed)
    solution = own.copy()
    if len(free):
        rows = sparse.csr_array(laplacian)[free]
        right = -(rows[:, np.flatnonzero(fixed)] @ own[fixed])
        solution[free] = Factor(sparse.csc_array(rows[:, free])).solve(right)
    out = np.zeros((domain.size, own.shape[1]), np.float32)
    out[domain.ravel()] = solution
    return out.reshape(*domain.shape, -1)


def _refined(start: Floats32, known: Bools, domain: Bools) -> Floats32:
    """Jacobi's sweeps where nothing is known; texels on a chart's border stay as the coarser level had them."""
    inner = cv2.erode(domain.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    moving = (inner & ~known).astype(np.float32)
    rows, columns = np.flatnonzero(moving.any(axis=1)), np.flatnonzero(moving.any(axis=0))
    if not len(rows):
        return start
    box = (slice(rows[0] - 1, rows[-1] + 2), slice(columns[0] - 1, columns[-1] + 2))
    part, share = start[box].copy(), moving[box][..., None] * np.float32(0.9)
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    for _ in range(_SWEEPS):
        mean = cv2.filter2D(part, -1, kernel, borderType=cv2.BORDER_REPLICATE).reshape(part.shape)
        part += share * (mean - part)
    out = start.copy()
    out[box] = part
    return out


def _filled(values: Floats32, domain: Bools) -> Floats32:
    """Values with the domain's edge going on beyond it, so that an enlargement does not mix in nothing."""
    out, there = values.copy(), domain.astype(np.float32)
    for _ in range(2):
        weight = cv2.blur(there, (3, 3), borderType=cv2.BORDER_CONSTANT)
        mean = cv2.blur(out * there[..., None], (3, 3), borderType=cv2.BORDER_CONSTANT).reshape(out.shape)
        new = (there == 0) & (weight > 0)
        out[new] = mean[new] / weight[new][:, None]
        there[new] = 1
    return out


def _charts(mesh: Mesh, texels: Texels, size: int) -> Ints64:
    """(size * size,) number of the UV chart that a texel of a smaller square shows most of, -1 none."""
    assert mesh.uv_triangles is not None
    assert mesh.uvs is not None
    own = uv_charts(mesh.uv_triangles, len(mesh.uvs))
    step = texels.size_px // size
    row, column = texels.index // texels.size_px, texels.index % texels.size_px
    chart = np.full(size * size, -1)
    chart[(row // step) * size + column // step] = own[texels.triangle]
    return chart


def _beside(domain: Bools, chart: Ints64, axis: int) -> tuple[Ints64, Ints64]:
    """Pairs of neighbours along an axis, of one chart."""
    grid = np.arange(domain.size).reshape(domain.shape)
    one, other = (grid[:-1], grid[1:]) if axis == 0 else (grid[:, :-1], grid[:, 1:])
    i, j = one.ravel(), other.ravel()
    same = (chart[i] == chart[j]) & domain.ravel()[i] & domain.ravel()[j]
    return i[same], j[same]


def _across_seams(mesh: Mesh, size: int) -> tuple[Ints64, Ints64]:
    """Pairs of texels that are neighbours on the head and not in the UVs."""
    assert mesh.uvs is not None
    assert mesh.uv_triangles is not None
    t, s = mesh.triangles.astype(np.int64), mesh.uv_triangles.astype(np.int64)
    ends = np.stack([t, np.roll(t, -1, axis=1)], axis=2).reshape(-1, 2)
    uv_ends = np.stack([s, np.roll(s, -1, axis=1)], axis=2).reshape(-1, 2)
    third = np.roll(s, 1, axis=1).reshape(-1)
    turn = ends[:, 0] > ends[:, 1]
    ends[turn], uv_ends[turn] = ends[turn][:, ::-1], uv_ends[turn][:, ::-1]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, uv_ends, third = ends[order], uv_ends[order], third[order]
    twice = np.flatnonzero((ends[1:] == ends[:-1]).all(axis=1))
    seam = twice[(uv_ends[twice] != uv_ends[twice + 1]).any(axis=1)]
    nowhere = np.zeros(0, np.int64)
    if not len(seam):
        return nowhere, nowhere
    places = []
    for side in (seam, seam + 1):
        a, b, c = mesh.uvs[uv_ends[side, 0]], mesh.uvs[uv_ends[side, 1]], mesh.uvs[third[side]]
        places.append(_along(a, b, c, size))
    return places[0], places[1]


def _along(a: Floats, b: Floats, c: Floats, size: int, points: int = 4) -> Ints64:
    """(N * points,) texels along the edges a b, half a texel inwards to c."""
    share = (np.arange(points) + 0.5) / points
    at = a[:, None] + share[None, :, None] * (b - a)[:, None]
    inwards = c[:, None] - at
    at = at + inwards / np.linalg.norm(inwards, axis=2, keepdims=True).clip(1e-9) * (0.6 / size)
    column = np.floor(at[..., 0] * size).astype(np.int64).clip(0, size - 1)
    row = np.floor((1 - at[..., 1]) * size).astype(np.int64).clip(0, size - 1)
    return np.asarray((row * size + column).ravel())
