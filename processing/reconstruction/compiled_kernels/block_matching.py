"""Correlation along rays, block by block: everything that a block of pixels needs stays in the cache.

Reference: `stereo_matching.OpenCvKernels`. Columns are counted without a sign: then no index is looked at for one, and
the loops over them vectorise.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from common.array_types import Floats32, Gray, Ints64
from processing.reconstruction.compiled_kernels.compilation import compiled, loaded_pair

WIDE = 128  # columns of a block with its halo
TALL = 64  # rows of a block

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_NEVER = np.float32(-1e30)
_NEAREST = np.float32(1e-3)  # depth, mm, as which anything nearer counts
_BEYOND = np.float32(-2)  # px, where nothing is seen
_FLOAT = np.uint64(4)  # bytes
_UPPER = np.uint64(32)
_FLAT = np.float32(-1e-6)  # curvature of a peak, a hypothesis squared, above which it is none
_NOISE_VARIANCE = np.float32(1.0)  # as stereo_matching's
_U1, _U2, _U3, _U4, _U5, _U6 = (np.uint64(n) for n in range(1, 7))
_SECOND, _THIRD = np.uint64(WIDE), np.uint64(2 * WIDE)


class Pixels(NamedTuple):
    """The pixels whose depth is sought, with the windows' halo and as much at the right as fills the last block."""

    #: (h + window - 1, w' + window - 1); w' is w to a multiple of WIDE - window + 1.
    grey: Gray
    #: Columns and rows likewise, of which one row or one column may stand for all.
    xs: Gray
    ys: Gray
    #: mm, as grey.
    depths: Gray


class Others(NamedTuple):
    """The images that they are compared with."""

    #: (K, 12) M, by rows, and b of `stereo_matching.projection`.
    P: Floats32
    #: (K,) where their float32 greys lie, and (K, 2) their rows and columns, at least two.
    address: NDArray[np.uint64]
    size: Ints64


class _Block(NamedTuple):
    """Of a block of pixels, (rows, WIDE) each."""

    x: Any
    y: Any
    depth: Any
    grey: Any
    # Of the windows around them.
    mean: Any
    scale: Any


class _Best(NamedTuple):
    """Of each pixel of a block the highest score, of which hypothesis, the scores before and after it, and the last."""

    top: Any
    at: Any
    below: Any
    above: Any
    last: Any


class _Lines(NamedTuple):
    """What a row of pixels needs in passing."""

    #: Where it is seen: the index of a pixel, and the place beyond that pixel.
    at: Any
    fx: Any
    fy: Any
    #: (K window, WIDE) what each other shows there, for the window's rows in turn.
    ring: Any
    #: (3 WIDE + window,) and (3 WIDE,): see `_column_sums`.
    sums: Any
    totals: Any
    score: Any
    #: (best, WIDE)
    highest: Any


@compiled()
def _positions(wide, block, r, offset, P, size, lines):
    """Where the other sees a row of pixels at depth + offset: the index of a pixel and the place beyond that pixel."""
    x, y, depth, at, fx, fy = block.x, block.y, block.depth, lines.at, lines.fx, lines.fy
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = P[0], P[1], P[2], P[3], P[4], P[5], P[6], P[7], P[8]
    b0, b1, b2 = P[9], P[10], P[11]
    right, bottom = np.float32(size[1] - 2), np.float32(size[0] - 2)
    width = np.int32(size[1])
    for c in range(wide):
        d = depth[r, c] + offset
        z = (m20 * x[r, c] + (m21 * y[r, c] + m22)) * d + b2
        inverse = _ONE / (z if z > _NEAREST else _NEAREST)
        u = ((m00 * x[r, c] + (m01 * y[r, c] + m02)) * d + b0) * inverse
        v = ((m10 * x[r, c] + (m11 * y[r, c] + m12)) * d + b1) * inverse
        u = u if u > _BEYOND else _BEYOND  # what is not a number, too
        v = v if v > _BEYOND else _BEYOND
        u0 = u if u > _ZERO else _ZERO
        v0 = v if v > _ZERO else _ZERO
        column = np.int32(u0 if u0 < right else right)
        row = np.int32(v0 if v0 < bottom else bottom)
        fx[c] = u - np.float32(column)
        fy[c] = v - np.float32(row)
        at[c] = row * width + column


