"""The working volume of a rig: the common focus, the sphere that is searched, and which cameras see alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from common.view_counts import FEWEST_VIEWS
from processing.errors import ReconstructionError
from processing.geometry.cameras import Camera
from processing.geometry.lines import distances_to_lines, meet_lines, normal_matrices


@dataclass(frozen=True, eq=False)
class Volume:
    """The sphere in which the subject is sought."""

    #: (3,) head frame.
    centre_mm: Floats
    radius_mm: float
    #: A pixel's size at the centre.
    footprint_mm: float

    def depth_range(self, camera: Camera) -> tuple[float, float]:
        """Nearest and farthest depth (mm) of the sphere in front of a camera."""
        middle = float(camera.depth(self.centre_mm[None])[0])
        nearest = max(middle - self.radius_mm, 0.1 * middle)
        return nearest, middle + self.radius_mm


def common_focus(cameras: Sequence[Camera]) -> Floats:
    """(3,) the point nearest to the optical axes, mm; cameras that look elsewhere lose their weight.

    Raises ReconstructionError where the axes have no common region (parallel or diverging cameras).
    """
    centres = np.stack([c.centre for c in cameras])
    axes = np.stack([c.viewing_direction for c in cameras])
    weight = np.ones(len(cameras))
    for _ in range(20):
        if np.linalg.eigvalsh(normal_matrices(axes, weight))[0] < 1e-4 * weight.sum():
            raise ReconstructionError(
                "the cameras look in parallel: their axes have no point in common; check Rt in the rig's params"
            )
        focus = meet_lines(centres, axes, weight)
        miss = distances_to_lines(focus, centres, axes)
        weight = 1 / np.maximum(miss, 0.25 * np.median(miss) + 1e-9)
        weight /= weight.max()
    return np.asarray(focus)


def looks_at(camera: Camera, point_mm: Floats) -> bool:
    """Whether the point lies in front of the camera and within its image."""
    if camera.depth(point_mm[None])[0] <= 0:
        return False
    x, y = camera.pinhole().project(point_mm[None])[0]
    return bool(0 <= x <= camera.width - 1 and 0 <= y <= camera.height - 1)


def working_volume(cameras: Sequence[Camera]) -> tuple[Volume, list[int]]:
    """The sphere around the common focus that a typical camera frames, and which cameras look at its centre.

    The radius is what half the longer side of the image spans at the focus, the median over the cameras.
    Raises ReconstructionError for fewer than six cameras that look at a common point.
    """
    if len(cameras) < FEWEST_VIEWS:
        raise ReconstructionError(f"{len(cameras)} usable views; a scan needs at least {FEWEST_VIEWS}")
    focus = common_focus(cameras)
    looking = [i for i, camera in enumerate(cameras) if looks_at(camera, focus)]
    if len(looking) < FEWEST_VIEWS:
        away = [cameras[i].name or str(i) for i in range(len(cameras)) if i not in looking]
        raise ReconstructionError(
            f"the cameras do not look at a common point: {len(looking)} of {len(cameras)} see the point nearest to"
            f" their axes, {FEWEST_VIEWS} must; not these: {', '.join(away[:20])}. Check Rt in the rig's params"
        )
    depth = np.array([cameras[i].depth(focus[None])[0] for i in looking])
    focal = np.array([cameras[i].K[0, 0] for i in looking])
    half = np.array([max(cameras[i].width, cameras[i].height) / 2 for i in looking])
    return Volume(focus, float(np.median(depth / focal * half)), float(np.median(depth / focal))), looking


def angles_between(cameras: Sequence[Camera], focus_mm: Floats) -> Floats:
    """(C, C) degrees between the cameras, seen from the focus."""
    rays = _rays(cameras, focus_mm)
    return np.asarray(np.degrees(np.arccos(np.clip(rays @ rays.T, -1, 1))))


def _rays(cameras: Sequence[Camera], focus_mm: Floats) -> Floats:
    return np.stack([(c.centre - focus_mm) / np.linalg.norm(c.centre - focus_mm) for c in cameras])


def spread_views(angle: Floats, count: int) -> list[int]:
    """`count` views spread as evenly as can be (farthest first), in their own order. angle: (C, C) degrees."""
    if count >= len(angle):
        return list(range(len(angle)))
    chosen = [0]
    distance = angle[0].copy()
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, angle[chosen[-1]])
    return sorted(chosen)


def choose_neighbours(
    cameras: Sequence[Camera], focus_mm: Floats, count: int, angles_deg: tuple[float, float]
) -> list[list[int]]:
    """For each camera, up to `count` others to compare with: seen from the focus at an angle within the range,
    near its lower half first, and on different sides where possible. Where these are few, the nearest wider ones help.
    """
    rays, angle = _rays(cameras, focus_mm), angles_between(cameras, focus_mm)
    low, high = angles_deg
    chosen: list[list[int]] = []
    for i in range(len(cameras)):
        others = [int(j) for j in np.argsort(angle[i]) if j != i]
        inside = [j for j in others if low <= angle[i, j] <= high]
        farthest = min(2 * high, 60.0) if len(inside) < 3 else 1.5 * high
        wide = [j for j in others if high < angle[i, j] <= farthest]
        pool = inside + wide[: max(count - len(inside), 0)]
        chosen.append(_spread(i, pool, rays, angle[i], count))
    return chosen


def _spread(i: int, pool: list[int], rays: Floats, angle: Floats, count: int) -> list[int]:
    """Greedy: small angles first, but a direction already taken costs."""
    side = rays - (rays @ rays[i])[:, None] * rays[i]
    side /= np.linalg.norm(side, axis=1, keepdims=True).clip(1e-9)
    taken: list[int] = []
    while pool and len(taken) < count:
        cost = [angle[j] * (1 + sum(max(0.0, float(side[j] @ side[k])) ** 4 for k in taken)) for j in pool]
        taken.append(pool.pop(int(np.argmin(cost))))
    return taken
