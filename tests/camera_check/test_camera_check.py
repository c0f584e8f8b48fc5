"""Faults of cameras and photographs, each named and survived, or refused with the reason."""

from typing import Any

import cv2
import numpy as np
import pytest

from processing.camera_check.camera_check import check_cameras
from processing.camera_check.report import CameraFinding, lines
from processing.camera_check.settings import CameraCheckSettings, CameraCheckSettingsError
from processing.errors import ShapeError
from processing.geometry.rotations import rotation_angle_deg


def only(found: tuple[CameraFinding, ...]) -> CameraFinding:
    (one,) = found
    return one


def test_cameras_that_stand_where_they_should_are_left_alone(subject: Any) -> None:
    watched = subject.watched()
    assert watched.report.findings == ()
    assert watched.report.judged == len(subject.cameras)
    assert all(a is b for a, b in zip(watched.cameras, subject.cameras, strict=True))
    assert watched.report.residual_px < 0.3
    assert len(watched.points_mm) > 500


@pytest.mark.parametrize(
    "axis",
    [pytest.param((1, 0, 0), marks=pytest.mark.slow), pytest.param((0, 1, 0), marks=pytest.mark.slow), (1, 1, 1)],
)
def test_a_camera_turned_by_a_tenth_of_a_degree_is_named_and_put_right(
    subject: Any, faults: Any, axis: tuple[int, int, int]
) -> None:
    found = subject.with_cameras({8: faults.turned(subject.cameras[8], 0.1, axis)}).watched()
    finding = only(found.report.findings)
    assert (finding.camera, finding.kind, finding.action) == ("8", "moved", "refined")
    put_right = found.cameras[8]
    off = np.linalg.norm(put_right.project(found.points_mm) - subject.cameras[8].project(found.points_mm), axis=1)
    assert np.median(off) < 0.25


@pytest.mark.parametrize("mm", [(1, 0, 0), pytest.param((0, -1, 0), marks=pytest.mark.slow)])
def test_a_camera_shifted_by_a_millimetre_is_named_and_put_right(
    subject: Any, faults: Any, mm: tuple[int, int, int]
) -> None:
    found = subject.with_cameras({21: faults.shifted(subject.cameras[21], mm)}).watched()
    finding = only(found.report.findings)
    assert (finding.camera, finding.kind, finding.action) == ("21", "moved", "refined")


@pytest.mark.slow
def test_three_turned_cameras_are_told_apart_from_their_neighbours(subject: Any, faults: Any) -> None:
    bad = {v: faults.turned(subject.cameras[v], 0.3, (v - 4, 1, 0.5)) for v in (3, 4, 15)}
    found = subject.with_cameras(bad).watched()
    assert {f.camera for f in found.report.findings} == {"3", "4", "15"}
    for finding in found.report.findings:
        assert finding.action == "refined"
        put_right = found.cameras[int(finding.camera)]
        assert float(rotation_angle_deg(put_right.R, subject.cameras[int(finding.camera)].R)) < 0.1
        assert 0.2 < finding.figures["turn_deg"] < 0.4 or "shifted" in finding.text


def test_a_camera_that_was_knocked_is_followed(subject: Any, faults: Any) -> None:
    found = subject.with_cameras({7: faults.turned(subject.cameras[7], 2.0, (1, 1, 0))}).watched()
    finding = only(found.report.findings)
    assert (finding.camera, finding.kind, finding.action) == ("7", "moved", "refined")
    assert finding.figures["turn_deg"] == pytest.approx(2.0, abs=0.2)


@pytest.mark.slow
def test_a_moved_camera_may_be_left_out_instead(subject: Any, faults: Any) -> None:
    moved = subject.with_cameras({8: faults.turned(subject.cameras[8], 0.3, (0, 1, 0))})
    found = check_cameras(moved.images, moved.cameras, settings=CameraCheckSettings(refine=False), workers=2)
    assert only(found.report.findings).action == "excluded"
    assert found.cameras[8] is None
    assert set(found.report.excluded) == {"8"}


