"""Surfaces and cameras with closed formulas, for tests of the numerics."""

from collections.abc import Callable

import numpy as np
import pytest

from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh

MakeSphere = Callable[..., Mesh]
MakeCameras = Callable[..., list[Camera]]


def make_uv_sphere(rings: int = 24, radius_mm: float = 50.0) -> Mesh:
    """A sphere with one UV chart, its seam at the back (-z) and its poles at +-y; outside is counter-clockwise."""
    columns = 2 * rings
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    around = -np.pi + 2 * np.pi * np.arange(columns) / columns
    p, a = np.meshgrid(polar, around, indexing="ij")
    ring = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], axis=2).reshape(-1, 3)
    vertices = radius_mm * np.concatenate([[[0, 1, 0]], ring, [[0, -1, 0]]])

    def at(i: int, j: int) -> int:
        return 0 if i == 0 else len(vertices) - 1 if i == rings else 1 + (i - 1) * columns + j % columns

    def uv_at(i: int, j: int) -> int:
        return i * (columns + 1) + j

    u, v = np.meshgrid(np.linspace(0, 1, columns + 1), np.linspace(1, 0, rings + 1))
    uvs = 0.05 + 0.9 * np.stack([u.ravel(), v.ravel()], axis=1)
    corners = []
    for i in range(rings):
        for j in range(columns):
            if i < rings - 1:
                corners.append(((i, j), (i + 1, j), (i + 1, j + 1)))
            if i > 0:
                corners.append(((i, j), (i + 1, j + 1), (i, j + 1)))
            if i == 0:
                corners[-1] = ((0, j), (1, j), (1, j + 1))
            if i == rings - 1:
                corners[-1] = ((i, j), (rings, j), (i, j + 1))
    triangles = np.array([[at(*c) for c in t] for t in corners], dtype=np.int32)
    uv_triangles = np.array([[uv_at(*c) for c in t] for t in corners], dtype=np.int32)
    return Mesh(vertices, triangles, uvs, uv_triangles)


def make_ring_of_cameras(
    count: int = 12, distance_mm: float = 500.0, size: tuple[int, int] = (240, 240), focal: float = 800.0
) -> list[Camera]:
    """Cameras around the y axis, at two heights, looking at the origin."""
    cameras = []
    for k in range(count):
        azimuth, elevation = 2 * np.pi * k / count, (-0.5, 0.5)[k % 2]
        out = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
        z = -out
        x = np.cross(z, [0.0, 1.0, 0.0])
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
        distortion = np.array([-0.02, 0.01, 0.0005, -0.0005, 0.0])
        camera = Camera(K=K, R=R, t=-R @ (distance_mm * out), distortion=distortion, width=size[0], height=size[1])
        cameras.append(camera)
    return cameras


@pytest.fixture(scope="session")
def uv_sphere() -> MakeSphere:
    return make_uv_sphere


@pytest.fixture(scope="session")
def ring_of_cameras() -> MakeCameras:
    return make_ring_of_cameras
