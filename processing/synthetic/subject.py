"""Synthetic subjects: who they are, how they look in each expression, and the truth about it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Floats, Floats32, Ints32, Ints64
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.noise_field import NoiseField
from processing.geometry.photograph_rendering import Scene
from processing.synthetic.skin_displacement import pore_displacement, wrinkle_displacement
from processing.template.anny_data import TEETH, TONGUE, Identity
from processing.template.builtin_template import default_template, template_topology
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.fine_head import DEFAULT_VERTICES, FineHead, fine_head
from processing.template.skin_painting import Palette, paint, paint_eyes
from processing.template.template import EYE, SKIN, Template

# The part of the head that a studio measures: not the back of the head, nor the lower neck (average head, mm).
MEASURED_BEHIND_MM, MEASURED_BELOW_MM = -30.0, -115.0


@dataclass(frozen=True, eq=False)
class PosedHead:
    """A subject in one expression, as the cameras see it and as it truly is."""

    subject: "Subject"
    expression: str
    mesh: Mesh  # N vertices, pores and wrinkles included, vertex colours
    albedo: Floats32  # (N, 3) linear RGB
    gloss: Floats32  # (N,) strength of speculars
    #: (V, 3) the same head in the default template's topology: the true correspondence, without pores.
    tu_vertices_mm: Floats
    landmarks_mm: Floats  # (68, 3) the template's landmarks on it

    @cached_property
    def scene(self) -> Scene:
        """The head under the studio's lights; made at the first photograph and kept."""
        return Scene(self.mesh, self.albedo, self.gloss, occlusion_rays=24)

    def measured(self, cameras: list[Camera], least: int = 3) -> tuple[Floats, Ints32]:
        """The true skin that at least `least` cameras see at no grazing angle: vertices (n, 3) and triangles.

        What the eyes, the teeth and the mouth's inside show is left out, and so are nape and lower neck.
        """
        topology = template_topology()
        seen = visible(Mesh(self.tu_vertices_mm, topology.refinement.triangles), cameras) >= least
        fine = self.subject.fine
        keep = (fine.parts == SKIN) & seen[self.subject.nearest_template_vertex]
        keep &= (fine.average_mm[:, 2] > MEASURED_BEHIND_MM) & (fine.average_mm[:, 1] > MEASURED_BELOW_MM)
        used, triangles = np.unique(fine.triangles[keep[fine.triangles].all(1)], return_inverse=True)
        return self.mesh.vertices_mm[used], triangles.reshape(-1, 3).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Subject:
    """A synthetic person."""

    seed: int  # everything follows from it
    identity: Identity
    neutral_mm: Floats  # (n, 3) control vertices of AnnyHead
    palette: Palette
    fine: FineHead  # what is photographed
    #: How far the head moves between expressions (standard deviation; it turns by as many half degrees).
    motion_mm: float

    @cached_property
    def _noise(self) -> NoiseField:
        return NoiseField(self.seed)

    @cached_property
    def _albedo(self) -> Floats32:
        return paint(self.fine, self.palette, self._noise)

    @cached_property
    def _pores(self) -> Floats32:
        return pore_displacement(self.fine, self._noise)

    @cached_property
    def _neutral_areas(self) -> Floats:
        return Mesh(self.fine.refinement(self.neutral_mm), self.fine.triangles).vertex_areas

    @cached_property
    def nearest_template_vertex(self) -> Ints64:
        """(N,) the default template's vertex nearest to each fine vertex, on the average head."""
        average = template_topology().vertices(self.fine.head.vertices_mm)
        return np.asarray(cKDTree(average).query(self.fine.average_mm, workers=2)[1])

    @property
    def age(self) -> int:
        """Years: anny's 0 is 25, 1 is 90."""
        return round(25 + 65 * self.identity.age)

    @property
    def gender(self) -> str:
        return "female" if self.identity.gender < 0.5 else "male"

    def pose(self, expression: str, template: Template | None = None) -> PosedHead:
        """The subject performs one of anny_head.EXPRESSION_RECIPES, in their own way, and moves a little.

        template: whose landmarks the truth has, in the default topology. Raises HeadDataError for an unknown name.
        """
        template = template or default_template()
        head, fine = self.fine.head, self.fine
        number = list(EXPRESSION_RECIPES).index(expression) if expression in EXPRESSION_RECIPES else 0
        rng = np.random.default_rng([self.seed, number])
        control = head.express(self.neutral_mm, expression, float(rng.uniform(0.85, 1.0)))
        color = self._albedo
        smooth = Mesh(fine.refinement(control), fine.triangles)
        color = paint_eyes(color, fine, smooth.vertices_mm, head.eyeballs(control), self.palette)
        lost = 1 - smooth.vertex_areas / self._neutral_areas.clip(1e-12)
        height = self._pores + wrinkle_displacement(fine, np.clip(lost, 0, 1).astype(np.float32), self._noise)
        vertices = smooth.vertices_mm + smooth.vertex_normals * height[:, None]
        tu_vertices = template_topology().vertices(control)
        R, t = small_motion(rng, self.motion_mm if expression != "neutral" else 0.0)
        vertices, tu_vertices = vertices @ R.T + t, tu_vertices @ R.T + t
        shown = (np.clip(color, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)
        mesh = Mesh(vertices, fine.triangles, colors=shown)
        shine = np.select([fine.parts == EYE, np.isin(fine.parts, (TEETH, TONGUE))], [2.5, 1.5], 1.0)
        gloss = (shine * (1 + 0.6 * fine.masks["lips"])).astype(np.float32)
        return PosedHead(self, expression, mesh, color, gloss, tu_vertices, template.landmark_points(tu_vertices))


def synthetic_subject(
    seed: int, *, vertices: int = DEFAULT_VERTICES, spread: float = 1.0, motion_mm: float = 1.5
) -> Subject:
    """A random adult. vertices: of the fine mesh that is photographed; spread: of the identity, 0 is the average."""
    rng = np.random.default_rng(seed)
    fine = fine_head(vertices)
    identity, neutral = fine.head.identity(rng, spread)
    return Subject(seed, identity, neutral, Palette.sample(rng), fine, motion_mm)


def small_motion(rng: np.random.Generator, size_mm: float) -> tuple[Floats, Floats]:
    """A rotation (3, 3) of some half degrees a millimetre, and a translation (3,)."""
    axis = rng.normal(0, np.radians(0.5) * size_mm, 3)
    angle = float(np.linalg.norm(axis))
    k = axis / max(angle, 1e-12)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    R = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return R, rng.normal(0, 1.0, 3) * size_mm


def visible(mesh: Mesh, cameras: list[Camera], least_cosine: float = 0.25) -> Ints32:
    """(V,) how many cameras see each vertex: nothing before it, and not at a grazing angle."""
    surface = Surface(mesh)
    normals = mesh.vertex_normals
    start = mesh.vertices_mm + 0.05 * normals
    count = np.zeros(len(start), np.int32)
    for camera in cameras:
        towards = camera.centre - start
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        front = np.flatnonzero((towards * normals).sum(1) > least_cosine)
        distance, _, _ = surface.cast(start[front], towards[front])
        pixels = camera.project(start[front])
        inside = ((pixels > 0) & (pixels < [camera.width - 1, camera.height - 1])).all(1)
        count[front] += ~np.isfinite(distance) & inside
    return count