@pytest.mark.parametrize("ring", [(3, 4, 5), pytest.param((0, 12, 27), marks=pytest.mark.slow)])
def test_three_swapped_photographs_are_recognised_and_put_right(subject: Any, ring: tuple[int, int, int]) -> None:
    a, b, c = ring
    swapped = subject.with_images({a: subject.images[b], b: subject.images[c], c: subject.images[a]})
    found = swapped.watched()
    assert {(f.camera, f.kind, f.action) for f in found.report.findings} == {
        (str(v), "swapped", "exchanged") for v in ring
    }
    for view, taken_by in ((a, b), (b, c), (c, a)):
        assert np.array_equal(found.cameras[view].P, subject.cameras[taken_by].P)
        assert found.cameras[view].name == str(view)
    assert f"camera {a}  swapped: its photograph was taken by camera {b}" in "\n".join(lines(found.report))


def test_bad_photographs_are_named_by_their_fault(subject: Any) -> None:
    rng = np.random.default_rng(0)
    black = rng.integers(0, 4, subject.images[2].shape).astype(np.uint8)
    blurred = cv2.GaussianBlur(subject.images[9], (0, 0), 2.5)
    white = np.minimum(subject.images[17].astype(int) * 6, 255).astype(np.uint8)
    dim = (subject.images[24] * 0.62).astype(np.uint8)
    found = subject.with_images({2: black, 9: blurred, 17: white, 24: dim}).watched()
    said = {f.camera: (f.kind, f.action) for f in found.report.findings}
    assert said == {
        "2": ("dark", "excluded"),
        "9": ("blurred", "excluded"),
        "17": ("saturated", "excluded"),
        "24": ("dark", "kept"),
    }
    assert [v for v, camera in enumerate(found.cameras) if camera is None] == [2, 9, 17]
    dimmed = next(f for f in found.report.findings if f.camera == "24")
    assert dimmed.figures["stops"] == pytest.approx(2.2 * np.log2(0.62), abs=0.2)


@pytest.mark.slow
def test_another_rigs_calibration_is_refused(subject: Any, faults: Any) -> None:
    rng = np.random.default_rng(5)
    wrong = {v: faults.turned(c, 0.4, rng.normal(size=3)) for v, c in enumerate(subject.cameras) if v % 2}
    with pytest.raises(
        CameraCheckSettingsError, match=r"do not stand where the calibration has them(.|\n)*camera "
    ) as caught:
        subject.with_cameras(wrong).watched()
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("contrast", [pytest.param(0.3, marks=pytest.mark.slow), 0.12])
def test_on_weak_texture_cameras_are_left_alone_and_faults_are_found(
    subject: Any, faults: Any, contrast: float
) -> None:
    weak = subject.with_images({v: faults.weak(image, contrast, v) for v, image in enumerate(subject.images)})
    assert weak.watched().report.troubles == ()
    turned, stranger = faults.turned(weak.cameras[7], 0.4, (1, 1, 0)), np.ascontiguousarray(weak.images[21][:, ::-1])
    found = weak.with_cameras({7: turned}).with_images({21: stranger}).watched()
    said = {f.camera: (f.kind, f.action) for f in found.report.troubles}
    assert said == {"7": ("moved", "refined"), "21": ("misfit", "excluded")}
    assert found.report.troubles[0].figures["turn_deg"] == pytest.approx(0.4, abs=0.06)


def test_six_views_near_each_other_are_judged_and_six_far_apart_are_not(subject: Any) -> None:
    assert subject.of([3, 4, 5, 13, 14, 24]).watched().report.troubles == ()
    far = subject.of([0, 5, 9, 10, 19, 24]).watched().report
    assert far.troubles == ()
    assert all(f.action == "kept" for f in far.findings)


def test_shapes_must_fit(subject: Any) -> None:
    with pytest.raises(ShapeError, match="one a camera"):
        check_cameras(subject.images[:-1], subject.cameras)
    with pytest.raises(ShapeError, match="camera 0"):
        check_cameras([subject.images[0][1:], *subject.images[1:]], subject.cameras)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(CameraCheckSettingsError, match="turn_deg is 0"):
        CameraCheckSettings(turn_deg=0)
    with pytest.raises(CameraCheckSettingsError, match="blur_drop"):
        CameraCheckSettings(blur_drop=0.9)
