"""Pictures of predicted faces through the true camera: shaded, and coloured by their distance to the truth."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Image
from processing.errors import DataError
from processing.evaluation.metrics.depth import both_seen, depth_map, sight
from processing.evaluation.metrics.evaluate import exact_alignment, to_head
from processing.evaluation.metrics.placing import place
from processing.evaluation.metrics.predictions import Prediction, TruthFace
from processing.evaluation.metrics.view import Orthographic, TrueCamera
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface

MOST_MM = 5.0  # the end of the scale of distances, as the public evaluator's heat maps have it
_BEYOND_MM = 30.0  # a vertex farther from the truth has none beside it: shown grey
_FAR_MM = 2e4  # of a camera that stands for an orthographic one


@dataclass(frozen=True, eq=False)
class FacePictures:
    """A predicted face, (H, W, 3) BGR each."""

    shaded: Image
    distances: Image


def predicted_pictures(truth: TruthFace, camera: TrueCamera, prediction: Prediction) -> FacePictures:
    """A predicted face as it is measured: aligned in depth, seen by the true camera. Raises DataError."""
    mesh = aligned_mesh(truth, camera, prediction)
    view, surface = picture_camera(camera), Surface(mesh)
    colors = rendering.heat_colors(distances_to(truth.surface, mesh.vertices_mm), MOST_MM)
    return FacePictures(rendering.render(surface, view), rendering.render(surface, view, vertex_colors=colors))


def distances_to(surface: Surface, points_mm: Floats) -> Floats:
    """(N,) mm to the nearest place of a true face; NaN where that is its edge, or far: there no true face is known."""
    nearest = surface.closest(points_mm)
    at_edge = surface.mesh.boundary_vertices[surface.mesh.triangles[nearest.triangle]].any(axis=1)
    apart = nearest.distance_mm
    return np.where(at_edge | (apart > _BEYOND_MM), np.nan, apart)


def true_picture(truth: TruthFace, camera: TrueCamera) -> Image:
    """(H, W, 3) BGR: the true face through its camera."""
    return rendering.render(truth.surface, picture_camera(camera))


def aligned_mesh(truth: TruthFace, camera: TrueCamera, prediction: Prediction) -> Mesh:
    """A prediction in the true head's frame, mm, after the one shift along the depth that it is granted."""
    placed = place(prediction, camera)
    orthographic = isinstance(camera.view, Orthographic)
    mesh = placed.mesh.with_vertices(to_head(camera.view, placed.mesh.vertices_mm))
    true_depth, _ = depth_map(truth.surface, sight(camera), orthographic=orthographic)
    depth, _ = depth_map(Surface(mesh), sight(camera), orthographic=orthographic)
    both = both_seen(true_depth, depth)
    if not both.any():
        raise DataError("the mesh does not cover the true face in the picture")
    placing = exact_alignment(camera.view, truth, true_depth[both], depth[both]).placing
    return mesh.with_vertices(_moved(mesh.vertices_mm, placing.scale, placing.shift + truth.centre))


def picture_camera(camera: TrueCamera) -> Camera:
    """The true camera as renderers take one; an orthographic one stands far away."""
    view = camera.view
    if isinstance(view, Orthographic):
        focal = view.scale * _FAR_MM
        K = np.array([[focal, 0, view.t[0]], [0, focal, view.t[1]], [0, 0, 1.0]])
        return Camera(K=K, R=view.R, t=np.array([0, 0, _FAR_MM]), width=camera.width, height=camera.height)
    return Camera(K=view.K, R=view.R, t=view.t, width=camera.width, height=camera.height)


def _moved(points: Floats, scale: float, shift: Floats) -> Floats:
    return np.asarray(scale * points + shift)
