"""Photographs of a ChArUco board with known truth, for tests and for trying a rig out before it is built."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from common.array_types import Floats, Image
from common.charuco.calibration_needs import FEWEST_CORNERS
from common.charuco.charuco_board import Board
from processing.calibration.corner_detection import Detection
from processing.geometry.cameras import Camera, upright_rotation


@dataclass(frozen=True)
class ShotConditions:
    """How a photograph is spoilt."""

    #: Of the lens, a Gaussian's standard deviation.
    blur_px: float = 0.6
    #: Read noise, of full scale.
    noise: float = 0.004
    #: Electrons at full scale.
    shot: float = 12_000.0
    #: How much darker the dark side is than the light one, 0..1.
    shade: float = 0.3
    #: Share of the board's width hidden by a hand or a cable.
    covered: float = 0.0
    #: Stickers of the same dictionary that lie beside the board, with numbers of the board.
    clutter: int = 0
    #: A factor.
    exposure: float = 1.0
    #: Rays a pixel's side.
    samples: int = 3


@dataclass(frozen=True, eq=False)
class Pose:
    """The board in the world: x_world = R x_board + t, mm; its print faces against R's third column."""

    R: Floats
    t: Floats
    name: str = field(default="")


@lru_cache(maxsize=4)
def _rays(camera: Camera) -> tuple[Floats, Floats, Floats]:
    """(H, W, 2) normalised coordinates of every pixel, the lens undone to 1e-12, and their slopes along x and y.

    Between the middles of pixels a lens is straight to a millionth of a pixel.
    """
    criteria = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    grid = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1).astype(np.float64)
    flat = cv2.undistortPoints(grid.reshape(-1, 1, 2), camera.K, camera.distortion, None, None, None, criteria)
    rays = np.asarray(flat, np.float64).reshape(camera.height, camera.width, 2)
    return rays, np.asarray(np.gradient(rays, axis=1)), np.asarray(np.gradient(rays, axis=0))


def render_board(
    board: Board, camera: Camera, pose: Pose, shot: ShotConditions = ShotConditions(),
    rng: np.random.Generator | None = None,
) -> Image:  # fmt: skip
    """(H, W) uint8, gamma 2.2: the board before a mottled wall. rng None: no noise and no clutter.

    Every sample of every pixel is traced through the lens onto the print, so nothing is resampled.
    """
    picture = _wall(camera)
    R = camera.R @ pose.R
    t = camera.R @ pose.t + camera.t
    if R[:, 2] @ t > 0:  # the print, not its back, is towards the lens
        _paint(picture, board, camera, R, t, shot)
    if rng is not None:
        for _ in range(shot.clutter):
            _stick(picture, board, rng)
    if shot.blur_px:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), shot.blur_px), np.float32)
    slope = np.linspace(0, 1, camera.width, dtype=np.float32)[None] * np.linspace(1, 0.4, camera.height)[:, None]
    exposed = picture * (1 - shot.shade * slope) * shot.exposure
    if rng is not None:
        exposed = exposed + np.sqrt(shot.noise**2 + exposed.clip(0) / shot.shot) * rng.standard_normal(exposed.shape)
    return np.asarray(exposed.clip(0, 1) ** (1 / 2.2) * 255 + 0.5, dtype=np.uint8)


def _wall(camera: Camera) -> NDArray[np.float32]:
    coarse = np.random.default_rng(7).uniform(0.05, 0.16, (12, 12)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC))


