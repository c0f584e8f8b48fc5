"""Correlation of one view with its neighbours along each pixel's ray: the CPU kernels (OpenCV, NumPy).

Measured on two cores for one megapixel: remap 0.7 ms against 3.3 ms of grid_sample, a 7 x 7 box filter 1.2 ms against
14 ms of avg_pool2d; so the CPU path is OpenCV's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from processing.cameras import Camera
from processing.reconstruction.settings import Bools, Floats, Gray

NOISE_VARIANCE = 1.0  # grey levels squared: below this a window is flat and correlates with nothing
OWN_SHARE = 0.06  # of the variance of a window that its middle must carry
BAND_PIXELS = 60_000  # rows are matched in bands of about this many pixels: the working set stays in the cache


@dataclass(frozen=True, eq=False)
class Region:
    """A rectangle of an image: rows y0..y1, columns x0..x1, ends excluded."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def rows(self) -> slice:
        return slice(self.y0, self.y1)

    @property
    def columns(self) -> slice:
        return slice(self.x0, self.x1)

    def grown(self, margin: int, shape: tuple[int, int]) -> "Region":
        """This rectangle with a margin, as far as an image of such a (height, width) goes."""
        height, width = shape
        return Region(
            max(self.y0 - margin, 0),
            min(self.y1 + margin, height),
            max(self.x0 - margin, 0),
            min(self.x1 + margin, width),
        )

    def within(self, outer: "Region") -> tuple[slice, slice]:
        """Where this rectangle lies in an array of the outer one."""
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )

    def bands(self, pixels: int, window: int) -> Iterator[tuple[slice, "Region", slice]]:
        """Bands of about so many pixels: rows of the region, the band with its halo, which rows of the band to keep."""
        height, width = self.shape
        rows, halo = max(4 * window, pixels // max(width, 1)), window // 2
        for start in range(0, height, rows):
            stop = min(start + rows, height)
            top, bottom = max(start - halo, 0), min(stop + halo, height)
            band = Region(self.y0 + top, self.y0 + bottom, self.x0, self.x1)
            yield slice(start, stop), band, slice(start - top, stop - top)


def tiles(mask: Bools, side: int, share: float) -> Iterator[Region]:
    """Rectangles one tile high that cover the tiles of which more than such a share is set; neighbours are joined."""
    height, width = mask.shape
    for y in range(0, height, side):
        bottom = min(y + side, height)
        begun: int | None = None
        for x in range(0, width + side, side):
            full = x < width and float(mask[y:bottom, x : x + side].mean()) > share
            if full and begun is None:
                begun = x
            elif not full and begun is not None:
                yield Region(y, bottom, begun, min(x, width))
                begun = None


class Kernels(Protocol):
    """Where matching runs: `OpenCvKernels` or `matching_torch.TorchKernels`."""

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
        image: Gray,
        camera: Camera,
        others: Sequence[tuple[Gray, Camera]],
        depth: Gray,
        region: Region,
        step_mm: float,
        reach: int,
        window: int,
        best: int,
    ) -> tuple[Gray, Gray]:
        """Search depth + k step for k in -reach..reach, windows following the given depth map (Beeler et al. 2010).

        depth: the region's current depth map, mm, filled everywhere. Returns the region's new depth and its score.
        Within the search the projection is linear in the offset: its error is below 0.01 px for offsets under 1 % of
        the depth.
        """


def projection(reference: Camera, other: Camera) -> tuple[Floats, Floats]:
    """M (3, 3) and b (3,): pixel p of the reference at depth d is seen by the other at M p d + b (pinhole cameras)."""
    R = other.R @ reference.R.T
    return other.K @ R @ np.linalg.inv(reference.K), other.K @ (other.t - R @ reference.t)


def ray_terms(reference: Camera, other: Camera, region: Region) -> tuple[tuple[Gray, Gray, Gray], Floats]:
    """q (three maps of the region) and b (3,) so that pixel p at depth d of the reference is seen at q(p) d + b."""
    M, b = projection(reference, other)
    x = np.arange(region.x0, region.x1, dtype=np.float64)
    y = np.arange(region.y0, region.y1, dtype=np.float64)
    q = [(M[k, 0] * x[None, :] + (M[k, 1] * y + M[k, 2])[:, None]).astype(np.float32) for k in range(3)]
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
    terms = [ray_terms(camera, other, region) for _, other in others]
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
    image: Gray,
    camera: Camera,
    others: Sequence[tuple[Gray, Camera]],
    depth: Gray,
    region: Region,
    step_mm: float,
    reach: int,
    window: int,
    best: int,
) -> tuple[Gray, Gray]:
    """See `Kernels.refine`."""
    new, score = np.empty_like(depth), np.empty_like(depth)
    for inner, band, kept in region.bands(BAND_PIXELS, window):
        start = depth[band.y0 - region.y0 : band.y1 - region.y0]
        at, value = _refine_band(image, camera, others, start, band, step_mm, reach, window, best)
        new[inner] = depth[inner] + (at[kept] - reach) * np.float32(step_mm)
        score[inner] = value[kept]
    return new, score


def _refine_band(
    image: Gray,
    camera: Camera,
    others: Sequence[tuple[Gray, Camera]],
    depth: Gray,
    band: Region,
    step_mm: float,
    reach: int,
    window: int,
    best: int,
) -> tuple[Gray, Gray]:
    correlate = _Correlation(np.ascontiguousarray(image[band.y0 : band.y1, band.x0 : band.x1]), window)
    count = 2 * reach + 1
    scores = np.empty((count, len(others), *band.shape), np.float32)
    for k, (other_image, other) in enumerate(others):
        (qx, qy, qz), b = ray_terms(camera, other, band)
        inverse = 1 / np.maximum(qz * depth + np.float32(b[2]), 1e-3)
        mx = (qx * depth + np.float32(b[0])) * inverse
        my = (qy * depth + np.float32(b[1])) * inverse
        inverse *= np.float32(step_mm)
        dx, dy = (qx - mx * qz) * inverse, (qy - my * qz) * inverse
        mx -= reach * dx
        my -= reach * dy
        for n in range(count):
            warped = cv2.remap(other_image, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
            scores[n, k] = correlate(warped)
            mx += dx
            my += dy
    volume = np.stack([best_mean(scores[n], best) for n in range(count)])
    return peak(volume)


class OpenCvKernels:
    """The kernels of the CPU."""

    sweep = staticmethod(sweep)
    refine = staticmethod(refine)
