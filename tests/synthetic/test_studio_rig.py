"""The rig's arrangement, for FaceScape's count and others."""

import numpy as np
import pytest

from processing.errors import DataError
from processing.synthetic.studio_rig import studio_rig

HEAD = np.array([[0.0, 140, 30], [85, 0, 0], [-85, 0, 0], [0, 0, 135], [0, -80, 110], [0, 60, -100]])


@pytest.mark.parametrize("count", [6, 7, 8, 12, 24, 33, 68, 100])
def test_every_camera_sees_the_head(count):
    cameras = studio_rig(count, 480, 720)
    assert len(cameras) == count
    assert len({c.name for c in cameras}) == count
    assert len({tuple(np.round(c.centre / 30)) for c in cameras}) == count, "no two stand in one place"
    for camera in cameras:
        pixels = camera.project(HEAD)
        assert ((pixels > 0) & (pixels < [480, 720])).all()
        assert camera.R[1] @ [0, 1, 0] < -0.5, "upright"
    assert sum(c.viewing_direction[2] < -0.45 for c in cameras) >= 4


def test_of_68_thirty_look_at_the_face():
    cameras = studio_rig(68)
    frontal = [np.degrees(np.arctan2(c.centre[0], c.centre[2])) for c in cameras[:30]]
    assert np.abs(frontal).max() < 62
    assert sum(c.centre[2] < -300 for c in cameras[30:]) > 10, "some stand behind the head"


def test_the_rig_follows_from_its_seed_and_scales_with_the_photograph():
    a, b, other = studio_rig(12, 480, 720), studio_rig(12, 480, 720), studio_rig(12, 480, 720, seed=1)
    assert all((x.P == y.P).all() for x, y in zip(a, b, strict=True))
    assert not any((x.P == y.P).all() for x, y in zip(a, other, strict=True))
    large = studio_rig(12, 960, 1440)
    for x, y in zip(a, large, strict=True):
        assert np.abs(2 * x.project(HEAD) - y.project(HEAD)).max() < 2


def test_too_few_cameras_are_refused():
    with pytest.raises(DataError, match="6 or more"):
        studio_rig(5)
