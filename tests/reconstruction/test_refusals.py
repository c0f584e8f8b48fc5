"""What cannot be reconstructed is refused with the reason and exit code 4."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from processing.errors import DataError, DeviceUnavailable, ReconstructionError, ShapeError
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import ReconstructionSettings


def test_five_views_are_too_few(scene: Any, tools: Any) -> None:
    with pytest.raises(ReconstructionError, match="5 usable views"):
        reconstruct(scene.images[:5], scene.cameras[:5], settings=tools.quick)


def test_unusable_photographs_are_named(scene: Any, tools: Any) -> None:
    images = [np.full_like(i, 90) if k < 7 else i for k, i in enumerate(scene.images)]
    with pytest.raises(ReconstructionError, match=r"5 usable views of 12(.|\n)*camera 6 ") as caught:
        reconstruct(images, scene.cameras, settings=tools.quick)
    assert caught.value.exit_code == 4


def test_cameras_in_parallel_have_no_common_point(scene: Any, tools: Any) -> None:
    R = scene.cameras[0].R
    cameras = [replace(c, R=R, t=-R @ (c.centre + np.array([40.0 * k, 0, 0]))) for k, c in enumerate(scene.cameras)]
    with pytest.raises(ReconstructionError, match="parallel"):
        reconstruct(scene.images, cameras, settings=tools.quick)


def test_cameras_that_look_away_are_named(scene: Any, tools: Any) -> None:
    flip = np.diag([-1.0, 1.0, -1.0])
    cameras = [replace(c, R=flip @ c.R, t=flip @ c.t) for c in scene.cameras]
    with pytest.raises(ReconstructionError, match="common point"):
        reconstruct(scene.images, cameras, settings=tools.quick)


def test_photographs_of_other_cameras_reconstruct_nothing(scene: Any, tools: Any) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, i.shape, dtype=np.uint8) for i in scene.images]
    with pytest.raises(DataError, match=r"nothing was reconstructed|no surface"):
        reconstruct(images, scene.cameras, settings=tools.quick)


def test_counts_and_sizes_must_fit(scene: Any, tools: Any) -> None:
    with pytest.raises(ShapeError, match="one a camera"):
        reconstruct(scene.images[:-1], scene.cameras, settings=tools.quick)
    images = [scene.images[0][:-1], *scene.images[1:]]
    with pytest.raises(ShapeError, match="camera 0"):
        reconstruct(images, scene.cameras, settings=tools.quick)


def test_a_device_that_is_not_there(scene: Any) -> None:
    with pytest.raises(DeviceUnavailable, match="cuda:99"):
        reconstruct(scene.images, scene.cameras, device="cuda:99")


@pytest.mark.parametrize(
    "wrong",
    [{"scale": 0.0}, {"best": 6}, {"window": 4}, {"angles_deg": (30.0, 6.0)}, {"spacing_px": 0}, {"workers": 0}],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ReconstructionError, match=next(iter(wrong)).split("_")[0]):
        ReconstructionSettings(**wrong)
