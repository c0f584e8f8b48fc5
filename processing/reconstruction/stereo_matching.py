"""Stereo matching: correlation of one view with its neighbours along each pixel's ray.

Here in OpenCV and NumPy, an operation after the other, which is what `stereo_matching_compiled` (the CPU's) and
`stereo_matching_torch` are held to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from common.array_types import Bools, Floats, Gray
from processing.geometry.cameras import Camera
from processing.reconstruction.image_regions import Pixels, Region, bands

NOISE_VARIANCE = 1.0  # grey levels squared: below this a window is flat and correlates with nothing
OWN_SHARE = 0.06  # of the variance of a window that its middle must carry
BAND_PIXELS = 60_000  # rows are matched in bands of about this many pixels: the working set stays in the cache


@dataclass(frozen=True)
class DepthSearch:
    """Which depths about the current one a refinement compares, and how."""

    #: Between one hypothesis and the next.
    step_mm: float
    #: Hypotheses to either side of the current depth.
    reach: int
    #: Side of the correlation window, px.
    window: int
    #: So many of the neighbours' scores, the highest, make that of a hypothesis.
    best: int


class Kernels(Protocol):
    """Where matching runs: `CompiledKernels`, `TorchKernels`, or `OpenCvKernels` as their reference."""

    def sweep(
        self,
        image: Gray,
        camera: Camera,
        others: Sequence[tuple[Gray, Camera]],
        depths_mm: Floats,
        window: int,
        best: int,
    ) -> tuple[Gray, Gray]:
        """Fronto-parallel plane sweep: depth (mm) and score of every pixel. For the coarsest level, as a start."""

    def refine(
        self,
        pixels: Pixels,
        camera: Camera,
        others: Sequence[tuple[Gray, Camera]],
        depth: Gray,
        search: DepthSearch,
    ) -> tuple[Gray, Gray]:
        """Search depth + k step for k in -reach..reach, windows following the given depth map (Beeler et al. 2010).

        pixels: those of `camera`'s view whose depth is sought.  depth: (h, w) their current depth, mm, filled
        everywhere.  Returns their new depth and its score.
        """


def projection(reference: Camera, other: Camera) -> tuple[Floats, Floats]:
    """M (3, 3) and b (3,): pixel p of the reference at depth d is seen by the other at M p d + b (pinhole cameras)."""
    R = other.R @ reference.R.T
    return other.K @ R @ np.linalg.inv(reference.K), other.K @ (other.t - R @ reference.t)


def ray_terms(reference: Camera, other: Camera, x: Floats, y: Floats) -> tuple[tuple[Gray, Gray, Gray], Floats]:
    """q (three (h, w)) and b (3,) so that pixel p at depth d of the reference is seen at q(p) d + b.

    x, y: columns and rows of the reference's pixels, broadcastable to (h, w).
    """
    M, b = projection(reference, other)
    q = [(M[k, 0] * x + (M[k, 1] * y + M[k, 2])).astype(np.float32) for k in range(3)]
    return (q[0], q[1], q[2]), b


class _Correlation:
    """Zero-mean normalised cross-correlation of a fixed reference with warped others, by box filters."""

    def __init__(self, reference: Gray, window: int) -> None:
        self.window = (window, window)
        self.reference = reference
        self.mean = self._box(reference)
        self.scale = 1 / np.sqrt(
            np.maximum(self._box(reference * reference) - self.mean * self.mean, 0) + NOISE_VARIANCE
        )

    def _box(self, image: Gray) -> Gray:
        return np.asarray(cv2.boxFilter(image, -1, self.window, borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)

    def __call__(self, warped: Gray) -> Gray:
        mean = self._box(warped)
        product = self._box(cv2.multiply(warped, self.reference))
        square = self._box(cv2.multiply(warped, warped))
        cv2.subtract(product, cv2.multiply(mean, self.mean), dst=product)
        cv2.subtract(square, cv2.multiply(mean, mean), dst=square)
        np.maximum(square, 0, out=square)
        square += NOISE_VARIANCE
        np.sqrt(square, out=square)
        cv2.divide(product, square, dst=product)
        return np.asarray(cv2.multiply(product, self.scale), dtype=np.float32)


def own_detail(image: Gray, window: int) -> Bools:
    """(h, w) where the 3 x 3 around a pixel carries some of its window's variance.

    Beside an outline against an even background it does not: the window matches the outline, and the pixel would take
    the subject's depth ("fattening").
    """

    def variance(side: int) -> Gray:
        mean = cv2.boxFilter(image, -1, (side, side))
        return np.asarray(cv2.boxFilter(image * image, -1, (side, side)) - mean * mean, dtype=np.float32)

    return np.asarray(variance(3) > OWN_SHARE * variance(window))


def best_mean(scores: Gray, best: int) -> Gray:
    """Mean of the `best` highest along axis 0 of (K, ...), by partial bubble sort (K is small)."""
    rows = [scores[k] for k in range(len(scores))]
    best = min(best, len(rows))
    if best == len(rows):
        return np.asarray(scores.mean(axis=0), dtype=np.float32)
    total: Gray | None = None
    for _ in range(best):
        top = rows[0]
        rest = []
        for row in rows[1:]:
            rest.append(cv2.min(top, row))
            top = cv2.max(top, row)
        total = top if total is None else cv2.add(total, top)
        rows = rest
    assert total is not None
    return np.asarray(total / best, dtype=np.float32)


def peak(volume: Gray) -> tuple[Gray, Gray]:
    """Best hypothesis with a parabola through its neighbours: offset in hypotheses (H from 0) and its score.

    volume: (H, h, w). At either end the parabola is not used.
    """
    count = len(volume)
    at = volume.argmax(axis=0)
    inner = np.clip(at, 1, count - 2)
    take = np.take_along_axis
    below, middle, above = (take(volume, (inner + k)[None], axis=0)[0] for k in (-1, 0, 1))
    bend = below - 2 * middle + above
    shift = np.where(bend < -1e-6, 0.5 * (below - above) / np.minimum(bend, -1e-6), 0)
    offset = inner + np.clip(shift, -1, 1)
    end = at != inner
    top = take(volume, at[None], axis=0)[0]
    return np.where(end, at, offset).astype(np.float32), top.astype(np.float32)


def sweep(
    image: Gray, camera: Camera, others: Sequence[tuple[Gray, Camera]], depths_mm: Floats, window: int, best: int
) -> tuple[Gray, Gray]:
    """See `Kernels.sweep`."""
    height, width = image.shape
    region = Region(0, height, 0, width)
    correlate = _Correlation(image, window)
    terms = [ray_terms(camera, other, region.x, region.y) for _, other in others]
    volume = np.empty((len(depths_mm), height, width), np.float32)
    for n, depth in enumerate(depths_mm):
        scores = np.empty((len(others), height, width), np.float32)
        for k, (other_image, _) in enumerate(others):
            (qx, qy, qz), b = terms[k]
            inverse = 1 / np.maximum(qz * np.float32(depth) + np.float32(b[2]), 1e-3)
            mx = (qx * np.float32(depth) + np.float32(b[0])) * inverse
            my = (qy * np.float32(depth) + np.float32(b[1])) * inverse
            warped = cv2.remap(other_image, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
            scores[k] = correlate(warped)
        volume[n] = best_mean(scores, best)
    at, score = peak(volume)
    return np.interp(at, np.arange(len(depths_mm)), depths_mm).astype(np.float32), score


def refine(
    pixels: Pixels,
    camera: Camera,
    others: Sequence[tuple[Gray, Camera]],
    depth: Gray,
    search: DepthSearch,
) -> tuple[Gray, Gray]:
    """See `Kernels.refine`."""
    new, score = np.empty_like(depth), np.empty_like(depth)
    for band in bands(depth.shape, BAND_PIXELS, search.window // 2, 4 * search.window):
        at, value = _refine_band(pixels.band(band.around), camera, others, depth[band.around], search)
        new[band.kept] = depth[band.kept] + (at[band.within] - search.reach) * np.float32(search.step_mm)
        score[band.kept] = value[band.within]
    return new, score


def _refine_band(
    pixels: Pixels, camera: Camera, others: Sequence[tuple[Gray, Camera]], depth: Gray, search: DepthSearch
) -> tuple[Gray, Gray]:
    """The best hypothesis of each pixel, as `peak` has it."""
    step_mm, reach = search.step_mm, search.reach
    correlate = _Correlation(pixels.grey, search.window)
    count = 2 * reach + 1
    starts = []
    for other_image, other in others:
        (qx, qy, qz), b = ray_terms(camera, other, pixels.x, pixels.y)
        inverse = 1 / np.maximum(qz * depth + np.float32(b[2]), 1e-3)
        mx = (qx * depth + np.float32(b[0])) * inverse
        my = (qy * depth + np.float32(b[1])) * inverse
        dx, dy = (qx - mx * qz) * inverse, (qy - my * qz) * inverse
        starts.append((other_image, mx, my, dx, dy, qz * inverse))
    volume = np.empty((count, *depth.shape), np.float32)
    scores = np.empty((len(others), *depth.shape), np.float32)
    for n in range(count):
        offset = np.float32((n - reach) * step_mm)
        for k, (other_image, mx, my, dx, dy, nearing) in enumerate(starts):
            # At depth d + o the pixel is seen at m + o dm / (1 + o qz / z), exactly.
            share = offset / (1 + offset * nearing)
            x, y = mx + share * dx, my + share * dy
            warped = cv2.remap(other_image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
            scores[k] = correlate(warped)
        volume[n] = best_mean(scores, search.best)
    return peak(volume)


class OpenCvKernels:
    """The reference."""

    sweep = staticmethod(sweep)
    refine = staticmethod(refine)
