"""Photographs and cameras become a scan (multi-view stereo)."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np

from processing.cameras import Camera, Image
from processing.errors import ShapeError
from processing.progress import Progress, part, silent
from processing.reconstruction.colour import ColourView, vertex_colors
from processing.reconstruction.depth_maps import Rig, depth_maps, fuse
from processing.reconstruction.photos import check_photo, pyramid
from processing.reconstruction.settings import ReconstructionError, ReconstructionSettings, Scan, ScanReport
from processing.reconstruction.surface import poisson, trim
from processing.reconstruction.volume import FEWEST_VIEWS, angles_between, choose_neighbours, spread_views, working_volume

CONFIRM_DEG = 45.0  # views farther apart than this do not confirm each other's depths
CONFIRM_VIEWS = 10
DEFAULT = ReconstructionSettings()


def reconstruct(
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    settings: ReconstructionSettings = DEFAULT,
    device: str = "cpu",
    progress: Progress = silent,
) -> Scan:
    """The surface that calibrated photographs show.

    images: (H, W, 3) uint8 BGR as taken (with lens distortion), one a camera; sizes may differ between cameras; at least
    six that look at a common point. Result in the cameras' frame, mm.
    Coarse to fine as in Beeler et al. 2010; fused depth maps (Galliani et al. 2015) and screened Poisson (Kazhdan and
    Hoppe 2013). Raises ReconstructionError and ShapeError (exit code 4) where this cannot be done.
    """
    if len(images) != len(cameras):
        raise ShapeError("images", (len(images),), f"({len(cameras)},), one a camera")
    if device != "cpu":
        raise ReconstructionError(f"device {device!r}: reconstruction runs on the CPU; use device 'cpu'")
    clock = _Clock()
    workers = settings.workers or len(os.sched_getaffinity(0))
    unused = {
        cameras[i].name or str(i): why for i in range(len(images)) if (why := check_photo(images[i], cameras[i]))
    }
    good = [i for i in range(len(images)) if (cameras[i].name or str(i)) not in unused]
    if len(good) < FEWEST_VIEWS:
        lines = [f"{len(good)} usable views of {len(images)}; a scan needs at least {FEWEST_VIEWS}."]
        raise ReconstructionError("\n".join(lines + [f"  camera {name}  {why}" for name, why in unused.items()]))
    volume, looking = working_volume([cameras[i] for i in good])
    unused |= {
        cameras[good[k]].name or str(good[k]): "does not look at the point that the others look at"
        for k in range(len(good))
        if k not in looking
    }
    photos = [images[good[k]] for k in looking]
    lenses = [cameras[good[k]] for k in looking]
    with _one_thread_each(), ThreadPoolExecutor(workers) as pool:
        progress(0.0, "undistorting the photographs")
        pyramids = list(pool.map(lambda a: pyramid(a[0], a[1], volume.centre_mm, settings), zip(photos, lenses, strict=True)))
        finest = [p.levels[0][1] for p in pyramids]
        footprint = float(np.median([p.footprint_mm for p in pyramids]))
        volume = replace(volume, footprint_mm=footprint)
        neighbours = choose_neighbours(finest, volume.centre_mm, settings.neighbours, settings.angles_deg)
        angle = angles_between(finest, volume.centre_mm)
        depth_views = [i for i in spread_views(angle, settings.depth_views or len(finest)) if neighbours[i]]
        if len(depth_views) < FEWEST_VIEWS:
            raise ReconstructionError(
                f"only {len(depth_views)} views have a neighbour within 60 degrees; {FEWEST_VIEWS} must"
            )
        rig = Rig(
            pyramids,
            volume,
            depth_views,
            neighbours,
            [_near(angle[i], depth_views, i) for i in range(len(finest))],
            [float(np.tan(np.radians(np.median(angle[i, n])))) if n else 1.0 for i, n in enumerate(neighbours)],
            settings,
            workers,
        )
        clock.lap("prepare")
        maps = depth_maps(rig, pool, part(progress, 0.02, 0.55))
        clock.lap("depth")
        progress(0.55, "fusing the depth maps")
        spacing = settings.spacing_mm or 1.2 * footprint
        points = fuse(
            rig, maps, settings.tolerance_px * footprint, settings.min_consistent, spacing, 5, 3.0, pool
        )
        clock.lap("fuse")
        progress(0.62, f"surface through {len(points)} points")
        mesh = poisson(points, spacing, settings.poisson_depth, workers)
        mesh = trim(mesh, points, settings.trim_mm or 6 * footprint)
        clock.lap("surface")
        progress(0.93, "colours")
        views = [ColourView(photos[i], lenses[i], m) for i, m in maps.items()]
        mesh = replace(mesh, colors=vertex_colors(mesh, views, 3 * footprint, pool))
        clock.lap("colour")
    scores = np.concatenate([m.score[np.isfinite(m.depth)][::17] for m in maps.values()])
    report = ScanReport(
        views=len(images),
        depth_views=len(maps),
        unused=unused,
        points=len(points),
        vertices=len(mesh.vertices_mm),
        triangles=len(mesh.triangles),
        footprint_mm=footprint,
        score=float(np.median(scores)),
        centre_mm=(float(volume.centre_mm[0]), float(volume.centre_mm[1]), float(volume.centre_mm[2])),
        radius_mm=volume.radius_mm,
        seconds=clock.laps,
    )
    progress(1.0, f"scan of {report.vertices} vertices")
    return Scan(mesh, report)


def _near(angle: np.ndarray, depth_views: Sequence[int], i: int) -> list[int]:
    order = [int(j) for j in np.argsort(angle) if j != i and angle[j] < CONFIRM_DEG and int(j) in set(depth_views)]
    return order[:CONFIRM_VIEWS]


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Views are worked on side by side, so OpenCV itself keeps to one thread; its setting is put back."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class _Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
