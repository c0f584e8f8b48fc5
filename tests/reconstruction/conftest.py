"""A bumpy egg of known shape, photographed by a ring of cameras with lens distortion."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.working_volume import choose_neighbours, working_volume
from processing.reconstruction.image_pyramid import pyramid
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.scratch_files import Scratch
from processing.reconstruction.settings import ReconstructionSettings, Scan
from processing.reconstruction.stereo_matching_compiled import CompiledKernels
from processing.reconstruction.stereo_views import StereoViews

WIDTH, HEIGHT, FOCAL, DISTANCE_MM = 160, 240, 480.0, 600.0
FOOTPRINT_MM = DISTANCE_MM / FOCAL  # a pixel spans 1.25 mm


def look_at(centre_mm: np.ndarray, target_mm: np.ndarray, name: str, scale: float = 1.0) -> Camera:
    z = (target_mm - centre_mm) / np.linalg.norm(target_mm - centre_mm)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z])
    width, height = round(WIDTH * scale), round(HEIGHT * scale)
    K = np.array([[FOCAL * scale, 0, width / 2 + 1.7], [0, FOCAL * scale, height / 2 - 2.3], [0, 0, 1]])
    return Camera(K, R, -R @ centre_mm, width, height, np.array([-0.06, 0.02, 0.001, -0.001, 0.0]), name)


def ring(columns: int = 6, spacing_deg: float = 18.0, scale: Callable[[int], float] = lambda _: 1.0) -> list[Camera]:
    """Two rows of cameras before the egg."""
    cameras = []
    for elevation in (-9.0, 9.0):
        for column in range(columns):
            azimuth, el = np.radians(spacing_deg * (column - (columns - 1) / 2)), np.radians(elevation)
            out = np.array([np.sin(azimuth) * np.cos(el), np.sin(el), np.cos(azimuth) * np.cos(el)])
            i = len(cameras)
            cameras.append(look_at(DISTANCE_MM * out, np.array([3.0, -2.0, 4.0]), str(i), scale(i)))
    return cameras


def egg() -> Mesh:
    """A closed bumpy ellipsoid of about 110 x 150 x 100 mm."""
    theta, phi = np.linspace(0, np.pi, 181), np.linspace(0, 2 * np.pi, 361)[:-1]
    t, p = np.meshgrid(theta, phi, indexing="ij")
    unit = np.stack([np.sin(t) * np.sin(p), np.cos(t), np.sin(t) * np.cos(p)], axis=-1)
    bumps = (
        1
        + 0.04 * np.sin(7 * unit[..., 0]) * np.sin(6 * unit[..., 1])
        + 0.02 * np.sin(11 * unit[..., 1] + 5 * unit[..., 0])
    )
    vertices = (unit * bumps[..., None] * [55.0, 75.0, 50.0]).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(180), np.arange(360), indexing="ij")
    a, b = i * 360 + j, i * 360 + (j + 1) % 360
    triangles = np.concatenate(
        [np.stack([a, a + 360, b], -1).reshape(-1, 3), np.stack([b, a + 360, b + 360], -1).reshape(-1, 3)]
    )
    return Mesh(vertices, triangles.astype(np.int32))


def solid_noise(points: np.ndarray, scale_mm: float, seed: int) -> np.ndarray:
    """(N,) smooth random values of a solid texture, about unit variance."""
    volume = np.random.default_rng(seed).standard_normal((32, 32, 32))
    q = points / scale_mm
    whole = np.floor(q).astype(int)
    f = q - whole
    f = f * f * (3 - 2 * f)
    total = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, f, 1 - f), axis=1)
        total += weight * volume[tuple(((whole + corner) % 32).T)]
    return total


def texture(points: np.ndarray) -> np.ndarray:
    """(N, 3) BGR: skin-like, detail of some pixels."""
    value = 0.5 * solid_noise(points, 9.0, 1) + 0.6 * solid_noise(points, 3.5, 2) + 0.4 * solid_noise(points, 2.0, 3)
    return np.array([95.0, 120.0, 165.0]) * np.exp(0.16 * value)[:, None]


@dataclass(frozen=True, eq=False)
class Scene:
    mesh: Mesh
    cameras: list[Camera]
    images: list[np.ndarray]

    def truth(self, count: int = 6000) -> np.ndarray:
        """(N, 3) points of the true surface that at least three cameras see at less than 65 degrees."""
        rng = np.random.default_rng(0)
        area = np.linalg.norm(self.mesh.triangle_cross, axis=1)
        pick = rng.choice(len(area), 4 * count, p=area / area.sum())
        points = self.mesh.vertices_mm[self.mesh.triangles[pick]].mean(axis=1)
        normals = self.mesh.triangle_normals[pick]
        surface, views = Surface(self.mesh), np.zeros(len(points), int)
        for camera in self.cameras:
            toward = camera.centre - points
            distance = np.linalg.norm(toward, axis=1)
            facing = (toward * normals).sum(axis=1) / distance > 0.42
            blocked = np.isfinite(surface.cast(points + 0.01 * normals, toward / distance[:, None])[0])
            views += facing & ~blocked
        return points[views >= 3][:count]


def photograph(surface: Surface, camera: Camera, seed: int, background: float | None) -> np.ndarray:
    """(H, W, 3) BGR of the textured surface, four rays a pixel, noisy. background: its grey; None for clutter."""
    fine = camera.scaled(2.0)
    x, y = np.meshgrid(np.arange(fine.width), np.arange(fine.height))
    directions = fine.rays(np.c_[x.ravel(), y.ravel()].astype(float))
    distance, _, _ = surface.cast(np.broadcast_to(camera.centre, directions.shape), directions)
    hit = np.isfinite(distance)
    image = np.full((fine.width * fine.height, 3), background or 0.0)
    if background is None:  # a wall far behind, textured
        away = 2600.0 + 40 * np.abs(directions[:, :1])
        image[:] = texture((camera.centre + directions * away) / 6.0)
    image[hit] = texture(camera.centre + directions[hit] * distance[hit, None])
    small = cv2.resize(
        image.reshape(fine.height, fine.width, 3), (camera.width, camera.height), interpolation=cv2.INTER_AREA
    )
    noisy = small + np.random.default_rng(seed).normal(0, 1.0, small.shape)
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)


def make_scene(cameras: Sequence[Camera], background: float | None = 30.0) -> Scene:
    mesh = egg()
    surface = Surface(mesh)
    images = [photograph(surface, camera, i, background) for i, camera in enumerate(cameras)]
    return Scene(mesh, list(cameras), images)


def distances(points: np.ndarray, scan: Scan) -> np.ndarray:
    """(N,) mm from points to the scan, cut at 5 mm."""
    return np.minimum(Surface(scan.mesh).closest(points).distance_mm, 5.0)


QUICK = ReconstructionSettings(workers=2)


class Tools:
    """The helpers of this file, for the tests (there are no packages under tests/)."""

    footprint_mm = FOOTPRINT_MM
    quick = QUICK
    ring = staticmethod(ring)
    make_scene = staticmethod(make_scene)
    distances = staticmethod(distances)


@pytest.fixture(scope="session")
def tools() -> type[Tools]:
    return Tools


@pytest.fixture(scope="session")
def scene() -> Scene:
    return make_scene(ring())


@pytest.fixture(scope="session")
def truth(scene: Scene) -> np.ndarray:
    return scene.truth()


@pytest.fixture(scope="session")
def scan(scene: Scene) -> Scan:
    return reconstruct(scene.images, scene.cameras, settings=QUICK)


@pytest.fixture(scope="session")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as two:
        yield two


@pytest.fixture(scope="session")
def rig(scene: Scene) -> StereoViews:
    """The scene's pyramids and which views are compared; every other view may confirm a depth."""
    volume, _ = working_volume(scene.cameras)
    scratch = Scratch(1e9)
    pyramids = [pyramid(i, c, np.zeros(3), QUICK, scratch) for i, c in zip(scene.images, scene.cameras, strict=True)]
    every = list(range(len(pyramids)))
    neighbours = choose_neighbours(scene.cameras, volume.centre_mm, 5, (6.0, 30.0))
    near = [[j for j in every if j != i] for i in every]
    return StereoViews(pyramids, volume, every, neighbours, near, [0.3] * len(every), QUICK, CompiledKernels(), scratch)
