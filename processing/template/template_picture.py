"""Pictures of a template, for a person to check it by eye."""

import cv2
import numpy as np

from common.array_types import Floats, Image
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.geometry.mesh import Mesh
from processing.geometry.photograph_rendering import Scene
from processing.template.template import Template

_PART_COLOURS = np.array([[0.55, 0.45, 0.38], [0.75, 0.75, 0.78], [0.40, 0.12, 0.12]], dtype=np.float32)


def draw_template(template: Template, size: int = 720) -> Image:
    """(2 or more x size, 2 x size, 3) BGR: front, side and below with landmarks, the UV layout, small expressions."""
    mesh = template.mesh
    middle = 0.5 * (mesh.vertices_mm.min(0) + mesh.vertices_mm.max(0))
    extent = float(np.ptp(mesh.vertices_mm, axis=0).max())
    points = template.landmark_points(mesh.vertices_mm)
    views = [
        _view(template, mesh.vertices_mm, a, e, size, middle, extent, points) for a, e in ((0, 0), (60, 0), (0, -45))
    ]
    rows = [np.hstack(views[:2]), np.hstack([views[2], _uv_layout(mesh, size)])]
    small = [
        _titled(_view(template, vertices, 15, 0, size * 2 // 5, middle, extent, None), name)
        for name, vertices in template.expressions.items()
    ]
    for start in range(0, len(small), 5):
        row = small[start : start + 5]
        row += [np.zeros_like(row[0])] * (5 - len(row))
        rows.append(np.hstack(row)[:, : 2 * size])
    width = max(r.shape[1] for r in rows)
    return np.vstack([np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0))) for r in rows])


def _view(
    template: Template, vertices: Floats, azimuth: float, elevation: float, size: int, middle: Floats, extent: float,
    points: Floats | None,
) -> Image:  # fmt: skip
    towards = direction_of(azimuth, elevation)
    centre = middle + 4 * extent * towards
    R = upright_rotation(-towards)
    K = np.array([[3.7 * size, 0, (size - 1) / 2], [0, 3.7 * size, (size - 1) / 2], [0, 0, 1]])
    camera = Camera(K=K, R=R, t=-R @ centre, width=size, height=size)
    mesh = Mesh(vertices, template.mesh.triangles)
    image = Scene(mesh, _PART_COLOURS[template.parts.clip(0, 2)]).photograph(camera)
    for number, (x, y) in enumerate(camera.project(points) if points is not None else ()):
        at = round(float(x)), round(float(y))
        cv2.circle(image, at, 2, (40, 40, 255), -1, cv2.LINE_AA)
        cv2.putText(
            image, str(number), (at[0] + 3, at[1] - 2), cv2.FONT_HERSHEY_SIMPLEX, 0.32, (60, 255, 60), 1, cv2.LINE_AA
        )
    return image


def _titled(image: Image, title: str) -> Image:
    cv2.putText(image, title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1, cv2.LINE_AA)
    return image


def _uv_layout(mesh: Mesh, size: int) -> Image:
    """(size, size, 3) BGR: the edges of the UV layout; empty for a mesh without UVs."""
    image = np.full((size, size, 3), 24, np.uint8)
    if mesh.uvs is not None and mesh.uv_triangles is not None:
        pixels = np.stack([mesh.uvs[:, 0] * size, (1 - mesh.uvs[:, 1]) * size], axis=1) - 0.5
        corners = np.round(pixels[mesh.uv_triangles] * 8).astype(np.int32)
        cv2.polylines(image, list(corners), True, (170, 190, 210), 1, cv2.LINE_AA, 3)
    return image
