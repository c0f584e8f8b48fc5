"""Procrustes alignment: the rigid motion or similarity that brings one point set onto another."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from processing.errors import DataError, ShapeError


class Degenerate(DataError):
    """The points do not fix a motion."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """A similarity x -> scale R x + t."""

    scale: float
    #: (3, 3) a proper rotation.
    R: Floats
    #: (3,) mm.
    t: Floats

    def __call__(self, points_mm: Floats) -> Floats:
        """(..., 3) -> (..., 3)."""
        return np.asarray(self.scale * (points_mm @ self.R.T) + self.t)

    def inverse(self) -> "Similarity":
        """The motion that undoes this one."""
        return Similarity(1 / self.scale, self.R.T.copy(), np.asarray(-self.R.T @ self.t / self.scale))

    def after(self, first: "Similarity") -> "Similarity":
        """This motion applied to what `first` gives."""
        return Similarity(self.scale * first.scale, self.R @ first.R, self(first.t))


IDENTITY = Similarity(1.0, np.eye(3), np.zeros(3))


def fit_motion(
    source_mm: Floats, target_mm: Floats, weights: Floats | None = None, *, with_scale: bool = True
) -> Similarity:
    """The least-squares similarity (or rigid motion) from source to target.

    source_mm, target_mm: (N, 3), row by row.  weights: (N,) not negative, default 1.
    Raises Degenerate with fewer than three usable points or points on one line. Umeyama 1991.
    """
    source, target = np.asarray(source_mm, dtype=np.float64), np.asarray(target_mm, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != 3:
        raise ShapeError("source_mm", source.shape, "(N, 3)")
    if target.shape != source.shape:
        raise ShapeError("target_mm", target.shape, str(source.shape))
    w = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (len(source),):
        raise ShapeError("weights", w.shape, f"({len(source)},)")
    total = w.sum()
    if (w > 0).sum() < 3 or not np.isfinite(total):
        raise Degenerate(f"{int((w > 0).sum())} points do not fix a motion; three are needed")
    w = w / total
    mean_source, mean_target = w @ source, w @ target
    a, b = source - mean_source, target - mean_target
    spread = np.linalg.svd(a * np.sqrt(w)[:, None], compute_uv=False)
    if not spread[1] > 1e-9 * max(spread[0], 1e-300):
        raise Degenerate("the points lie on one line and do not fix a motion")
    u, s, vt = np.linalg.svd((b * w[:, None]).T @ a)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    R = (u * flip) @ vt
    scale = float((s * flip).sum() / np.square(spread).sum()) if with_scale else 1.0
    return Similarity(scale, R, mean_target - scale * R @ mean_source)


def fit_motion_robust(
    source_mm: Floats,
    target_mm: Floats,
    weights: Floats | None = None,
    *,
    with_scale: bool = True,
    noise_mm: float = 2.0,
    iterations: int = 12,
) -> Similarity:
    """fit_motion with points far off given little say (iteratively reweighted, Geman-McClure).

    noise_mm: errors below this are ordinary; the scale shrinks to it from the spread of the first fit.
    """
    base = np.ones(len(source_mm)) if weights is None else np.asarray(weights, dtype=np.float64)
    motion = fit_motion(source_mm, target_mm, base, with_scale=with_scale)
    for _ in range(iterations):
        off = np.linalg.norm(motion(source_mm) - target_mm, axis=1)
        sigma = max(noise_mm, 1.5 * float(np.median(off[base > 0])))
        motion = fit_motion(source_mm, target_mm, base / (1 + np.square(off / sigma)) ** 2, with_scale=with_scale)
    return motion
