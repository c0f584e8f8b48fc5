"""Where a rig looks and who is compared with whom."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from processing.geometry.working_volume import (
    angles_between,
    choose_neighbours,
    common_focus,
    spread_views,
    working_volume,
)


def test_the_focus_is_found_although_cameras_look_elsewhere(tools: Any) -> None:
    cameras = tools.ring()
    assert np.allclose(common_focus(cameras), [3, -2, 4], atol=1e-6)
    turn = Rotation.from_euler("y", 25, degrees=True).as_matrix()
    for i in (1, 8):
        cameras[i] = replace(cameras[i], R=turn @ cameras[i].R, t=turn @ cameras[i].t)
    assert np.linalg.norm(common_focus(cameras) - [3, -2, 4]) < 3


def test_the_volume_is_what_the_cameras_frame(tools: Any) -> None:
    volume, looking = working_volume(tools.ring())
    assert len(looking) == 12
    assert 100 < volume.radius_mm < 160  # 120 px of 1.25 mm
    near, far = volume.depth_range(tools.ring()[0])
    assert near < 600 - 50 < 600 + 50 < far


def test_neighbours_are_others_within_the_angles_on_several_sides(tools: Any) -> None:
    cameras = tools.ring()
    focus = np.array([3.0, -2.0, 4.0])
    angle = angles_between(cameras, focus)
    chosen = choose_neighbours(cameras, focus, 5, (6.0, 30.0))
    for i, others in enumerate(chosen):
        assert i not in others
        assert len(set(others)) == len(others) <= 5
        inside = (angle[i] >= 6) & (angle[i] <= 30)
        assert all(inside[j] or (inside.sum() < 5 and angle[i, j] <= 45) for j in others)
        assert inside[others].sum() == min(inside.sum(), 5)
    assert 1 in chosen[2]
    assert 3 in chosen[2]
    assert 8 in chosen[2]


def test_a_sparse_rig_takes_wider_neighbours_and_no_farther_than_sixty_degrees(tools: Any) -> None:
    cameras = tools.ring(columns=4, spacing_deg=40.0)
    angle = angles_between(cameras, np.zeros(3))
    for i, others in enumerate(choose_neighbours(cameras, np.zeros(3), 5, (6.0, 30.0))):
        assert len(others) >= 2
        assert all(angle[i, j] <= 60 for j in others)


def test_a_choice_of_views_spreads_over_the_rig(tools: Any) -> None:
    angle = angles_between(tools.ring(), np.zeros(3))
    chosen = spread_views(angle, 4)
    assert len(set(chosen)) == 4
    assert min(angle[i, j] for i in chosen for j in chosen if i != j) > 24
    assert spread_views(angle, 40) == list(range(12))
