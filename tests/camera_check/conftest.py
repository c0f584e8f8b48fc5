"""A photographed subject at a part of its size, and the faults that a studio knows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from common.array_types import Image
from processing.camera_check.camera_check import CheckedCameras, check_cameras
from processing.files.take_folder import read_photos, read_take
from processing.geometry.cameras import Camera

SUBJECT = Path(__file__).resolve().parents[3] / "shared" / "data" / "subject-11"
FACTOR = 0.5  # 400 x 600 px


@dataclass(frozen=True, eq=False)
class Photographed:
    """Photographs and the cameras that took them; names are the views' numbers."""

    images: tuple[Image, ...]
    cameras: tuple[Camera, ...]

    def of(self, views: Sequence[int]) -> "Photographed":
        return Photographed(tuple(self.images[v] for v in views), tuple(self.cameras[v] for v in views))

    def with_images(self, changed: dict[int, Image]) -> "Photographed":
        return replace(self, images=tuple(changed.get(v, image) for v, image in enumerate(self.images)))

    def with_cameras(self, changed: dict[int, Camera]) -> "Photographed":
        return replace(self, cameras=tuple(changed.get(v, camera) for v, camera in enumerate(self.cameras)))

    def watched(self) -> CheckedCameras:
        return check_cameras(self.images, self.cameras, workers=2)


def turned(camera: Camera, degrees: float, axis: Sequence[float]) -> Camera:
    """Turned about its own lens."""
    unit = np.asarray(axis, dtype=np.float64)
    R = Rotation.from_rotvec(np.radians(degrees) * unit / np.linalg.norm(unit)).as_matrix()
    return replace(camera, R=R @ camera.R, t=R @ camera.t)


def shifted(camera: Camera, mm: Sequence[float]) -> Camera:
    """Moved along its own axes."""
    return replace(camera, t=camera.t - np.asarray(mm, dtype=np.float64))


def weak(image: Image, contrast: float, seed: int) -> Image:
    """Its texture (what differs from the mean around) weakened, with a camera's noise."""
    mean = cv2.GaussianBlur(image, (0, 0), 5.0).astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, 1.0, image.shape)
    return np.asarray((mean + contrast * (image - mean) + noise).clip(0, 255), dtype=np.uint8)


class Faults:
    """The helpers of this file, for the tests (there are no packages under tests/)."""

    turned = staticmethod(turned)
    shifted = staticmethod(shifted)
    weak = staticmethod(weak)


@pytest.fixture(scope="session")
def faults() -> type[Faults]:
    return Faults


def photographed(expression: str, views: Sequence[int]) -> Photographed:
    take, images = read_photos(read_take(SUBJECT / expression))
    small, cameras = [], []
    for v in views:
        camera = take.cameras[v].scaled(FACTOR)
        size = (camera.width, camera.height)
        small.append(np.asarray(cv2.resize(images[v], size, interpolation=cv2.INTER_AREA), dtype=np.uint8))
        cameras.append(camera)
    return Photographed(tuple(small), tuple(cameras))


@pytest.fixture(scope="session")
def subject() -> Photographed:
    """The 30 frontal views of a neutral face."""
    if not SUBJECT.is_dir():
        pytest.skip("the test data of ../shared/data are not here")
    return photographed("1_neutral", range(30))