@compiled()
def _share(distance):
    """Of a pixel in a value so many px from it."""
    share = _ONE - abs(distance)
    return share if share > _ZERO else _ZERO


@compiled()
def _first(pair):
    return np.uint32(pair).view(np.float32)


@compiled()
def _second(pair):
    return np.uint32(pair >> _UPPER).view(np.float32)


@compiled()
def _values(wide, address, size, shift, lines, r):
    """Row r of the ring: an image's values at `_positions`, less `shift`; beyond its edge 0."""
    at, fx, fy, out = lines.at, lines.fx, lines.fy, lines.ring
    stride = _FLOAT * np.uint64(size[1])
    for c in range(wide):
        here = address + np.uint64(np.uint32(at[c])) * _FLOAT
        above, below = loaded_pair(here), loaded_pair(here + stride)
        left, right = _share(fx[c]), _share(fx[c] - _ONE)
        upper = _first(above) * left + _second(above) * right
        lower = _first(below) * left + _second(below) * right
        out[r, c] = upper * _share(fy[c]) + lower * _share(fy[c] - _ONE) - shift


@compiled()
def _column_sums(wide, k, r, window, g, lines):
    """Of each column, over the window's rows from r: the sums of w, w w and w g, one after the other in `sums`.

    The window's rows of w lie in turn among the ring's rows from k.
    """
    w, sums = lines.ring, lines.sums
    if window == 7:
        r0, r1, r2, r3 = k + r % 7, k + (r + 1) % 7, k + (r + 2) % 7, k + (r + 3) % 7
        r4, r5, r6 = k + (r + 4) % 7, k + (r + 5) % 7, k + (r + 6) % 7
        for c in range(wide):
            w0, w1, w2, w3, w4, w5, w6 = w[r0, c], w[r1, c], w[r2, c], w[r3, c], w[r4, c], w[r5, c], w[r6, c]
            sums[c] = ((w0 + w1) + (w2 + w3)) + ((w4 + w5) + w6)
            sums[c + _SECOND] = ((w0 * w0 + w1 * w1) + (w2 * w2 + w3 * w3)) + ((w4 * w4 + w5 * w5) + w6 * w6)
            sums[c + _THIRD] = (
                (w0 * g[r, c] + w1 * g[r + 1, c]) + (w2 * g[r + 2, c] + w3 * g[r + 3, c])
            ) + ((w4 * g[r + 4, c] + w5 * g[r + 5, c]) + w6 * g[r + 6, c])  # fmt: skip
    elif window == 5:
        r0, r1, r2, r3, r4 = k + r % 5, k + (r + 1) % 5, k + (r + 2) % 5, k + (r + 3) % 5, k + (r + 4) % 5
        for c in range(wide):
            w0, w1, w2, w3, w4 = w[r0, c], w[r1, c], w[r2, c], w[r3, c], w[r4, c]
            sums[c] = ((w0 + w1) + (w2 + w3)) + w4
            sums[c + _SECOND] = ((w0 * w0 + w1 * w1) + (w2 * w2 + w3 * w3)) + w4 * w4
            sums[c + _THIRD] = (
                (w0 * g[r, c] + w1 * g[r + 1, c]) + (w2 * g[r + 2, c] + w3 * g[r + 3, c])
            ) + w4 * g[r + 4, c]  # fmt: skip
    else:
        for c in range(wide):
            sums[c] = sums[c + _SECOND] = sums[c + _THIRD] = _ZERO
        for t in range(r, r + window):
            row = k + t % window
            for c in range(wide):
                v = w[row, c]
                sums[c] += v
                sums[c + _SECOND] += v * v
                sums[c + _THIRD] += v * g[t, c]


@compiled()
def _row_sums(wide, window, lines):
    """Of `_column_sums`, over the window's columns from each; those of the last columns mean nothing."""
    s, totals = lines.sums, lines.totals
    if window == 7:
        for c in range(_U3 * wide):
            totals[c] = ((s[c] + s[c + _U1]) + (s[c + _U2] + s[c + _U3])) + ((s[c + _U4] + s[c + _U5]) + s[c + _U6])
    elif window == 5:
        for c in range(_U3 * wide):
            totals[c] = ((s[c] + s[c + _U1]) + (s[c + _U2] + s[c + _U3])) + s[c + _U4]
    else:
        for c in range(_U3 * wide):
            totals[c] = s[c]
        for t in range(_U1, np.uint64(window)):
            for c in range(_U3 * wide):
                totals[c] += s[c + t]


