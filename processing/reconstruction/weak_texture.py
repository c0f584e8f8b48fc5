"""Weak texture: how precisely photographs tell depth there, and depth smoothed as far as it is told poorly.

A correlation says how well windows match, not how sharply: an even slope of grey matches itself wherever it is laid,
and faint pores under noise correlate little where they match best. What the grey levels within a window can tell of
depth (Fisher's information) says both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Gray
from processing.geometry.cameras import Camera
from processing.reconstruction.image_pyramid import calm_variance
from processing.reconstruction.surface_reconstruction import filled

LEAST_NOISE = 0.7  # grey levels squared, of a pixel; quantisation and compression leave no less
SCHARR = 1 / 32  # makes Scharr's filter a derivative by the pixel
SCHARR_NOISE = 2 * (9 + 100 + 9) * SCHARR**2  # variance of that derivative, of that of a pixel
CHANCE_SCORE = 0.2  # the best of several correlations of noise
SURE_PX = 0.25  # a depth told to within so many footprints is left as matching found it
FLOOR_PX = 0.15  # no match is more precise, footprints
BEND_PX = 0.04  # by which the surface departs from its start over a pixel, footprints; twice as far over two, and so on
LEAST_PRECISION = 0.05  # mm^-2, of the start itself
OUTLIER = 2.5  # standard deviations
STEEP = 4.0  # a window in which the depth ranges over more than so many footprints a pixel holds a step, not a slope
# Windows of neighbouring pixels overlap: by how much less than fourfold the information grows as four become one.
GROWTH = (1.2, 1.7, 2.6, 3.5, 4.0)
Sensitivity = tuple[float, float, float]


def sensitivity(camera: Camera, others: Sequence[Camera], point_mm: Floats, best: int) -> Sensitivity:
    """(xx, xy, yy), (px/mm)^2: how far pixels move against each other where depth is off by a millimetre.

    Summed over the pinhole cameras that a view is compared with, as far as the `best` of them count, in the view's
    pixels, for a surface at point_mm that faces the view.
    """
    x, depth = camera.project(point_mm[None])[0], float(camera.depth(point_mm[None])[0])
    back = camera.R.T @ np.linalg.inv(camera.K)
    total = np.zeros((2, 2))
    for other in others:

        def seen(dx: float, dy: float, nearer: float, other: Camera = other) -> Floats:
            ray = back @ np.array([x[0] + dx, x[1] + dy, 1.0])
            return np.asarray(other.project((camera.centre + ray * (depth + nearer))[None])[0])

        middle = seen(0, 0, 0)
        across = np.stack([seen(1, 0, 0) - middle, seen(0, 1, 0) - middle], axis=1)
        if abs(np.linalg.det(across)) > 1e-6:
            move = np.linalg.solve(across, seen(0, 0, 0.1) - middle) / 0.1
            total += np.outer(move, move)
    total *= min(best, len(others)) / max(len(others), 1)
    return float(total[0, 0]), float(total[0, 1]), float(total[1, 1])


def noise_variance(grey: Gray) -> float:
    """Of a pixel, grey levels squared, as `calm_variance` finds it, but no less than LEAST_NOISE."""
    return max(calm_variance(grey), LEAST_NOISE)


def information(grey: Gray, sensitive: Sensitivity, window: int, noise: float) -> Gray:
    """(h, w) mm^-2: the inverse variance of depth found by correlating windows, as their grey levels bound it.

    Only differences of gradients count: a correlation does not see an even slope.  noise: variance of a pixel.
    """
    xx, xy, yy = sensitive
    gx = cv2.Scharr(grey, -1, 1, 0, scale=SCHARR)
    gy = cv2.Scharr(grey, -1, 0, 1, scale=SCHARR)

    def box(values: Gray) -> Gray:
        return np.asarray(cv2.boxFilter(values, -1, (window, window)), dtype=np.float32)

    mx, my = box(gx), box(gy)
    along = xx * (box(gx * gx) - mx * mx) + 2 * xy * (box(gx * gy) - mx * my) + yy * (box(gy * gy) - my * my)
    along -= np.float32(SCHARR_NOISE * noise * (xx + yy))
    return np.asarray(np.maximum(along, 0) * (window * window / (2 * noise)), dtype=np.float32)


def away_from_edges(start: Gray, window: int, footprint_mm: float) -> Bools:
    """(h, w) where a window lies on the start's surface as a whole: no outline (NaN beyond), no step runs through."""
    known = np.isfinite(start)
    depth = filled(start)
    within = np.ones((window, window), np.uint8)
    even = cv2.dilate(depth, within) - cv2.erode(depth, within) < STEEP * window * footprint_mm
    return np.asarray(even & (cv2.erode(known.astype(np.uint8), within) > 0))


