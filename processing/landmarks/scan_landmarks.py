"""Landmarks of a scan without photographs: detected in pictures of the scan from several sides, then triangulated."""

from collections.abc import Sequence

import numpy as np

from common.array_types import Floats, Image
from common.progress import Progress, no_progress, part
from processing.errors import MeshError, NoFace
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.units import guess_unit
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.landmarks.triangulation import triangulate_landmarks

SIDES_DEG = tuple((azimuth, elevation) for elevation in (-12, 12) for azimuth in (-35, -20, -7, 7, 20, 35))
FEW_SIDES_DEG = ((-28, 0), (-12, 12), (-12, -12), (12, 12), (12, -12), (28, 0))  # half the time, for a first guess
HEIGHT_PX, SMALL_PX = 560, 420
FACE_MM = (80.0, 900.0)


def landmarks_of_scan(
    scan: Mesh,
    *,
    sides_deg: Sequence[tuple[float, float]] = SIDES_DEG,
    height_px: int = HEIGHT_PX,
    rng: np.random.Generator | None = None,
    progress: Progress = no_progress,
) -> Landmarks3d:
    """The 68 landmarks of a scan in the head frame (mm, y up, z out of the face), coloured or not.

    sides_deg: azimuth and elevation from which it is looked at, in pictures of this height.
    Raises MeshError for a mesh of a size that no head has, NoFace where no face is seen on it.
    """
    low, high = scan.vertices_mm.min(axis=0), scan.vertices_mm.max(axis=0)
    size = high - low
    if not FACE_MM[0] <= float(size.max()) <= FACE_MM[1]:
        raise MeshError(
            f"the scan measures {size[0]:.3g} x {size[1]:.3g} x {size[2]:.3g}{guess_unit(float(size.max()), 280.0)}; "
            "a head in millimetres is 150 to 350 high. Bring it to millimetres."
        )
    surface = Surface(scan)
    pictures, cameras = [], []
    for number, (azimuth, elevation) in enumerate(sides_deg):
        progress(0.4 * number / len(sides_deg), "looking at the scan")
        camera = _camera_at((low + high) / 2, float(size.max()), (azimuth, elevation), height_px)
        pictures.append(_shaded(surface, camera))
        cameras.append(camera)
    try:
        found = triangulate_landmarks(pictures, cameras, rng=rng, progress=part(progress, 0.4, 1.0))
    except NoFace:
        found = None
    if found is None or float(np.median(found.views)) < len(sides_deg) / 2:
        raise NoFace(
            "no face was found on the scan: it is none, is turned (wanted: mm, y up, z out of the face) or inside out, "
            "or half of it is missing. Turn it, or give --landmarks (to mien register also --photos)."
        )
    return found


def _camera_at(middle: Floats, size_mm: float, side_deg: tuple[float, float], height_px: int) -> Camera:
    """A camera far enough away to see a scan of this size whole."""
    towards = direction_of(*side_deg)
    R = upright_rotation(-towards)
    distance_mm = 5.0 * size_mm
    focal = height_px * distance_mm / (1.15 * size_mm)
    half = (height_px - 1) / 2
    K = np.array([[focal, 0, half], [0, focal, half], [0, 0, 1.0]])
    return Camera(K=K, R=R, t=-R @ (middle + distance_mm * towards), width=height_px, height=height_px)


def _shaded(surface: Surface, camera: Camera) -> Image:
    """(H, W, 3) the scan's own colours where it has them, else grey skin, under a soft light from the camera."""
    mesh = surface.mesh
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64))
    distance, triangle, barycentric = surface.cast(np.broadcast_to(camera.centre, rays.shape), rays)
    hit = np.isfinite(distance)
    corners = mesh.triangles[triangle[hit]]
    normals = np.einsum("nk,nkd->nd", barycentric[hit], mesh.vertex_normals[corners])
    light = -rays[hit] + 0.5 * np.array([0.3, 0.8, 0.0])
    light /= np.linalg.norm(light, axis=1, keepdims=True)
    shade = 0.2 + 0.8 * np.einsum("nd,nd->n", normals, light).clip(0, 1)
    if mesh.colors is not None:
        skin = np.einsum("nk,nkd->nd", barycentric[hit], mesh.colors[corners].astype(np.float64))[:, ::-1]
        shade = 0.6 + 0.4 * shade
    else:
        skin = np.full((int(hit.sum()), 3), (170.0, 185.0, 215.0))
    image = np.full((len(rays), 3), 40.0)
    image[hit] = skin * shade[:, None]
    return image.round().clip(0, 255).astype(np.uint8).reshape(camera.height, camera.width, 3)
