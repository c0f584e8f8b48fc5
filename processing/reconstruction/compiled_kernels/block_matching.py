"""Correlation along rays, block by block: everything that a block of pixels needs stays in the cache.

Reference: `stereo_matching.OpenCvKernels`. Columns are counted without a sign: then no index is looked at for one, and
the loops over them vectorise.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math

import numpy as np

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


@compiled()
def _positions(wide, x, y, depth, offset, P, size, r, at, fx, fy):
    """Where the other sees a row of pixels at depth + offset: the index of a pixel and the place beyond that pixel."""
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
def _values(wide, address, size, at, fx, fy, shift, r, out):
    """A row of an image's values at `_positions`, less `shift`; beyond its edge 0."""
    stride = _FLOAT * np.uint64(size[1])
    for c in range(wide):
        here = address + np.uint64(np.uint32(at[c])) * _FLOAT
        above, below = loaded_pair(here), loaded_pair(here + stride)
        left, right = _share(fx[c]), _share(fx[c] - _ONE)
        upper = _first(above) * left + _second(above) * right
        lower = _first(below) * left + _second(below) * right
        out[r, c] = upper * _share(fy[c]) + lower * _share(fy[c] - _ONE) - shift


@compiled()
def _column_sums(wide, w, k, r, window, g, sums):
    """Of each column, over the window's rows from r: the sums of w, w w and w g, one after the other in `sums`.

    The window's rows of w lie in turn among its rows from k.
    """
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
def _row_sums(wide, s, window, totals):
    """Of `_column_sums`, over the window's columns from each; those of the last columns mean nothing."""
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
def _correlation(wide, totals, mean, scale, window, r, score):
    """A row of correlations from the sums over each window of w, w w and w g, and what belongs to g."""
    share = _ONE / np.float32(window * window)
    for c in range(wide):
        w, ww, wg = totals[c] * share, totals[c + _SECOND] * share, totals[c + _THIRD] * share
        variance = ww - w * w
        variance = (variance if variance > _ZERO else _ZERO) + _NOISE_VARIANCE
        score[c] = (wg - w * mean[r, c]) / math.sqrt(variance) * scale[r, c]


@compiled()
def _inserted(wide, score, highest):
    """A row of scores among the highest so far, the highest first."""
    for j in range(len(highest)):
        for c in range(wide):
            one, other = highest[j, c], score[c]
            highest[j, c] = one if one > other else other
            score[c] = other if one > other else one


@compiled()
def _mean(wide, highest, out):
    """A row of the means of the highest scores."""
    share = _ONE / np.float32(len(highest))
    for c in range(wide):
        out[c] = highest[0, c] * share
    for j in range(1, len(highest)):
        for c in range(wide):
            out[c] += highest[j, c] * share


@compiled()
def _peaks(wide, mean, now, r, top, at, below, above, last):
    """A row of hypothesis `now`'s scores: the best so far, which it is, and the scores before and after it."""
    for c in range(wide):
        m, t, a, b, o, p = mean[c], top[r, c], at[r, c], below[r, c], above[r, c], last[r, c]
        better = m > t
        above[r, c] = m if a == now - _ONE else o
        below[r, c] = p if better else b
        at[r, c] = now if better else a
        top[r, c] = m if better else t
        last[r, c] = m


@compiled()
def _peak(top, at, below, above, count):
    """The best hypothesis of a pixel with a parabola through its neighbours."""
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
def _own_terms(wide, grey, rows, window, ring, sums, totals, mean, scale):
    """Mean and inverse deviation of the block's own windows."""
    share = _ONE / np.float32(window * window)
    for r in range(rows):
        for t in range(r, r + window):
            for c in range(wide):
                ring[t % window, c] = grey[t, c]
        _column_sums(wide, ring, 0, r, window, grey, sums)
        _row_sums(wide, sums, window, totals)
        for c in range(wide):
            m = totals[c] * share
            variance = totals[c + _SECOND] * share - m * m
            mean[r, c] = m
            scale[r, c] = _ONE / math.sqrt((variance if variance > _ZERO else _ZERO) + _NOISE_VARIANCE)


