"""Place recognition: whether a photograph shows what its camera would see in its place, as its features tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, poisson

from common.array_types import Bools, Floats
from processing.camera_check.feature_matching import Features
from processing.camera_check.feature_network import SparsePoints

_ALIKE = 0.75  # cosine of descriptors of one place
_NEAR_PX = 6.0  # a point is found where such a feature lies so near
_DECOYS = 8  # places beside each point's, where it is found by chance alone ...
_DECOY_PX = 40.0  # ... so far off
_CELL_PX = 4.0  # points that lie together in the picture are one
_IMPROBABLE = 1e-3  # a verdict is given where the opposite would come about as rarely
_LEAST_SHARE = 0.5  # a camera in its place finds at least this part of what its neighbours find


@dataclass(frozen=True)
class Recognition:
    """How many of the points that a camera should see its photograph shows where they should be."""

    #: Points that it should see, told apart in its picture.
    asked: int
    #: Those found where they should be ...
    found: int
    #: ... and those found as far beside it, on average.
    by_chance: float

    @property
    def share(self) -> float:
        """Of the points not found by chance, those that are found."""
        return max(self.found - self.by_chance, 0.0) / max(self.asked - self.by_chance, 1.0)

    def holds(self) -> bool:
        """Whether so many would be found by chance too rarely for the photograph to be from anywhere else."""
        return bool(poisson.sf(self.found - 1, self.by_chance + 1.0) < _IMPROBABLE)

    def fails(self, usual: float) -> bool:
        """Whether a camera in its place would find so few too rarely. usual: the neighbours' share."""
        expected = _LEAST_SHARE * usual
        chance = self.by_chance / max(self.asked, 1)
        return bool(binom.cdf(self.found, self.asked, chance + (1 - chance) * expected) < _IMPROBABLE)


def recognise(
    view: int, shown: Sequence[Features], points: SparsePoints, near: Sequence[int], widest_deg: float
) -> Recognition:
    """Look in a view's photograph for the points that others see.

    shown: what each view shows.  near: the view's neighbours, of which one sees a point that is asked for, beside
    another view.  widest_deg: how far from the middle of those that see it.
    """
    features = shown[view]
    others = points.seen.copy()
    others[:, view] = False
    chosen = (others.sum(axis=1) >= 2) & others[:, list(near)].any(axis=1)
    chosen[chosen] = points.of(chosen).asked([f.camera for f in shown], widest_deg)[view]
    at = features.camera.project(points.points_mm[chosen])
    size = np.array([features.camera.width, features.camera.height])
    with np.errstate(invalid="ignore"):
        inside = ((at >= 0) & (at <= size - 1)).all(axis=1)
    at, descriptors = at[inside], points.descriptors[chosen][inside]
    first = np.unique((at // _CELL_PX).astype(np.int64), axis=0, return_index=True)[1]
    at, descriptors = at[first], descriptors[first]
    if not len(at) or not len(features.pixels):
        return Recognition(len(at), 0, 0.0)
    alike = descriptors @ features.descriptors.T > _ALIKE
    turns = 2 * np.pi * (np.arange(_DECOYS) + 0.5) / _DECOYS
    decoys = [_found(at + _DECOY_PX * np.array([np.cos(a), np.sin(a)]), features.pixels, alike) for a in turns]
    return Recognition(len(at), _found(at, features.pixels, alike), float(np.mean(decoys)))


def _found(at: Floats, pixels: Floats, alike: Bools) -> int:
    """How many of (P, 2) px have one of (N, 2) px near that looks (P, N) alike."""
    where, which = np.nonzero(alike)
    near = np.linalg.norm(at[where] - pixels[which], axis=1) < _NEAR_PX
    return len(np.unique(where[near]))