@compiled()
def _correlation(wide, window, block, r, lines):
    """A row of correlations from the sums over each window of w, w w and w g, and what belongs to g."""
    totals, score, mean, scale = lines.totals, lines.score, block.mean, block.scale
    share = _ONE / np.float32(window * window)
    for c in range(wide):
        w, ww, wg = totals[c] * share, totals[c + _SECOND] * share, totals[c + _THIRD] * share
        variance = ww - w * w
        variance = (variance if variance > _ZERO else _ZERO) + _NOISE_VARIANCE
        score[c] = (wg - w * mean[r, c]) / math.sqrt(variance) * scale[r, c]


@compiled()
def _inserted(wide, lines):
    """A row of scores among the highest so far, the highest first."""
    score, highest = lines.score, lines.highest
    for j in range(len(highest)):
        for c in range(wide):
            one, other = highest[j, c], score[c]
            highest[j, c] = one if one > other else other
            score[c] = other if one > other else one


@compiled()
def _mean(wide, lines):
    """A row of the means of the highest scores."""
    highest, out = lines.highest, lines.score
    share = _ONE / np.float32(len(highest))
    for c in range(wide):
        out[c] = highest[0, c] * share
    for j in range(1, len(highest)):
        for c in range(wide):
            out[c] += highest[j, c] * share


@compiled()
def _peaks(wide, now, r, lines, best):
    """A row of hypothesis `now`'s scores: the best so far, which it is, and the scores before and after it."""
    mean, top, at, below, above, last = lines.score, best.top, best.at, best.below, best.above, best.last
    for c in range(wide):
        m, t, a, b, o, p = mean[c], top[r, c], at[r, c], below[r, c], above[r, c], last[r, c]
        better = m > t
        above[r, c] = m if a == now - _ONE else o
        below[r, c] = p if better else b
        at[r, c] = now if better else a
        top[r, c] = m if better else t
        last[r, c] = m


@compiled()
def _peak(best, r, c, count):
    """The best hypothesis of a pixel with a parabola through its neighbours."""
    top, at, below, above = best.top[r, c], best.at[r, c], best.below[r, c], best.above[r, c]
    bend = below - np.float32(2) * top + above
    shift = _HALF * (below - above) / (bend if bend < _FLAT else _FLAT)
    shift = shift if shift > -_ONE else -_ONE
    shift = shift if shift < _ONE else _ONE
    return at + (shift if (at > _ZERO) & (at < count - _ONE) & (bend < _FLAT) else _ZERO)


@compiled()
def _block(wide, source, top, left, rows, less, out):
    """Rows of a block of (h, w), or of (1, w) or (h, 1), all of whose rows or columns are the same."""
    down, right = source.shape[0] > 1, np.uint64(source.shape[1] > 1)
    for r in range(rows):
        row = top + r if down else 0
        for c in range(wide):
            out[r, c] = source[row, (left + c) * right] - less


@compiled(apart=True)
def _cut(wide, pixels, y0, x0, rows, window, shift, block):
    """A block cut out of all pixels; `shift` off its greys."""
    _block(wide, pixels.xs, y0, x0, rows + window - 1, _ZERO, block.x)
    _block(wide, pixels.ys, y0, x0, rows + window - 1, _ZERO, block.y)
    _block(wide, pixels.depths, y0, x0, rows + window - 1, _ZERO, block.depth)
    _block(wide, pixels.grey, y0, x0, rows + window - 1, shift, block.grey)


@compiled(apart=True)
def _own_terms(wide, rows, window, block, lines):
    """Mean and inverse deviation of the block's own windows."""
    share = _ONE / np.float32(window * window)
    for r in range(rows):
        for t in range(r, r + window):
            for c in range(wide):
                lines.ring[t % window, c] = block.grey[t, c]
        _column_sums(wide, 0, r, window, block.grey, lines)
        _row_sums(wide, window, lines)
        for c in range(wide):
            m = lines.totals[c] * share
            variance = lines.totals[c + _SECOND] * share - m * m
            block.mean[r, c] = m
            block.scale[r, c] = _ONE / math.sqrt((variance if variance > _ZERO else _ZERO) + _NOISE_VARIANCE)


