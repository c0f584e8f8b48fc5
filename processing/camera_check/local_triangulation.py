"""Local triangulation: points that the neighbours of a view agree on, and where the view itself saw them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from common.array_types import Bools, Floats, Ints64
from processing.camera_check.feature_matching import Features
from processing.geometry.cameras import Camera
from processing.geometry.lines import meet_lines

_PARALLAX_DEG = 2.5
_RIDGE = 1e-12  # keeps parallel rays solvable


@dataclass(frozen=True, eq=False)
class LocalTriangulation:
    """What the neighbours say about n features of one view."""

    #: (n,) which of the view's features.
    feature: Ints64
    #: (n, 3) head frame, triangulated without the view.
    points_mm: Floats
    #: (n, 2) px, where the view has them.
    observed: Floats
    #: (n, k) which of the k neighbours agree.
    agreeing: Bools
    #: The k views.
    neighbours: tuple[int, ...]

    def residuals(self, camera: Camera) -> Floats:
        """(n, 2) px: observed minus projected, by a camera without distortion."""
        return np.asarray(self.observed - camera.project(self.points_mm))


def triangulate_from_neighbours(
    view: int,
    neighbours: Sequence[int],
    features: Sequence[Features],
    matches: dict[tuple[int, int], Ints64],
    tol: float,
) -> LocalTriangulation:
    """Triangulate each feature of a view from its matches in the neighbours alone.

    matches[i, j]: (N_i,) the feature of j that matches each of i, or -1.  tol: px, within which neighbours agree.
    Every pair of neighbours proposes a point, that of most agreement wins and is fitted to all that agree; two
    neighbours must, at 2.5 degrees at least.
    """
    count, k = len(features[view].pixels), len(neighbours)
    seen = np.zeros((count, k), bool)
    pixels = np.zeros((count, k, 2))
    rays = np.zeros((count, k, 3))
    centres = np.zeros((k, 3))
    for n, j in enumerate(neighbours):
        index = matches[view, j]
        seen[:, n] = index >= 0
        chosen = index[seen[:, n]]
        pixels[seen[:, n], n] = features[j].pixels[chosen]
        if len(chosen):
            rays[seen[:, n], n] = features[j].camera.rays(features[j].pixels[chosen])
        centres[n] = features[j].camera.centre
    keep = np.flatnonzero(seen.sum(axis=1) >= 2)
    seen, pixels, rays = seen[keep], pixels[keep], rays[keep]
    cameras = [features[j].camera for j in neighbours]
    best = np.zeros(len(keep), int)
    agreeing = np.zeros((len(keep), k), bool)
    error = np.full(len(keep), np.inf)
    for a, b in combinations(range(k), 2):
        both = np.flatnonzero(seen[:, a] & seen[:, b])
        both = both[(rays[both, a] * rays[both, b]).sum(1) < np.cos(np.radians(_PARALLAX_DEG))]
        if not len(both):
            continue
        points = meet_lines(centres[[a, b]], rays[both][:, [a, b]], ridge=_RIDGE)
        off = _errors(cameras, points, pixels[both])
        agree = seen[both] & (off < tol) & ((off[:, a] < tol) & (off[:, b] < tol))[:, None]
        number = agree.sum(1)
        total = np.where(agree, off, 0).sum(1) / np.maximum(number, 1)
        wins = (number > best[both]) | ((number == best[both]) & (total < error[both]))
        wins &= number >= 2
        chosen = both[wins]
        best[chosen], agreeing[chosen], error[chosen] = number[wins], agree[wins], total[wins]
    good = best >= 2
    points = meet_lines(centres, rays[good], agreeing[good].astype(float), ridge=_RIDGE)
    feature = keep[good]
    return LocalTriangulation(feature, points, features[view].pixels[feature], agreeing[good], tuple(neighbours))


def _errors(cameras: Sequence[Camera], points: Floats, pixels: Floats) -> Floats:
    """(n, k) px between where each camera should see the points and where it does; inf behind it."""
    off = np.stack([np.linalg.norm(c.project(points) - pixels[:, n], axis=1) for n, c in enumerate(cameras)], axis=1)
    return np.asarray(np.nan_to_num(off, nan=np.inf))
