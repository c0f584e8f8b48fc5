"""Refinement by optical flow: vertices moved along the skin to where the subject's neutral face shows the same skin.

Geometry alone lets a mesh slide over smooth cheeks. FaceScape (TPAMI 2023, section 3.2) therefore compares textures:
the expression's is brought into the UVs, dense flow tells where the neutral's pattern went, and vertices follow it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from common.progress import Progress, no_progress, part
from processing.errors import ShapeError
from processing.files.appearance_png import Appearance
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh
from processing.geometry.sparse_cholesky import SmoothField, graph_laplacian
from processing.geometry.uv_rasterization import texels_of
from processing.geometry.vertex_rings import dilated
from processing.mesh_repair.fold_repair import repair_folds
from processing.registration.correspondence import TargetSurface, downweight_far
from processing.registration.eyeballs import settle_lids
from processing.registration.lid_margins import RIM_WEIGHT, LidFit
from processing.registration.loose_parts import largest_part, move_loose_parts
from processing.registration.register import Registration
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Template
from processing.texture.optical_flow import Flow, appearance_flow
from processing.texture.texture_projection import PhotoProjection

PROJECTION_ROUNDS = 2
# A tangential motion leaves the scan by less than the first; by more than the second it loses weight.
MAX_OFF_SCAN_MM, SUSPECT_MM = 3.0, 0.3
MAX_MOTION_MM = 25.0  # a longer one has crossed a seam or a gap of the chart


@dataclass(frozen=True)
class AppearanceSettings:
    """How textures are compared, and how far vertices follow."""

    size_px: int = 1024  # side of the textures compared
    rounds: int = 3  # at most so many
    sure_px: float = 1.0  # flow counts whose forward and backward way differ by less
    smoothness: float = 0.5  # of the motion along the skin, against one a vertex
    settling: float = 0.05  # smoothness of the way back onto the scan
    far_mm: float = 0.6  # motions farther than this from their neighbours' lose weight
    least_mm: float = 0.03  # rounds end below this motion
    floor_mm: float = 0.01  # a mean distance to the scan that is as good as none
    least_sure: float = 0.05  # where less of the skin agrees, it is another skin, and nothing moves


@dataclass(frozen=True)
class AppearanceReport:
    """What a refinement by appearance gained. Tangential drift: how far skin lies from its vertex along the surface."""

    slip_mm: tuple[float, ...]  # median drift by round; the last is what is left
    slip_p95_mm: tuple[float, ...]  # 95th percentile by round
    sure: float  # share of the skin whose flow counted
    rounds: int  # those that were kept
    surface_mm: tuple[float, float]  # mean distance of the skin's vertices to the scan, before and after


@dataclass(frozen=True, eq=False)
class Refined:
    """An expression after its comparison with the neutral."""

    vertices_mm: Floats  # (V, 3)
    report: AppearanceReport
    drift_mm: tuple[Floats, Floats]  # (V,) before and after, NaN where skin could not be compared


def neutral_appearance(
    template: Template,
    vertices_mm: Floats,
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    settings: AppearanceSettings | None = None,
    progress: Progress = no_progress,
) -> Appearance:
    """What `refine_by_appearance` compares expressions with. vertices_mm: (V, 3) the registered neutral."""
    settings = AppearanceSettings() if settings is None else settings
    mesh = template.mesh.with_vertices(vertices_mm)
    projection = PhotoProjection(mesh, images, cameras, progress=part(progress, 0, 0.6))
    texture = projection.texture(mesh, texels_of(mesh, settings.size_px), progress=part(progress, 0.6, 1))
    return Appearance(texture.image, texture.seen)


def refine_by_appearance(
    template: Template,
    registered: Registration,
    scan: TargetSurface,
    neutral: Appearance,
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    settings: AppearanceSettings | None = None,
    progress: Progress = no_progress,
) -> Refined:
    """Move the vertices of a registered expression to the skin that the neutral has there, and back onto the scan.

    registered: in the template's topology, on the scan; its lids slide along their edges.  images: (H, W, 3) BGR of
    this expression, one a camera.  A round counts only where it brings flow down and the mean distance to the scan does
    not grow.
    Raises ShapeError, DataError when no camera sees the mesh.
    """
    settings = AppearanceSettings() if settings is None else settings
    if neutral.image.shape != (settings.size_px, settings.size_px, 3):
        raise ShapeError("neutral.image", neutral.image.shape, f"({settings.size_px}, {settings.size_px}, 3)")
    alignment = _TangentialAlignment(template, registered.lids, scan, settings)
    vertices_mm = registered.vertices_mm
    mesh = template.mesh.with_vertices(vertices_mm)
    projection = PhotoProjection(mesh, images, cameras, progress=part(progress, 0, 0.3))
    texels = texels_of(mesh, settings.size_px)
    current = kept = vertices_mm
    before = distance = kept_mm = alignment.distance_mm(vertices_mm)
    drifts: list[tuple[float, float, float]] = []
    drift_mm: list[Floats] = []
    for number in range(settings.rounds + 1):
        progress(0.3 + 0.7 * number / (settings.rounds + 1), f"comparing skin, round {number + 1}")
        texture = projection.texture(mesh.with_vertices(current), texels)
        flow = appearance_flow(neutral.image, texture.image, neutral.seen, texture.seen)
        positions = np.asarray(texels.image(texels.interpolate(mesh, current)), dtype=np.float32)
        motion, weight = alignment.motions(positions, flow)
        drift = _drift_summary(np.linalg.norm(motion[weight > 0], axis=1), alignment.share_compared(weight))
        if number > 0 and not drift[0] < drifts[-1][0]:
            break
        kept, kept_mm = current, distance
        drifts.append(drift)
        drift_mm.append(np.where(weight > 0, np.linalg.norm(motion, axis=1), np.nan))
        if number == settings.rounds or not drift[0] >= settings.least_mm or drift[2] < settings.least_sure:
            break
        current = alignment.projected(current, alignment.smooth(motion, weight))
        distance = alignment.distance_mm(current)
        if distance > max(before, settings.floor_mm):
            break
    progress(1.0, "skin compared")
    median, p95, sure = zip(*drifts, strict=True)
    report = AppearanceReport(median, p95, sure[-1], len(drifts) - 1, (before, kept_mm))
    return Refined(kept, report, (drift_mm[0], drift_mm[-1]))


def _drift_summary(drift_mm: Floats, sure: float) -> tuple[float, float, float]:
    """Median and 95th percentile (mm; NaN where nothing could be compared), and the share that was compared."""
    if not len(drift_mm):
        return float("nan"), float("nan"), sure
    return round(float(np.median(drift_mm)), 4), round(float(np.percentile(drift_mm, 95)), 4), sure


class _TangentialAlignment:
    """Motions along one template's surface, and the way back onto one scan."""

    def __init__(self, template: Template, lids: LidFit, scan: TargetSurface, settings: AppearanceSettings) -> None:
        self.lids, self.scan, self.settings = lids, scan, settings
        self.mesh = template.mesh
        self.part, self.part_vertices = largest_part(template.mesh)
        count = len(template.mesh.vertices_mm)
        rim = dilated(template.mesh.adjacency(), np.isin(template.parts, (EYE, MOUTH_INTERIOR)), 1)
        self.skin: Bools = (template.parts == SKIN) & (template.weights > 0.5)
        if lids.targets:
            self.skin[self.part_vertices[lids.hidden]] = False
        self.judged: Bools = self.skin & ~rim
        self.parts = template.parts
        self.sheets: Bools = template.parts == EYE
        self.field = SmoothField(graph_laplacian(template.mesh.edges, count))
        self.texel = self._texel_of_each()

    def _texel_of_each(self) -> Floats:
        """(V, 2) texel positions; a vertex on a seam has one of its places."""
        mesh, size = self.mesh, self.settings.size_px
        if mesh.uvs is None or mesh.uv_triangles is None:
            raise ShapeError("template UVs", (0,), "(U, 2): a template without UVs has no texture to compare")
        uv = np.zeros((len(mesh.vertices_mm), 2))
        uv[mesh.triangles.ravel()] = mesh.uvs[mesh.uv_triangles.ravel()]
        return np.stack([uv[:, 0] * size, (1 - uv[:, 1]) * size], axis=1) - 0.5

    def share_compared(self, weight: Floats) -> float:
        """The share of the judged skin whose flow counts."""
        return float((weight[self.judged] > 0).mean())

    def motions(self, positions: Floats32, flow: Flow) -> tuple[Floats, Floats]:
        """(V, 3) mm where each vertex's skin is now, from where the vertex is, and (V,) its weight."""
        shift, error = flow.at(self.texel)
        motion = (sample_image(positions, self.texel + shift) - sample_image(positions, self.texel)).astype(np.float64)
        weight = (self.judged & (error < self.settings.sure_px)).astype(np.float64)
        weight /= 1 + np.square(np.where(weight > 0, error, 0.0) / 0.5)
        weight[np.linalg.norm(motion, axis=1) > MAX_MOTION_MM] = 0.0
        return motion, weight

    def smooth(self, motion: Floats, weight: Floats) -> Floats:
        """(V, 3) a motion of the whole surface near the given ones, robust against outliers (Geman-McClure)."""
        field = np.zeros_like(motion)
        robust = weight
        for _ in range(4):
            field = self.field(robust, motion, smoothness=self.settings.smoothness, hold=1e-5)
            off = np.linalg.norm(motion - field, axis=1)
            robust = weight / (1 + np.square(off / self.settings.far_mm)) ** 2
        return field

    def projected(self, current: Floats, motion: Floats) -> Floats:
        """`current` moved, projected back onto the scan along the normals, lids to their edges, folds repaired."""
        moved, main = current + motion, self.part_vertices
        lids = self.lids = self.lids.slid(motion[main])
        number = np.full(len(moved), -1)
        number[main] = np.arange(len(main))
        where = np.flatnonzero(self.judged)
        for _ in range(PROJECTION_ROUNDS):
            normals = self.mesh.with_vertices(moved).vertex_normals
            matches = self.scan.along_normals(moved[where], normals[where], max_mm=MAX_OFF_SCAN_MM, min_cosine=0.5)
            matches = downweight_far(lids.sided(number[where], matches), moved[where], SUSPECT_MM)
            weight, goal = np.zeros(len(moved)), np.zeros_like(moved)
            weight[where], goal[where] = matches.weight, matches.points_mm - moved[where]
            weight[main[lids.rims]], goal[main[lids.rims]] = RIM_WEIGHT, lids.rims_mm - moved[main[lids.rims]]
            moved = moved + self.field(weight, goal, smoothness=self.settings.settling, hold=1e-3)
        start = Mesh(current[main], self.part.triangles)
        placed, settled = settle_lids(moved[main], lids, self.scan.mesh)
        moved[main], _ = repair_folds(start, placed, self.sheets[main] & ~settled, settled)
        return move_loose_parts(self.mesh, self.parts, current, moved, main)

    def distance_mm(self, vertices: Floats) -> float:
        """Mean distance of the skin to the scan, where the scan goes on."""
        found = self.scan.surface.closest(vertices[self.skin])
        known = ~self.scan.at_edge[found.triangle] & (found.distance_mm < 5.0)
        return float(found.distance_mm[known].mean()) if known.any() else float("inf")