def _paint(
    picture: NDArray[np.float32], board: Board, camera: Camera, R: Floats, t: Floats, shot: ShotConditions
) -> None:
    half = np.array(board.size_mm) / 2 + board.square_mm / 2  # with a white rim
    edge = np.linspace(-1, 1, 21)
    rim = np.concatenate(
        [np.c_[edge, s * np.ones(21)] for s in (-1, 1)] + [np.c_[s * np.ones(21), edge] for s in (-1, 1)]
    )
    outline = np.c_[rim * half, np.zeros(len(rim))] @ R.T + t
    if (outline[:, 2] < 50).any():
        return
    flat = Camera(K=camera.K, R=np.eye(3), t=np.zeros(3), width=camera.width, height=camera.height,
                  distortion=camera.distortion)  # fmt: skip
    pixels = flat.project(outline)
    low = np.clip(np.floor(pixels.min(0)) - 3, 0, [camera.width, camera.height]).astype(int)
    high = np.clip(np.ceil(pixels.max(0)) + 4, 0, [camera.width, camera.height]).astype(int)
    if (high <= low).any():
        return
    (x0, y0), (x1, y1) = low, high
    s = shot.samples
    to_plane = np.linalg.inv(np.stack([R[:, 0], R[:, 1], t], axis=1))
    rays, along_x, along_y = _rays(camera)
    # No two samples of a pixel in one line: an edge along the pixels moves in steps of 1/s^2, not 1/s.
    places = (np.arange(s) + 0.5) / s - 0.5
    shift = (np.arange(s) - (s - 1) / 2) / s**2
    dx, dy = places[None, :] + shift[:, None], places[:, None] - shift[None, :]
    for top in range(y0, y1, 64):  # bounds the memory
        bottom = min(top + 64, y1)
        cut = (slice(top, bottom), slice(x0, x1))
        sampled = rays[cut][:, :, None, None] + along_x[cut][:, :, None, None] * dx[:, :, None]
        sampled = (sampled + along_y[cut][:, :, None, None] * dy[:, :, None]).reshape(-1, 2)
        ray = sampled @ to_plane[:, :2].T + to_plane[:, 2]
        x, y = (ray[:, :2] / ray[:, 2:]).T
        on = (np.abs(x) < half[0]) & (np.abs(y) < half[1])
        on &= x > (shot.covered * 2 - 1) * half[0] if shot.covered else True
        value = np.where(board.light(x, y), 0.75, 0.03)
        shown = np.where(on, value, np.repeat(picture[cut].ravel(), s * s))
        picture[cut] = shown.reshape(bottom - top, x1 - x0, s * s).mean(2)


def _stick(picture: NDArray[np.float32], board: Board, rng: np.random.Generator) -> None:
    """A copy of some squares of the board, upright, anywhere in the picture."""
    side = max(24, round(min(picture.shape) * rng.uniform(0.08, 0.16)))
    span = 2 * board.square_mm
    corner = [rng.integers(0, max(1, n - 2)) * board.square_mm - n * board.square_mm / 2
              for n in (board.squares_x, board.squares_y)]  # fmt: skip
    step = (np.arange(side * 3) + 0.5) / (side * 3) * span
    light = board.light(*np.meshgrid(corner[0] + step, corner[1] + step))
    patch = np.where(light, 0.7, 0.03).reshape(side, 3, side, 3).mean((1, 3))
    y, x = (int(rng.integers(0, max(1, n - side))) for n in picture.shape)
    picture[y : y + side, x : x + side] = patch


def poses_about(
    count: int,
    rng: np.random.Generator,
    *,
    reach_mm: float = 120.0,
    towards: Sequence[Floats] = (),
    tilt_deg: float = 45.0,
) -> list[Pose]:
    """Poses within `reach_mm` of the origin, in turn facing each of `towards` (camera centres; none: any direction)
    tilted by up to `tilt_deg`."""
    poses = []
    for i in range(count):
        facing = np.asarray(towards[i % len(towards)], float) if len(towards) else rng.normal(size=3) * [1, 0.3, 1]
        R = upright_rotation(-facing / np.linalg.norm(facing)).T
        axis = rng.normal(size=3)
        axis[2] *= 0.4
        axis *= np.radians(tilt_deg) * rng.uniform(0.4, 1) / np.linalg.norm(axis)
        tilt = Rotation.from_rotvec(axis).as_matrix()
        poses.append(Pose(R @ tilt, rng.uniform(-reach_mm, reach_mm, 3), f"pose-{i:02d}"))
    return poses


def faces_camera(camera: Camera, pose: Pose) -> bool:
    """Whether the print faces the camera by less than 65 degrees."""
    towards = camera.centre - pose.t
    return bool(-pose.R[:, 2] @ towards > np.cos(np.radians(65)) * np.linalg.norm(towards))


def corners_seen(
    board: Board, cameras: Sequence[Camera], poses: Sequence[Pose], noise_px: float, rng: np.random.Generator
) -> dict[tuple[int, int], Detection]:
    """(camera, pose) -> the corners where they truly are, with Gaussian noise of this standard deviation each way.

    What shows fewer corners than a detection needs is left out.
    """
    views = {}
    for c, camera in enumerate(cameras):
        for p, pose in enumerate(poses):
            if not faces_camera(camera, pose):
                continue
            pixels = camera.project(board.corners_mm @ pose.R.T + pose.t)
            pixels = pixels + rng.normal(0, noise_px, pixels.shape)
            inside = ((pixels > 5) & (pixels < np.array([camera.width, camera.height]) - 6)).all(1)
            if inside.sum() >= FEWEST_CORNERS:
                views[c, p] = Detection(np.flatnonzero(inside), pixels[inside], camera.width, camera.height)
    return views
