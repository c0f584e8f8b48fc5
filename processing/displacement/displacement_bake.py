"""Displacement baking: signed distances from the registered mesh to the scan along its normals, over its UVs.

FaceScape (TPAMI 2023, section 3.3) keeps middle and high frequencies this way: base mesh plus displacement is the scan.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from common.array_types import Bools, Floats, Floats32, Ints64
from common.progress import Progress, no_progress
from processing.errors import ShapeError
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import SCALE_MM
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import SmoothField, graph_laplacian
from processing.geometry.uv_rasterization import Texels, texels_of
from processing.registration.correspondence import TargetSurface

_CHUNK = 1 << 18
MIN_COSINE = 0.3
OUTLIER_MM = 1.5
FILL_PX = 3.0


def bake(
    mesh: Mesh,
    scan: Mesh | TargetSurface,
    *,
    size_px: int = 2048,
    max_mm: float = SCALE_MM * 0.98,
    skin: Bools | None = None,
    progress: Progress = no_progress,
) -> DisplacementMap:
    """Trace each texel's surface point along the mesh's normal, both ways, to the scan.

    mesh: registered, with UVs, mm.  scan: mm, same frame.  skin: (V,) vertices that are measured; others stay flat
    (eyes, the mouth's inside).  Where the scan has a hole, faces away, lies farther than max_mm or disagrees with its
    surroundings, the height is that of a smooth field over the mesh, which no UV seam interrupts, and is not valid.
    Raises MeshError for a mesh without UVs or a scan without triangles.
    """
    count = len(mesh.vertices_mm)
    skin = np.ones(count, dtype=np.bool_) if skin is None else np.asarray(skin, dtype=np.bool_)
    if skin.shape != (count,):
        raise ShapeError("skin", skin.shape, f"({count},)")
    progress(0.0, "preparing the scan")
    surface = TargetSurface.of(scan)
    progress(0.1, "rasterising the UVs")
    texels = texels_of(mesh, size_px)
    field, trust = _vertex_field(mesh, surface, skin, max_mm)
    smooth = texels.interpolate(mesh, field)
    share = texels.interpolate(mesh, trust)
    wanted = share > 1e-3
    height = np.full(len(texels.index), np.nan, dtype=np.float32)
    chosen = np.flatnonzero(wanted)
    places = np.concatenate([mesh.vertices_mm, mesh.vertex_normals], axis=1).astype(np.float32)

    def trace(start: int) -> int:
        some = chosen[start : start + _CHUNK]
        height[some] = _trace(mesh, places, texels, some, surface, smooth[some])
        return start

    with ThreadPoolExecutor(2) as pool:
        for start in pool.map(trace, range(0, len(chosen), _CHUNK)):
            progress(0.2 + 0.7 * start / max(len(chosen), 1), "measuring heights")
    progress(0.9, "filling")
    residual = height - smooth
    measured = np.isfinite(residual) & (np.abs(residual) < OUTLIER_MM)
    filled = _fill(texels, np.where(measured, residual, 0).astype(np.float32), measured)
    total = (smooth + share * filled).clip(-SCALE_MM, SCALE_MM)
    valid = measured & (share > 0.5) & texels.inside
    progress(1.0, "baked")
    return DisplacementMap(
        np.asarray(texels.image(total.astype(np.float32)), dtype=np.float32),
        np.asarray(texels.image(valid), dtype=np.bool_),
    )


def _vertex_field(mesh: Mesh, surface: TargetSurface, skin: Bools, max_mm: float) -> tuple[Floats, Floats]:
    """A smooth height (V,) from the vertices' own traces, and how far (V,) in [0, 1] texels may differ from it."""
    count = len(mesh.vertices_mm)
    normals = mesh.vertex_normals
    matches = surface.along_normals(mesh.vertices_mm, normals, max_mm=max_mm, min_cosine=MIN_COSINE)
    height = np.einsum("vd,vd->v", matches.points_mm - mesh.vertices_mm, normals)
    weight = matches.weight * skin
    smoothed = SmoothField(graph_laplacian(mesh.edges, count))
    adjacency = mesh.adjacency()
    field = np.zeros(count)
    for _ in range(3):
        field = smoothed(weight, height, smoothness=0.5, hold=np.where(skin, 1e-3, 0.3))
        off = np.abs(height - field)
        weight = matches.weight * skin / (1 + np.square(off / 1.0)) ** 2
    good = (matches.weight > 0) & skin & (np.abs(height - field) < OUTLIER_MM)
    lonely = adjacency @ (~good).astype(np.float64) > 0.5 * np.asarray(adjacency.sum(axis=1))
    trust = (good & ~lonely).astype(np.float64)
    degree = np.asarray(adjacency.sum(axis=1)).clip(1)
    return field, np.where(skin, np.minimum(trust, (adjacency @ trust) / degree), 0.0)


def _trace(
    mesh: Mesh, places: Floats32, texels: Texels, some: Ints64, surface: TargetSurface, expected: Floats32
) -> Floats32:
    """Signed height at some texels near what is expected there, NaN where the scan is not met.

    places: (V, 6) vertices in mm and their normals.
    """
    part = Texels(
        texels.size_px, texels.index[some], texels.triangle[some], texels.barycentric[some], texels.inside[some]
    )
    at = part.interpolate(mesh, places)
    directions = at[:, 3:] / np.sqrt(np.einsum("nd,nd->n", at[:, 3:], at[:, 3:]))[:, None].clip(1e-12)
    return surface.heights(at[:, :3], directions, expected, within_mm=OUTLIER_MM, min_cosine=MIN_COSINE)


def _fill(texels: Texels, residual: Floats32, measured: Bools) -> Floats32:
    """The residual, small gaps taken from around them, fading to zero inside larger ones."""
    import cv2

    mask = np.asarray(texels.image(measured.astype(np.float32)), dtype=np.float32)
    values = np.asarray(texels.image(residual), dtype=np.float32)
    spread = cv2.GaussianBlur(values * mask, (0, 0), FILL_PX)
    weight = cv2.GaussianBlur(mask, (0, 0), FILL_PX)
    around = (spread / np.maximum(weight, 0.05)).ravel()[texels.index]
    return np.asarray(np.where(measured, residual, around), dtype=np.float32)