@compiled(apart=True)
def _compared(
    wide, n, x, y, depth, offset, g, mean, scale, rows, window, Ps, addresses, sizes, shift,
    place, fx, fy, ring, sums, totals, line, highest, top, at, below, above, last,
):  # fmt: skip
    """Hypothesis n of a block held against those before it."""
    count = len(addresses)
    for r in range(rows + window - 1):
        for k in range(count):
            _positions(wide, x, y, depth, offset, Ps[k], sizes[k], r, place, fx, fy)
            _values(wide, addresses[k], sizes[k], place, fx, fy, shift, k * window + r % window, ring)
        first = r - window + 1
        if first >= 0:
            for j in range(len(highest)):
                for c in range(wide):
                    highest[j, c] = _NEVER
            for k in range(count):
                _column_sums(wide, ring, k * window, first, window, g, sums)
                _row_sums(wide, sums, window, totals)
                _correlation(wide, totals, mean, scale, window, first, line)
                _inserted(wide, line, highest)
            _mean(wide, highest, line)
            _peaks(wide, line, np.float32(n), first, top, at, below, above, last)


@compiled(
    "void(float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], float32[::1], float32[:,::1], uint64[::1],"
    " int64[:,::1], int64, int64, int64, float32, float32[:,::1], float32[:,::1])"
)
def match_blocks(grey, xs, ys, depths, offsets, Ps, addresses, sizes, wide, window, best, shift, offset, score):
    """Of each pixel the hypothesis that correlates best, and its score.

    grey, depths: (h + window - 1, w' + window - 1) with the windows' halo; w' is w to a multiple of WIDE - window + 1.
    xs, ys: columns and rows likewise, of which one row or column may stand for all.  offsets: (H,) what each
    hypothesis adds to the depths.  Ps: (K, 12) M and b of each other, by rows; addresses, sizes: (K,), (K, 2) where its
    float32 greys lie and their rows and columns, at least two.  wide: WIDE.  best: so many of the others' scores count.
    shift: a grey about which windows are summed.  offset, score: (h, w) the results, the former in hypotheses from 0.
    """
    height, width = score.shape
    count = len(addresses)
    room = np.empty((4, TALL + window - 1, WIDE), np.float32)
    x, y, depth, g = room[0], room[1], room[2], room[3]
    state = np.empty((7, TALL, WIDE), np.float32)
    mean, scale, top, at, below, above, last = state[0], state[1], state[2], state[3], state[4], state[5], state[6]
    ring, highest = np.empty((count * window, WIDE), np.float32), np.empty((best, WIDE), np.float32)
    sums, totals = np.zeros(3 * WIDE + window, np.float32), np.empty(3 * WIDE, np.float32)
    line, fx, fy = np.empty(WIDE, np.float32), np.empty(WIDE, np.float32), np.empty(WIDE, np.float32)
    place = np.empty(WIDE, np.int32)
    columns = np.uint64(wide)
    for y0 in range(0, height, TALL):
        rows = min(TALL, height - y0)
        for x0 in range(0, width, WIDE - window + 1):
            left = np.uint64(x0)
            _block(columns, xs, y0, left, rows + window - 1, _ZERO, x)
            _block(columns, ys, y0, left, rows + window - 1, _ZERO, y)
            _block(columns, depths, y0, left, rows + window - 1, _ZERO, depth)
            _block(columns, grey, y0, left, rows + window - 1, shift, g)
            _own_terms(columns, g, rows, window, ring, sums, totals, mean, scale)
            for r in range(rows):
                for c in range(columns):
                    top[r, c] = at[r, c] = below[r, c] = above[r, c] = last[r, c] = _NEVER
            for n in range(len(offsets)):
                _compared(
                    columns, n, x, y, depth, offsets[n], g, mean, scale, rows, window, Ps, addresses, sizes, shift,
                    place, fx, fy, ring, sums, totals, line, highest, top, at, below, above, last,
                )  # fmt: skip
            for r in range(rows):
                for c in range(min(WIDE - window + 1, width - x0)):
                    offset[y0 + r, x0 + c] = _peak(
                        top[r, c], at[r, c], below[r, c], above[r, c], np.float32(len(offsets))
                    )
                    score[y0 + r, x0 + c] = top[r, c]