@dataclass(frozen=True, eq=False)
class Regularisation:
    """What averages the offsets of a view's tile as widely as they are told poorly."""

    #: (h, w) mm^-2, of each match by itself: `information`.
    told: Gray
    #: (h, w) `away_from_edges`. Beside them the start is no prior, and windows hold what moves otherwise:
    even: Bools
    #: there a match that scores more than this is taken as it is, and tells its neighbours nothing.
    least_score: float
    footprint_mm: float

    def __call__(self, start: Gray, found: Gray, calm: Gray, score: Gray) -> tuple[Gray, Gray]:
        """Depth (mm) and its precision (mm^-2), both (h, w).

        start: the depth from which it was sought, mm, known everywhere; offsets from it are a smooth field, so that the
        surface keeps its shape (a prior of second order).  found: as matched.  calm: `found` smoothed for where it is
        told well.  score: of the matches.
        """
        surely = np.square(((score - np.float32(CHANCE_SCORE)) / (1 - CHANCE_SCORE)).clip(0, 1)) * self.told * self.even
        weight = surely / (1 + surely * np.float32((FLOOR_PX * self.footprint_mm) ** 2))
        moved = found - start
        offset, precision = self._averaged(weight, moved)
        # Once more without what lies far from the rest: matches of highlights and of what is seen past an edge.
        limit = np.float32(OUTLIER**2) * (1 / np.maximum(weight, np.float32(1e-6)) + 1 / precision)
        offset, precision = self._averaged(weight / (1 + np.square(np.square(moved - offset) / limit)), moved)
        least = np.float32((SURE_PX * self.footprint_mm) ** -2)
        sure = np.square(surely)
        sure /= sure + least * least
        sure[~self.even & (score > self.least_score)] = 1
        return np.asarray(sure * calm + (1 - sure) * (start + offset), dtype=np.float32), precision

    def _averaged(self, weight: Gray, moved: Gray) -> tuple[Gray, Gray]:
        """A pyramid of the offsets: each level takes from the one above as much as its own pixels leave open (Gortler
        et al. 1996, "push-pull").
        """
        weights, offsets = [weight], [moved]
        for growth in GROWTH:
            if min(weights[-1].shape) < 4:
                break
            mean = cv2.pyrDown(weights[-1])
            offsets.append(cv2.pyrDown(weights[-1] * offsets[-1]) / np.maximum(mean, np.float32(1e-9)))
            weights.append(mean * np.float32(growth))
        offset, precision = np.zeros_like(offsets[-1]), np.full_like(offsets[-1], LEAST_PRECISION)
        for k in range(len(weights) - 1, -1, -1):
            if offset.shape != weights[k].shape:
                size = weights[k].shape[1], weights[k].shape[0]
                offset, precision = (
                    np.asarray(cv2.pyrUp(a, dstsize=size), dtype=np.float32) for a in (offset, precision)
                )
            bend = np.float32((BEND_PX * self.footprint_mm * 2**k) ** 2)
            prior = 1 / (1 / np.maximum(precision, np.float32(LEAST_PRECISION)) + bend)
            precision = np.asarray(weights[k] + prior, dtype=np.float32)
            offset = np.asarray((weights[k] * offsets[k] + prior * offset) / precision, dtype=np.float32)
        return offset, precision
