"""Multi-view stereo: photographs and cameras become a scan."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from common.array_types import Floats, Image
from common.progress import Progress, no_progress, part
from common.view_counts import FEWEST_VIEWS
from processing.errors import ReconstructionError, ShapeError
from processing.files.photograph_sequence import selected_photographs
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.geometry.opencv_threads import single_threaded_opencv
from processing.geometry.working_volume import (
    Volume,
    angles_between,
    choose_neighbours,
    spread_views,
    working_volume,
)
from processing.reconstruction.confidence import confidence
from processing.reconstruction.depth_maps import Fusion, depth_maps, fuse
from processing.reconstruction.image_pyramid import check_photo, pyramid
from processing.reconstruction.scratch_files import Scratch
from processing.reconstruction.settings import ReconstructionSettings, Scan, ScanReport
from processing.reconstruction.stereo_matching import Kernels
from processing.reconstruction.stereo_views import Maps, StereoViews
from processing.reconstruction.surface_reconstruction import surface_through
from processing.reconstruction.surface_refinement import refine_surface
from processing.reconstruction.vertex_colours import ColourView, vertex_colors

CONFIRM_DEG = 45.0  # views farther apart than this do not confirm each other's depths, where nearer ones are to be had
CONFIRM_VIEWS = 10
OVERLAP = 3.0  # a surface point seen by many views is kept from about so many
LEAST_WEAK = 0.25  # mean correlation of faint skin; that of noise is about 0.1
NORMAL_PX = 5  # normals come from points averaged over so many pixels
TRIM_CELLS = 3.0  # the surface is not cut nearer to its points than so many of their cells
VERTICES_A_CELL = 1.5  # of the solved surface, over its area in cells (the mean of |x| + |y| + |z| of a normal)
COLOUR_PX = 3.0  # a view sees a vertex that lies within so many footprints of its depth map
DEFAULT = ReconstructionSettings()


@dataclass(frozen=True, eq=False)
class UsableViews:
    """The photographs that a scan is made of, their cameras, what they look at, and why the others are left out."""

    images: Sequence[Image]
    cameras: list[Camera]
    volume: Volume
    #: Camera name -> why it gives nothing.
    unused: dict[str, str]
    #: Photographs, with those.
    given: int


def reconstruct(
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    settings: ReconstructionSettings = DEFAULT,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> Scan:
    """The surface that calibrated photographs show.

    images: (H, W, 3) uint8 BGR as taken (with lens distortion), one a camera, sizes may differ; at least six cameras
    that look at a common point. device: "cpu" (compiled by numba), or a torch device. Result in the cameras' frame, mm,
    each vertex with its `confidence`.

    Coarse to fine with windows that follow the surface (Beeler et al. 2010), depth confirmed between views (Galliani et
    al. 2015), screened Poisson (Kazhdan and Hoppe 2013). Raises ReconstructionError, ShapeError and DeviceUnavailable
    (exit code 4).
    """
    clock = _Clock()
    kernels = _kernels(device)
    use = usable_views(images, cameras)
    with single_threaded_opencv(), ThreadPoolExecutor(settings.threads) as pool:
        progress(0.0, "undistorting the photographs")
        stereo = _stereo_views(use, settings, kernels, pool)
        footprint = stereo.volume.footprint_mm
        clock.lap("prepare")
        maps, about = depth_maps(stereo, pool, part(progress, 0.02, 0.6))
        clock.lap("depth")
        progress(0.6, "fusing the depth maps")
        cell = _cell_mm(settings, footprint, about.area_mm2)
        points = fuse(
            stereo,
            maps,
            Fusion(settings.tolerance_px * footprint, settings.min_consistent, cell, NORMAL_PX, OVERLAP, LEAST_WEAK),
            pool,
        )
        clock.lap("fuse")
        progress(0.67, f"surface through {len(points)} points")
        nearby = max(settings.trim_px * footprint, TRIM_CELLS * cell)
        solved = surface_through(
            points, cell, nearby, subdivide=settings.subdivide, poisson_depth=settings.poisson_depth
        )
        mesh = solved.mesh
        clock.lap("surface")
        for n in range(settings.detail_passes):
            progress(0.8 + 0.13 * n / settings.detail_passes, f"detail, pass {n + 1} of {settings.detail_passes}")
            mesh = refine_surface(mesh, solved.coarse, stereo, pool)
        clock.lap("detail")
        progress(0.93, "colours")
        sure = pool.submit(confidence, mesh, points, cell)
        views = [ColourView(use.images, i, use.cameras[i], m) for i, m in maps.items()]
        colors = vertex_colors(mesh, views, COLOUR_PX * footprint, pool, 2 * settings.threads)
        mesh = replace(mesh, colors=colors, confidence=sure.result())
        clock.lap("colour")
    scan = Scan(mesh, _report(use, stereo, maps, len(points), mesh, clock.laps), solved.coarse)
    progress(1.0, f"scan of {scan.report.vertices} vertices")
    return scan


def _report(
    use: UsableViews, stereo: StereoViews, maps: Maps, points: int, mesh: Mesh, seconds: dict[str, float]
) -> ScanReport:
    scores = np.concatenate([m.score[np.isfinite(m.depth)][::17] for m in maps.values()])
    x, y, z = (float(c) for c in stereo.volume.centre_mm)
    return ScanReport(
        views=use.given,
        depth_views=len(maps),
        unused=use.unused,
        points=points,
        vertices=len(mesh.vertices_mm),
        triangles=len(mesh.triangles),
        footprint_mm=stereo.volume.footprint_mm,
        score=float(np.median(scores)),
        centre_mm=(x, y, z),
        radius_mm=stereo.volume.radius_mm,
        seconds=seconds,
    )


def _kernels(device: str) -> Kernels:
    if device == "cpu":
        from processing.reconstruction.stereo_matching_compiled import CompiledKernels

        return CompiledKernels()
    from processing.reconstruction.stereo_matching_torch import TorchKernels

    return TorchKernels(device)


def usable_views(images: Sequence[Image], cameras: Sequence[Camera]) -> UsableViews:
    """The photographs that show something, of cameras that look where the others look."""
    if len(images) != len(cameras):
        raise ShapeError("images", (len(images),), f"({len(cameras)},), one a camera")
    names = [camera.name or str(i) for i, camera in enumerate(cameras)]
    wrong = {i: why for i in range(len(images)) if (why := check_photo(images[i], cameras[i]))}
    good = [i for i in range(len(images)) if i not in wrong]
    if len(good) < FEWEST_VIEWS:
        lines = [f"{len(good)} usable views of {len(images)}; a scan needs at least {FEWEST_VIEWS}."]
        raise ReconstructionError("\n".join(lines + [f"  camera {names[i]}  {why}" for i, why in wrong.items()]))
    volume, looking = working_volume([cameras[i] for i in good])
    kept = [good[k] for k in looking]
    wrong |= {i: "does not look at the point that the others look at" for i in good if i not in kept}
    unused = {names[i]: wrong[i] for i in sorted(wrong)}
    return UsableViews(selected_photographs(images, kept), [cameras[i] for i in kept], volume, unused, len(images))


def _stereo_views(
    use: UsableViews, settings: ReconstructionSettings, kernels: Kernels, pool: ThreadPoolExecutor
) -> StereoViews:
    """Pyramids, and which views are compared with which."""
    focus = use.volume.centre_mm
    scratch = Scratch(1e9 * settings.memory_gb)
    pyramids = list(
        pool.map(lambda i: pyramid(use.images[i], use.cameras[i], focus, settings, scratch), range(len(use.cameras)))
    )
    lenses = [p.levels[0][1] for p in pyramids]
    neighbours = choose_neighbours(lenses, focus, settings.neighbours, settings.angles_deg)
    angle = angles_between(lenses, focus)
    matched = [i for i in range(len(lenses)) if neighbours[i]]
    if len(matched) < FEWEST_VIEWS:
        raise ReconstructionError(
            f"only {len(matched)} of {len(lenses)} views have another within 60 degrees to compare with;"
            f" {FEWEST_VIEWS} must. Add cameras between the others"
        )
    depth_views = [
        matched[k] for k in spread_views(angle[np.ix_(matched, matched)], settings.depth_views or len(matched))
    ]
    return StereoViews(
        pyramids,
        replace(use.volume, footprint_mm=float(np.median([p.footprint_mm for p in pyramids]))),
        depth_views,
        neighbours,
        [_confirming(angle[i], depth_views, i) for i in range(len(lenses))],
        [float(np.tan(np.radians(np.median(angle[i, n])))) if n else 1.0 for i, n in enumerate(neighbours)],
        settings,
        kernels,
        scratch,
    )


def _cell_mm(settings: ReconstructionSettings, footprint_mm: float, area_mm2: float) -> float:
    """Side of the cells in which points are merged and the surface is solved; larger where the vertices asked for are
    few for such an area.
    """
    cell = settings.spacing_px * footprint_mm
    if settings.vertices is None:
        return cell
    solved = settings.vertices / (4 if settings.subdivide else 1)
    return max(cell, float(np.sqrt(VERTICES_A_CELL * area_mm2 / solved)))


def _confirming(angle: Floats, depth_views: Sequence[int], i: int) -> list[int]:
    """The nearest other depth views; at least three, however far, so that a sparse rig works too."""
    nearest = sorted((j for j in depth_views if j != i), key=lambda j: float(angle[j]))
    return [j for k, j in enumerate(nearest[:CONFIRM_VIEWS]) if k < 3 or angle[j] < CONFIRM_DEG]


class _Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(now - self._last, 2)
        self._last = now
