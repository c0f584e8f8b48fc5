"""The bundle adjustment over corners of known truth: places, lenses, honest errors, and everything wrong named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rendered_board import Pose

from common.charuco.charuco_board import Board
from processing.calibration.corner_detection import Detection
from processing.calibration.rig_calibration import Calibration, calibrate
from processing.files.calibration_errors import CalibrationError, NotLinked
from processing.geometry.cameras import Camera

Views = dict[tuple[int, int], Detection]
See = Callable[..., Views]
NOISE_PX = 0.03


def solve(views: Views, rig: list[Camera], poses: list[Pose], board: Board, **options: Any) -> Calibration:
    names = [f"cam-{c:02d}" for c in range(len(rig))]
    return calibrate(views, names, [pose.name for pose in poses], board.corners_mm, **options)


@pytest.fixture(scope="module")
def solved(board: Board, rig: list[Camera], poses: list[Pose], seen: See) -> Calibration:
    return solve(seen(board, rig, poses), rig, poses, board)


def test_places_are_found_to_a_tenth_of_a_millimetre_and_a_hundredth_of_a_degree(
    solved: Calibration, rig: list[Camera], errors: Callable[..., dict[str, Any]]
) -> None:
    off = errors(solved, rig)
    assert len(solved.cameras) == len(rig)
    assert not solved.unlinked
    assert off["centre_mm"].max() < 0.1
    assert np.sqrt((off["turn_deg"] ** 2).mean()) < 0.012  # a lens's middle stands in for a turn, and is as uncertain
    assert solved.rms_px == pytest.approx(NOISE_PX * np.sqrt(2), rel=0.05)  # of a corner: both coordinates
    assert solved.sigma_px == pytest.approx(NOISE_PX, rel=0.05)


def test_lenses_are_found(solved: Calibration, rig: list[Camera]) -> None:
    for c, camera in solved.cameras.items():
        sd = solved.quality[c].lens_sd
        ours = [*camera.K[[0, 1, 0, 1], [0, 1, 2, 2]], *camera.distortion]
        true = [*rig[c].K[[0, 1, 0, 1], [0, 1, 2, 2]], *rig[c].distortion]
        assert camera.K[0, 0] == pytest.approx(rig[c].K[0, 0], rel=2e-3)
        assert (np.abs(np.subtract(ours, true)) < 5 * sd).all()


@pytest.mark.slow
def test_the_stated_errors_are_those_that_occur(
    board: Board, rig: list[Camera], poses: list[Pose], errors: Callable[..., dict[str, Any]], seen: See
) -> None:
    """Squared errors over their stated covariance follow a chi-squared law with three degrees of freedom."""
    normalised = []
    for seed in range(2):
        found = solve(seen(board, rig, poses, seed=seed), rig, poses, board)
        off = errors(found, rig)
        for row, c in zip(off["offset_mm"], sorted(found.cameras), strict=True):
            covariance = off["R"] @ found.quality[c].centre_covariance_mm2 @ off["R"].T
            normalised.append(row @ np.linalg.solve(covariance, row))
    assert 1.7 < np.mean(normalised) < 5.0


def test_the_board_gives_the_scale(rig: list[Camera], poses: list[Pose], board: Board, seen: See) -> None:
    """A board believed to be 1 % larger makes a rig 1 % larger."""
    views = seen(board, rig, poses)
    large = replace(board, square_mm=board.square_mm * 1.01, marker_mm=board.marker_mm * 1.01)
    apart = [
        np.linalg.norm(found.cameras[0].centre - found.cameras[5].centre)
        for found in (solve(views, rig, poses, board), solve(views, rig, poses, large))
    ]
    assert apart[1] / apart[0] == pytest.approx(1.01, rel=1e-5)


def test_a_pose_that_moved_while_it_was_photographed_is_rejected_and_named(
    views: Views, rig: list[Camera], poses: list[Pose], board: Board, errors: Callable[..., dict[str, Any]], seen: See
) -> None:
    p = max(range(len(poses)), key=lambda q: sum(1 for key in views if key[1] == q))
    touched = sorted(key for key in views if key[1] == p)
    shifted = Pose(poses[p].R, poses[p].t + np.array([4.0, -3.0, 2.0]), poses[p].name)
    later = seen(board, rig, [shifted])
    for camera, _ in touched[::2]:
        views[camera, p] = later[camera, 0]
    found = solve(views, rig, poses, board)
    told = [r for r in found.rejected if r.pose == poses[p].name]
    assert told
    assert any("moved while it was photographed" in r.reason or "other cameras saw it" in r.reason for r in told)
    assert all(r.pose == poses[p].name for r in found.rejected)
    assert errors(found, rig)["centre_mm"].max() < 0.1


def test_a_view_with_wrong_corners_is_rejected_and_a_single_wrong_corner_too(
    views: Views, rig: list[Camera], poses: list[Pose], board: Board, errors: Callable[..., dict[str, Any]]
) -> None:
    keys = sorted(views)
    wrong, one = keys[3], keys[40]
    turned = views[wrong]
    views[wrong] = replace(turned, corner=turned.corner[::-1].copy())  # as seen upside down
    pixels = views[one].pixels.copy()
    pixels[4] += [6.0, -4.0]
    views[one] = replace(views[one], pixels=pixels)
    found = solve(views, rig, poses, board)
    assert [(r.camera, r.pose) for r in found.rejected] == [(f"cam-{wrong[0]:02d}", poses[wrong[1]].name)]
    assert found.corners == sum(len(v.corner) for k, v in views.items() if k != wrong) - 1
    assert errors(found, rig)["centre_mm"].max() < 0.1


def test_bad_detections_are_named_with_their_reason(
    views: Views, rig: list[Camera], poses: list[Pose], board: Board
) -> None:
    key = sorted(views)[7]
    none = Detection(np.zeros(0, np.int64), np.zeros((0, 2)), 800, 1200, reason="5 sharp corners of 40; 8 are needed")
    views[key] = none
    found = solve(views, rig, poses, board)
    assert [(r.camera, r.pose, r.reason) for r in found.rejected] == [
        (f"cam-{key[0]:02d}", poses[key[1]].name, none.reason)
    ]


def test_cameras_that_are_not_linked_are_named_with_the_reason(
    views: Views, rig: list[Camera], poses: list[Pose], board: Board
) -> None:
    two = {key: v for key, v in views.items() if key[0] not in (4, 9)}
    few = [key for key in sorted(views) if key[0] == 9][:2]
    two |= {key: views[key] for key in few}
    with pytest.raises(NotLinked) as refused:
        solve(two, rig, poses, board)
    told = str(refused.value)
    assert "2 of 12 cameras" in told
    assert "cam-04  it sees the board in no pose" in told
    assert "cam-09  it sees the board in 2 of 40 poses; 3 are needed" in told
    assert "--allow-unlinked" in told
    found = solve(two, rig, poses, board, allow_unlinked=True)
    assert set(found.unlinked) == {"cam-04", "cam-09"}
    assert sorted(found.cameras) == [c for c in range(12) if c not in (4, 9)]


def test_two_halves_that_share_no_pose_are_told_apart(
    views: Views, rig: list[Camera], poses: list[Pose], board: Board
) -> None:
    halves = {(c, p): v for (c, p), v in views.items() if (c < 8) == (p % 3 > 0)}
    with pytest.raises(NotLinked, match=r"linked to .* only; no pose is shared with the other 8 cameras"):
        solve(halves, rig, poses, board)


def test_nothing_seen_is_refused_with_what_to_look_at(rig: list[Camera], poses: list[Pose], board: Board) -> None:
    none = Detection(np.zeros(0, np.int64), np.zeros((0, 2)), 800, 1200, reason="no board found")
    with pytest.raises(CalibrationError, match=r"none of the photographs.*board\.toml"):
        solve({(0, 0): none, (1, 0): none}, rig, poses, board)


@pytest.mark.slow
def test_cameras_of_two_sizes_work_together(
    board: Board, poses: list[Pose], errors: Callable[..., dict[str, Any]], rig: list[Camera], seen: See
) -> None:
    mixed = [camera if c % 2 else camera.scaled(0.5) for c, camera in enumerate(rig)]
    found = solve(seen(board, mixed, poses, noise_px=0.02), mixed, poses, board)
    assert found.cameras[0].width * 2 == found.cameras[1].width
    assert errors(found, mixed)["centre_mm"].max() < 0.1
