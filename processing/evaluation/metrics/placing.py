"""A prediction brought into the frame of the camera that made the image, whatever camera it was predicted with.

As the loaders of the public evaluator do: a mesh keeps its shape, and is placed so that its picture at its mean depth
is the picture that its own camera made. Where they are not right this differs: their mean depth is that of all
vertices, of which a whole head has most behind the face and a dense nose most before it; here it is that of what the
camera sees.
"""

from dataclasses import dataclass, replace

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.evaluation.metrics.depth import depth_map, sight
from processing.evaluation.metrics.predictions import STANDARD_PUPILS_MM, Prediction, PredictionError
from processing.evaluation.metrics.view import Orthographic, Perspective, TrueCamera, View
from processing.geometry.mesh import Mesh, Surface, submesh

#: The height of a predicted mesh in the picture that the public loaders assume, in distances between the pupils. Here
#: it only gives numbers of the size of millimetres.
_HEIGHTS_IN_PUPILS = 3.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A prediction in the true camera's frame (OpenCV's axes), mm but for one scale along the depth."""

    mesh: Mesh
    #: Vertices of the prediction as `mesh` has them; those of no finite place are NaN.
    vertices: Floats
    notes: tuple[str, ...]  # what was put right


def place(prediction: Prediction, camera: TrueCamera, *, keep_size: bool = False) -> Placed:
    """keep_size: a mesh seen in perspective is not brought to the size of a head.

    Raises PredictionError, with the reason, for a mesh that cannot be placed.
    """
    points = prediction.mesh.vertices_mm
    view = prediction.view
    if view is None:
        mine = replace(camera, view=_without_motion(camera.view))
    else:
        points, mine = view.to_camera(points), replace(camera, view=_without_motion(view))
    mesh, notes = _usable(points, prediction.mesh.triangles, isinstance(mine.view, Perspective))
    if not _same_camera(mine.view, camera.view):
        middle = _mean_depth(mesh, mine)
        points = _adjusted(points, middle, mine.view, camera.view)
        mesh = mesh.with_vertices(_adjusted(mesh.vertices_mm, middle, mine.view, camera.view))
    if isinstance(camera.view, Perspective) and not keep_size:
        height = float(np.ptp(mesh.vertices_mm[:, 1]))
        if height <= 0:
            raise PredictionError("the mesh has no height in the picture")
        scale = _HEIGHTS_IN_PUPILS * STANDARD_PUPILS_MM / height
        points, mesh = points * scale, mesh.with_vertices(mesh.vertices_mm * scale)
    return Placed(mesh, points, tuple(notes))


def _without_motion(view: View) -> View:
    """The camera seen from its own frame."""
    if isinstance(view, Orthographic):
        return Orthographic(view.scale, np.eye(3), view.t)
    return Perspective(view.K, np.eye(3), np.zeros(3))


def _usable(points: Floats, triangles: Ints32, perspective: bool) -> tuple[Mesh, list[str]]:
    """The triangles of finite vertices before the camera, with no other vertices."""
    if not len(triangles):
        raise PredictionError("the mesh is empty: it has no triangles")
    notes = []
    finite: Bools = np.asarray(np.isfinite(points).all(axis=1))
    keep: Bools = np.asarray(finite[triangles].all(axis=1))
    if not keep.any():
        raise PredictionError("no triangle of the mesh has finite vertices")
    if not finite.all():
        notes.append(f"{int((~finite).sum()):,} of {len(finite):,} vertices are not finite and were left out")
    if perspective:
        before: Bools = np.asarray(keep & (np.nan_to_num(points)[triangles, 2] > 0).all(axis=1))
        if not before.any():
            raise PredictionError("the mesh lies behind the camera")
        if (behind := int(keep.sum() - before.sum())) > 0:
            notes.append(f"{behind:,} of {len(triangles):,} triangles lie behind the camera and were left out")
        keep = before
    return submesh(Mesh(np.where(finite[:, None], points, 0.0), triangles), keep)[0], notes


def _mean_depth(mesh: Mesh, seen_by: TrueCamera) -> float:
    """Of what a camera sees of the mesh, whichever side is out."""
    orthographic = isinstance(seen_by.view, Orthographic)
    depth, _ = depth_map(Surface(mesh), sight(seen_by), orthographic=orthographic, both_sides=True)
    if not (depth != 0).any():
        raise PredictionError("the mesh lies outside the picture")
    return float(depth[depth != 0].mean())


def _adjusted(points: Floats, middle: float, mine: View, true: View) -> Floats:
    """From the frame of the camera that it was predicted with to the frame of the true one; middle: mean depth."""
    if isinstance(mine, Perspective):
        per_unit = np.array([mine.K[0, 0], mine.K[1, 1]]) / middle  # px of one unit at the mean depth
        pixels = points[:, :2] * per_unit + mine.K[:2, 2]
    else:
        per_unit = np.array([mine.scale, mine.scale])
        pixels = points[:, :2] * mine.scale + mine.t
    relief = (points[:, 2] - middle) * float(np.sqrt(per_unit.prod()))  # px, as wide as it is deep
    if isinstance(true, Orthographic):
        return np.asarray(np.c_[(pixels - true.t) / true.scale, relief / true.scale])
    focal = np.array([true.K[0, 0], true.K[1, 1]])
    depth = float(np.sqrt(focal.prod()))  # where one pixel is one unit; the scale is found by the alignment
    return np.asarray(np.c_[(pixels - true.K[:2, 2]) * (depth / focal), relief + depth])


def _same_camera(a: View, b: View) -> bool:
    """Whether two cameras make the same picture of what lies in their frame."""
    if isinstance(a, Perspective) and isinstance(b, Perspective):
        return np.allclose(a.K, b.K, rtol=1e-9, atol=1e-9)
    if isinstance(a, Orthographic) and isinstance(b, Orthographic):
        return np.allclose([a.scale, *a.t], [b.scale, *b.t], rtol=1e-9, atol=1e-9)
    return False
