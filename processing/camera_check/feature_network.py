"""The features of a take's views, which views are compared, and the points that follow from them."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Ints64
from processing.camera_check.feature_matching import Features, match_along_lines
from processing.camera_check.local_triangulation import LocalTriangulation, star
from processing.camera_check.settings import CameraCheckSettings
from processing.geometry.cameras import Camera
from processing.geometry.working_volume import Volume, angles_between

_NEAREST_DEG = 3.0  # closer views triangulate nothing
_SPARSE_DEG = 60.0  # where fewer than three are near, views up to here help


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """points_mm: (P, 3) head frame.  seen: (P, V) by which views.  descriptors: (P, 128), as one of them has it."""

    points_mm: Floats
    seen: Bools
    descriptors: NDArray[np.float32]

    def asked(self, view: int, camera: Camera, cameras: Sequence[Camera], widest_deg: float) -> Bools:
        """(P,) the points that a camera ought to see: near in angle to the views that do, itself not counted."""
        others = self.seen.copy()
        others[:, view] = False
        centres = np.stack([c.centre for c in cameras])
        rays = centres[None] - self.points_mm[:, None]
        rays /= np.linalg.norm(rays, axis=2, keepdims=True)
        mean = (rays * others[..., None]).sum(1)
        mean /= np.linalg.norm(mean, axis=1, keepdims=True).clip(1e-9)
        mine = camera.centre - self.points_mm
        mine /= np.linalg.norm(mine, axis=1, keepdims=True)
        return np.asarray((others.sum(1) >= 2) & ((mine * mean).sum(1) > np.cos(np.radians(widest_deg))))


@dataclass(eq=False)
class FeatureNetwork:
    """Views by number. `features` say what each shows and which camera is believed to have taken it.

    active: the views that may vouch for others.
    """

    features: list[Features]
    volume: Volume
    settings: CameraCheckSettings
    pool: Executor
    active: set[int]
    near: list[list[int]] = field(default_factory=list)
    partner: dict[tuple[int, int], Ints64] = field(default_factory=dict)

    def link(self) -> None:
        """Choose neighbours and match those pairs that have not been matched."""
        self.near = _neighbours([f.camera for f in self.features], self.volume.centre_mm, self.settings)
        pairs = [(i, j) for i, near in enumerate(self.near) for j in near if i < j and (i, j) not in self.partner]
        for (i, j), matches in zip(pairs, self.pool.map(self._match, pairs), strict=True):
            forth = np.full(len(self.features[i].pixels), -1, np.int64)
            back = np.full(len(self.features[j].pixels), -1, np.int64)
            forth[matches[:, 0]], back[matches[:, 1]] = matches[:, 1], matches[:, 0]
            self.partner[i, j], self.partner[j, i] = forth, back

    def _match(self, pair: tuple[int, int]) -> Ints64:
        a, b = (self.features[v] for v in pair)
        return match_along_lines(a, b, self.volume.centre_mm, self.volume.radius_mm, self.settings.band_px)

    def place(self, view: int, lens: Camera) -> None:
        """From now on `lens` (working size, with distortion) is believed to have taken this view's photograph."""
        self.features[view] = self.features[view].placed(lens)
        self.partner = {pair: found for pair, found in self.partner.items() if view not in pair}

    def star(self, view: int) -> LocalTriangulation:
        """What the active neighbours say about a view's features."""
        near = [j for j in self.near[view] if j in self.active]
        return star(view, near, self.features, self.partner, self.settings.tolerance_px)

    def stars(self, views: Iterable[int]) -> dict[int, LocalTriangulation]:
        chosen = list(views)
        return dict(zip(chosen, self.pool.map(self.star, chosen), strict=True))

    def map(self, work: Callable[[int], object], views: Sequence[int]) -> None:
        for _ in self.pool.map(work, views):
            pass

    def cloud(self, stars: dict[int, LocalTriangulation], most: int) -> SparsePoints:
        """The stars' points within the subject's sphere that their own views agree on, thinned evenly to `most`."""
        points, seen, descriptors = [np.zeros((0, 3))], [np.zeros((0, len(self.features)), bool)], []
        for view, found in stars.items():
            off = np.linalg.norm(found.residuals(self.features[view].camera), axis=1)
            inside = np.linalg.norm(found.points_mm - self.volume.centre_mm, axis=1) < self.volume.radius_mm
            good = (off < 2 * self.settings.tolerance_px) & inside if view in self.active else inside
            mask = np.zeros((int(good.sum()), len(self.features)), bool)
            mask[:, list(found.neighbours)] = found.agreeing[good]
            mask[:, view] = view in self.active
            points.append(found.points_mm[good])
            seen.append(mask)
            descriptors.append(self.features[view].descriptors[found.feature[good]])
        p, s = np.concatenate(points), np.concatenate(seen)
        d = np.concatenate([np.zeros((0, 128), np.float32), *descriptors])
        pick = np.linspace(0, len(p) - 1, min(most, len(p))).astype(np.intp)
        return SparsePoints(p[pick], s[pick], d[pick])


def _neighbours(cameras: Sequence[Camera], focus_mm: Floats, settings: CameraCheckSettings) -> list[list[int]]:
    """The nearest in angle, in turn on different sides, made mutual."""
    angle = angles_between(cameras, focus_mm)
    near: list[set[int]] = [set() for _ in cameras]
    for i in range(len(cameras)):
        order = [int(j) for j in np.argsort(angle[i]) if j != i and angle[i, j] >= _NEAREST_DEG]
        inside = [j for j in order if angle[i, j] <= settings.widest_deg]
        chosen = inside[: settings.neighbours]
        if len(chosen) < 3:
            chosen = [j for j in order if angle[i, j] <= _SPARSE_DEG][:3]
        for j in chosen:
            near[i].add(j)
            near[j].add(i)
    return [sorted(n, key=lambda j, i=i: float(angle[i, j])) for i, n in enumerate(near)]  # type: ignore[misc]
