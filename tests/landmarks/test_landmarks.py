import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import processing.landmarks.detector as module
from processing.errors import DataError, NoFace
from processing.geometry.cameras import Camera
from processing.landmarks.detector import LandmarkDetector, ModelDamaged, detect_photo_landmarks
from processing.landmarks.landmark_files import read_landmarks, write_landmarks
from processing.landmarks.lid_contours import SAMPLES, LidContours, find_lid_contours
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68, Landmarks3d
from processing.landmarks.triangulation import join_views, triangulate_landmarks

SUBJECT = Path(__file__).parents[3] / "shared" / "data" / "subject-11"


@pytest.fixture
def face() -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.c_[rng.uniform(-60, 60, (68, 2)), rng.uniform(-10, 30, 68)]


@pytest.fixture
def cameras(ring_of_cameras) -> list[Camera]:
    return ring_of_cameras(14, size=(600, 600), focal=1500.0)


def test_known_points_come_back_exactly(face: np.ndarray, cameras: list[Camera]) -> None:
    found = join_views(cameras, [c.project(face) for c in cameras])
    assert found is not None
    assert np.abs(found.points_mm - face).max() < 1e-3
    assert (found.views == len(cameras)).all()
    assert found.error_px.max() < 1e-3


def test_outliers_phantoms_and_noise_are_dropped(face: np.ndarray, cameras: list[Camera]) -> None:
    rng = np.random.default_rng(2)
    pixels = [c.project(face) + rng.normal(0, 0.5, (68, 2)) for c in cameras]
    for view in (1, 5, 9):  # whole faces where there are none, one upside down
        pixels[view] = rng.uniform(0, 600, (68, 2))
    pixels[3] = 599 - pixels[3]
    for k in range(68):  # and single landmarks that jumped, in two of the good views each
        for view in rng.choice([0, 2, 4, 6, 7, 8, 10, 11, 12, 13], 2, replace=False):
            pixels[view][k] += rng.choice([-1, 1], 2) * rng.uniform(40, 90, 2)
    found = join_views(cameras, pixels, rng=rng)
    assert found is not None
    assert found.known.all()
    off = np.linalg.norm(found.points_mm - face, axis=1)
    assert np.median(off) < 0.3
    assert off.max() < 1.2
    assert found.views.min() >= 3
    assert found.views.max() <= 10


def test_a_landmark_that_two_views_alone_agree_on_is_unknown(face: np.ndarray, cameras: list[Camera]) -> None:
    rng = np.random.default_rng(3)
    pixels = [c.project(face) for c in cameras]
    for p in pixels[2:]:
        p[30] = rng.uniform(0, 600, 2)
    found = join_views(cameras, pixels, tolerance_mm=1.0, rng=rng)
    assert found is not None
    assert not found.known[30]
    assert np.isnan(found.error_px[30])
    assert found.known.sum() == 67


def test_noise_alone_is_no_face(cameras: list[Camera]) -> None:
    rng = np.random.default_rng(4)
    assert join_views(cameras, [rng.uniform(0, 600, (68, 2)) for _ in cameras]) is None
    assert join_views(cameras[:2], [np.zeros((68, 2))] * 2) is None


def test_photographs_without_a_face_are_refused(cameras: list[Camera]) -> None:
    images = [np.full((600, 600, 3), 128, np.uint8) for _ in range(4)]
    with pytest.raises(NoFace, match="4 photographs"):
        triangulate_landmarks(images, cameras[:4])


def test_landmarks_survive_their_file(tmp_path: Path, face: np.ndarray) -> None:
    face[3] = np.nan
    landmarks = Landmarks3d(face, np.where(np.arange(68) == 3, np.nan, 1.5), np.arange(68, dtype=np.int32))
    write_landmarks(tmp_path / "l.json", landmarks)
    again = read_landmarks(tmp_path / "l.json")
    np.testing.assert_allclose(again.points_mm, face, atol=1e-5)
    np.testing.assert_array_equal(again.views, landmarks.views)
    np.testing.assert_array_equal(again.known, landmarks.known)


def test_plain_lists_and_ljson_are_read(tmp_path: Path, face: np.ndarray) -> None:
    points = {"points": face.tolist()}
    for content in (face.tolist(), {"landmarks": points}, {"groups": {"LJSON": {"landmarks": points}}}):
        (tmp_path / "l.json").write_text(json.dumps(content))
        np.testing.assert_allclose(read_landmarks(tmp_path / "l.json").points_mm, face)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1, 2]", '{"points_mm": 3}', "[[1, 2, 3]]", '{"points_mm": [["a", 1, 2]]}']
)
def test_files_without_landmarks_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "landmarks.json").write_text(text)
    with pytest.raises(DataError, match=r"landmarks\.json"):
        read_landmarks(tmp_path / "landmarks.json")


def test_another_model_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.landmark_model.MODEL_SHA256", "0" * 64)
    with pytest.raises(ModelDamaged, match="damaged"):
        LandmarkDetector()