@compiled(apart=True)
def _compared(wide, hypothesis, rows, window, block, others, lines, best):
    """A hypothesis (which, its offset, the shift of greys) of a block held against those before it."""
    n, offset, shift = hypothesis
    count = len(others.address)
    for r in range(rows + window - 1):
        for k in range(count):
            _positions(wide, block, r, offset, others.P[k], others.size[k], lines)
            _values(wide, others.address[k], others.size[k], shift, lines, k * window + r % window)
        first = r - window + 1
        if first >= 0:
            for j in range(len(lines.highest)):
                for c in range(wide):
                    lines.highest[j, c] = _NEVER
            for k in range(count):
                _column_sums(wide, k * window, first, window, block.grey, lines)
                _row_sums(wide, window, lines)
                _correlation(wide, window, block, first, lines)
                _inserted(wide, lines)
            _mean(wide, lines)
            _peaks(wide, np.float32(n), first, lines, best)


@compiled()
def _room(count, window, best):
    """The arrays of a block."""
    halo = np.empty((4, TALL + window - 1, WIDE), np.float32)
    rows = np.empty((7, TALL, WIDE), np.float32)
    line = np.empty((3, WIDE), np.float32)
    lines = _Lines(
        np.empty(WIDE, np.int32),
        line[0],
        line[1],
        np.empty((count * window, WIDE), np.float32),
        np.zeros(3 * WIDE + window, np.float32),
        np.empty(3 * WIDE, np.float32),
        line[2],
        np.empty((best, WIDE), np.float32),
    )
    block = _Block(halo[0], halo[1], halo[2], halo[3], rows[0], rows[1])
    return block, lines, _Best(rows[2], rows[3], rows[4], rows[5], rows[6])


_IMAGE, _VALUES = types.float32[:, ::1], types.float32[::1]
_PIXELS = types.NamedUniTuple(_IMAGE, 4, Pixels)
_OTHERS = types.NamedTuple((_IMAGE, types.uint64[::1], types.int64[:, ::1]), Others)


@compiled(
    types.void(_PIXELS, _VALUES, _OTHERS, types.int64, types.UniTuple(types.int64, 2), types.float32, _IMAGE, _IMAGE)
)
def match_blocks(
    pixels: Pixels, offsets: Floats32, others: Others, wide: int, window_best: tuple[int, int],
    shift: np.float32, at: Gray, score: Gray,
) -> None:  # fmt: skip
    """Of each pixel the hypothesis that correlates best, and its score.

    offsets: (H,) what each hypothesis adds to the depths, mm.  wide: WIDE; a number that the compiler does not know
    keeps it from unrolling the loops over columns.  window_best: the side of the windows, px, and how many of the
    others' scores count, the highest.  shift: a grey about which windows are summed.  at, score: (h, w) the results,
    the former in hypotheses from 0.
    """
    height, width = score.shape
    window, best = window_best
    count = len(others.address)
    block, lines, found = _room(count, window, best)
    columns = np.uint64(wide)
    for y0 in range(0, height, TALL):
        rows = min(TALL, height - y0)
        for x0 in range(0, width, WIDE - window + 1):
            _cut(columns, pixels, y0, np.uint64(x0), rows, window, shift, block)
            _own_terms(columns, rows, window, block, lines)
            for r in range(rows):
                for c in range(columns):
                    found.top[r, c] = found.at[r, c] = _NEVER
                    found.below[r, c] = found.above[r, c] = found.last[r, c] = _NEVER
            for n in range(len(offsets)):
                _compared(columns, (n, offsets[n], shift), rows, window, block, others, lines, found)
            for r in range(rows):
                for c in range(min(WIDE - window + 1, width - x0)):
                    at[y0 + r, x0 + c] = _peak(found, r, c, np.float32(len(offsets)))
                    score[y0 + r, x0 + c] = found.top[r, c]
