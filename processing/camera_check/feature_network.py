"""The features of a take's views, which views are compared, and the points that follow from them."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from common.array_types import Bools, Floats, Floats32, Ints64
from processing.camera_check.feature_matching import Features, match_along_lines
from processing.camera_check.local_triangulation import LocalTriangulation, triangulate_from_neighbours
from processing.camera_check.settings import CameraCheckSettings
from processing.geometry.cameras import Camera
from processing.geometry.working_volume import Volume, angles_between

_NEAREST_DEG = 3.0  # closer views triangulate nothing
_SPARSE_DEG = 60.0  # where fewer than three are near, views up to here help


@dataclass(frozen=True, eq=False)
class SparsePoints:
    """A sparse point cloud of the subject, from features that several views agree on."""

    #: (P, 3) head frame.
    points_mm: Floats
    #: (P, V) by which views.
    seen: Bools
    #: (P, 128) as one of them has it.
    descriptors: Floats32

    def of(self, chosen: Bools) -> "SparsePoints":
        """The chosen ones of (P,) points."""
        return SparsePoints(self.points_mm[chosen], self.seen[chosen], self.descriptors[chosen])

    def asked(self, cameras: Sequence[Camera], widest_deg: float) -> Bools:
        """(V, P) the points that each camera ought to see: near in angle to the views that do, itself not counted."""
        rays = np.stack([c.centre for c in cameras])[:, None] - self.points_mm
        rays /= np.sqrt(np.einsum("vpk,vpk->vp", rays, rays))[..., None]
        seen = self.seen.T.astype(np.float64)
        others = np.einsum("vp,vpk->pk", seen, rays) - seen[..., None] * rays
        along = np.einsum("vpk,vpk->vp", rays, others)
        length = np.sqrt(np.einsum("vpk,vpk->vp", others, others))
        near = along > np.cos(np.radians(widest_deg)) * length.clip(1e-9)
        return np.asarray((seen.sum(axis=0) - seen >= 2) & near)


@dataclass(eq=False)
class FeatureNetwork:
    """The match graph of a take: views by number, joined where their features are matched."""

    #: What each view shows, and the camera that is believed to have taken it.
    features: list[Features]
    volume: Volume
    settings: CameraCheckSettings
    pool: Executor
    #: The views that may vouch for others.
    active: set[int]
    #: The neighbours of each view, nearest in angle first; mutual.
    near: list[list[int]] = field(default_factory=list)
    #: matches[i, j]: (N_i,) the feature of j that matches each of i, or -1.
    matches: dict[tuple[int, int], Ints64] = field(default_factory=dict)

    def link(self) -> None:
        """Choose neighbours and match those pairs that have not been matched."""
        self.near = _neighbours([f.camera for f in self.features], self.volume.centre_mm, self.settings)
        pairs = [(i, j) for i, near in enumerate(self.near) for j in near if i < j and (i, j) not in self.matches]
        for (i, j), found in zip(pairs, self.pool.map(self._match, pairs), strict=True):
            forth = np.full(len(self.features[i].pixels), -1, np.int64)
            back = np.full(len(self.features[j].pixels), -1, np.int64)
            forth[found[:, 0]], back[found[:, 1]] = found[:, 1], found[:, 0]
            self.matches[i, j], self.matches[j, i] = forth, back

    def _match(self, pair: tuple[int, int]) -> Ints64:
        a, b = (self.features[v] for v in pair)
        return match_along_lines(a, b, self.volume.centre_mm, self.volume.radius_mm, self.settings.band_px)

    def assign_camera(self, view: int, lens: Camera) -> None:
        """From now on `lens` (working size, with distortion) is believed to have taken this view's photograph."""
        self.features[view] = self.features[view].with_camera(lens)
        self.matches = {pair: found for pair, found in self.matches.items() if view not in pair}

    def triangulate(self, view: int) -> LocalTriangulation:
        """What the active neighbours say about a view's features."""
        near = [j for j in self.near[view] if j in self.active]
        return triangulate_from_neighbours(view, near, self.features, self.matches, self.settings.tolerance_px)

    def triangulate_all(self, views: Iterable[int]) -> dict[int, LocalTriangulation]:
        """View -> what `triangulate` says of it."""
        chosen = list(views)
        return dict(zip(chosen, self.pool.map(self.triangulate, chosen), strict=True))

    def sparse_points(self, triangulations: dict[int, LocalTriangulation], most: int) -> SparsePoints:
        """Triangulated points within the subject's sphere that their own views agree on, thinned evenly to `most`."""
        points, seen, descriptors = [np.zeros((0, 3))], [np.zeros((0, len(self.features)), bool)], []
        for view, found in triangulations.items():
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