@pytest.mark.skipif(not SUBJECT.is_dir(), reason="the reference photographs are not on this machine")
def test_a_turned_photograph_gives_the_same_points(capfd: pytest.CaptureFixture[str]) -> None:
    image = cv2.imread(str(SUBJECT / "1_neutral" / "15.jpg"))
    with LandmarkDetector() as detector:
        upright = detect_photo_landmarks(image, detector=detector)
        for rotation, back in ((cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE), (cv2.ROTATE_180,) * 2):
            turned = np.ascontiguousarray(cv2.rotate(image, rotation))
            found = module.detect_rotated(turned, detector, back)
            assert found is not None
            height, width = image.shape[:2]
            if rotation == cv2.ROTATE_180:
                there = [width - 1, height - 1] - upright
            else:
                there = np.stack([height - 1 - upright[:, 1], upright[:, 0]], axis=1)
            assert np.median(np.linalg.norm(found[MEDIAPIPE_TO_68] - there, axis=1)) < 2.0
    assert upright.min() > 0
    assert capfd.readouterr().err == ""


def test_labelled_landmarks_come_in_multi_pies_order(tmp_path: Path, face: np.ndarray) -> None:
    """Groups in any order, eyes named from the beholder's side or the subject's: the points tell which is which."""
    face[:17, 0] = np.linspace(-60, 60, 17)
    for start, stop, x in ((17, 22, -35), (22, 27, 35), (36, 42, -30), (42, 48, 30)):
        face[start:stop, 0] = np.linspace(x - 10, x + 10, stop - start)
    parts = {"chin": (0, 17), "leye": (36, 42), "reye": (42, 48), "leyebrow": (17, 22), "nose": (27, 36),
             "reyebrow": (22, 27), "mouth": (48, 68)}  # fmt: skip
    for swapped in (False, True):
        names = {"leye": "reye", "reye": "leye", "leyebrow": "reyebrow", "reyebrow": "leyebrow"} if swapped else {}
        rows: list[list[float]] = []
        labels = []
        for name, (start, stop) in parts.items():
            labels.append({"label": names.get(name, name), "mask": list(range(len(rows), len(rows) + stop - start))})
            rows += face[start:stop].tolist()
        group = {"landmarks": {"points": rows, "connectivity": []}, "labels": labels}
        file = tmp_path / "face.ljson"
        file.write_text(json.dumps({"version": 3, "groups": {"LJSON": group}}))
        np.testing.assert_allclose(read_landmarks(file).points_mm, face)
    labels.pop()  # a part without a label: nobody knows the order
    file.write_text(json.dumps({"version": 3, "groups": {"LJSON": group}}))
    np.testing.assert_allclose(read_landmarks(file).points_mm, rows)


def test_a_file_keeps_the_lids_edges_and_those_of_an_eye_placed_by_hand_are_forgotten(
    face: np.ndarray, tmp_path: Path
) -> None:
    points = np.random.default_rng(4).uniform(-5, 5, (2, 2, SAMPLES, 3)).round(3)
    lids = LidContours(points, np.array([7, 9], np.int32))
    landmarks = Landmarks3d.of_points(face).with_lids(lids)
    write_landmarks(tmp_path / "l.json", landmarks)
    back = read_landmarks(tmp_path / "l.json").lids
    assert back is not None
    assert np.array_equal(back.points_mm, points)
    assert back.views.tolist() == [7, 9]
    placed = np.full((68, 3), np.nan)
    placed[37] = 0.0
    by_hand = landmarks.overridden(Landmarks3d.of_points(placed)).lids
    assert by_hand is not None
    assert by_hand.known.tolist() == [False, True]


def disc_eye(camera: Camera, grey: bool) -> np.ndarray:
    """Skin in the plane z = 0 with a white eye of |y| < 5 cos(x pi / 30), mm."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    way = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1).astype(float))
    at = camera.centre - way * (camera.centre[2] / way[:, 2])[:, None]
    eye = (np.abs(at[:, 1]) < 5 * np.cos(at[:, 0] * np.pi / 30)) & (np.abs(at[:, 0]) < 15)
    noise = np.random.default_rng(5).normal(0, 4, (len(at), 3))
    skin = np.array([150.0] * 3) if grey else np.array([110.0, 140, 190])
    colours = np.where(eye[:, None] & (not grey), [225, 225, 225], skin) + noise
    return colours.reshape(camera.height, camera.width, 3).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("off_mm", "grey"), [(0.0, False), (1.0, False), (-1.0, False), (0.0, True)])
def test_edges_of_lids_are_found_from_outlines_that_are_off(
    frontal_cameras: list[Camera], off_mm: float, grey: bool
) -> None:
    images = [disc_eye(camera, grey) for camera in frontal_cameras]
    x = np.linspace(-15, 15, 9)
    height = (5 + off_mm) * np.cos(x * np.pi / 30)
    outline = np.stack([np.c_[x, height, 0 * x], np.c_[x, -height, 0 * x]])
    found = find_lid_contours(np.stack([outline, np.full_like(outline, np.nan)]), images, frontal_cameras)
    assert found.known.tolist() == [not grey, False]
    if not grey:
        open_mm = np.linalg.norm(found.points_mm[0, 0] - found.points_mm[0, 1], axis=1)
        assert abs(open_mm[16] - 10) < 0.5


@pytest.fixture
def frontal_cameras() -> list[Camera]:
    """Five cameras 600 mm before the plane z = 0, some 10 degrees apart, 3 px a mm."""
    cameras = []
    for angle in np.radians([-20, -10, 0, 10, 20]):
        back = np.array([np.sin(angle), 0, np.cos(angle)])
        R = np.stack([np.cross([0, -1.0, 0], -back), [0, -1.0, 0], -back])
        K = np.array([[1800.0, 0, 99.5], [0, 1800, 79.5], [0, 0, 1]])
        cameras.append(Camera(K, R, -R @ (600 * back), 200, 160))
    return cameras
