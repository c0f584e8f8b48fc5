"""View visibility: which camera sees which vertex, and how well."""

from collections.abc import Sequence

import numpy as np

from common.array_types import Floats32
from common.progress import Progress, no_progress
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface

# A grazing view smears the texture: views beyond acos(0.2) = 78 degrees from the normal do not count.
MIN_COSINE = 0.2
RAY_START_MM = 0.3
BORDER_PX = 8.0


def view_weights(mesh: Mesh, cameras: Sequence[Camera], *, progress: Progress = no_progress) -> Floats32:
    """(V, C) how good a look each camera has at each vertex; 0 where it is hidden, turned away or out of the picture.

    The weight is the resolution on the surface (px per mm, squared) times the cosine to the normal, squared again to
    prefer views from the front, and falls to 0 towards what hides the vertex and towards the picture's border.
    """
    surface = Surface(mesh)
    normals, vertices = mesh.vertex_normals, mesh.vertices_mm
    adjacency = mesh.adjacency()
    degree = np.asarray(adjacency.sum(axis=1)).clip(1)
    weights = np.zeros((len(vertices), len(cameras)), dtype=np.float32)
    for number, camera in enumerate(cameras):
        progress(number / len(cameras), f"what camera {number + 1} of {len(cameras)} sees")
        toward = camera.centre - vertices
        distance = np.linalg.norm(toward, axis=1)
        toward /= distance[:, None]
        cosine = np.einsum("vd,vd->v", toward, normals)
        front = np.flatnonzero(cosine > MIN_COSINE)
        if not len(front):
            continue
        pixels = camera.project(vertices[front])
        inside = (
            np.minimum(pixels, [camera.width - 1, camera.height - 1] - pixels).min(axis=1)
            if len(pixels)
            else np.zeros(0)
        )
        border = np.nan_to_num(inside / BORDER_PX, nan=0.0).clip(0, 1)
        hit, _, _ = surface.cast(vertices[front] + RAY_START_MM * normals[front], toward[front])
        clear = np.zeros(len(vertices))
        clear[front] = ~(hit < distance[front]) & (border > 0)
        # A vertex with a hidden neighbour lies at an occluding edge, where a small error fetches the wrong surface.
        edge = np.square((adjacency @ clear) / degree)
        scale = (camera.K[0, 0] / distance[front]) ** 2
        quality = scale * np.square((cosine[front] - MIN_COSINE) / (1 - MIN_COSINE)) * cosine[front]
        weights[front, number] = quality * border * (clear * edge)[front]
    return weights


def keep_best_views(weights: Floats32, most: int) -> Floats32:
    """The `most` best views of each vertex, each less what the next one would have: so views fade and never jump."""
    if weights.shape[1] <= most:
        return weights
    threshold = -np.partition(-weights, most, axis=1)[:, most]
    return np.asarray((weights - threshold[:, None]).clip(0), dtype=np.float32)
