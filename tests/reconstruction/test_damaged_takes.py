"""A subject of 68 photographs with the faults that studios know, through the command: survived, or refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from processing.commands import reconstruct
from processing.errors import TakeError
from processing.farm import reconstruct_take
from processing.files.camera_models import params_from_cameras
from processing.files.ply import read_ply
from processing.files.take_folder import read_photos, read_take
from processing.geometry.mesh import Mesh, Surface

SUBJECT = Path(__file__).resolve().parents[3] / "shared" / "data" / "subject-11"
FACTOR = 0.36  # 288 x 432 px
pytestmark = pytest.mark.skipif(not SUBJECT.is_dir(), reason="the test data of ../shared/data are not here")
Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The neutral face's take, its photographs made small."""
    folder = tmp_path_factory.mktemp("subject") / "1_neutral"
    folder.mkdir()
    take, images = read_photos(read_take(SUBJECT / "1_neutral"))
    cameras = [camera.scaled(FACTOR) for camera in take.cameras]
    for v, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        tiny = cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{v}.jpg"), tiny, [cv2.IMWRITE_JPEG_QUALITY, 97])
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras)))
    return folder


@pytest.fixture
def take(small: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    folder = tmp_path / "1_neutral"
    folder.mkdir()
    for path in small.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def run(take: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`mien reconstruct TAKE --json`, with few depth maps: exit code, report, warnings."""
    made = reconstruct_take.reconstruct_take
    monkeypatch.setattr(
        reconstruct_take,
        "reconstruct_take",
        lambda take_dir, out, params, **more: made(take_dir, out, {**params, "depth_views": 30}, **more),
    )

    def call() -> tuple[int, dict[str, Any], str]:
        picture = tmp_path / "quality.png"
        arguments = [str(take), "--out", str(tmp_path / "scan.ply"), "--picture", str(picture), "--json"]
        result = CliRunner().invoke(reconstruct.app, arguments, catch_exceptions=False)
        assert cv2.imread(str(picture)) is not None
        return result.exit_code, json.loads(result.stdout), result.stderr

    return call


def distance_mm(scan: Path) -> float:
    """Median distance of the face's front from the scan."""
    with np.load(SUBJECT / "1_neutral.truth.npz") as truth:
        skin = Mesh(truth["vertices"], truth["triangles"])
    front = skin.vertices_mm[(skin.vertex_normals[:, 2] > 0.3) & (np.abs(skin.vertices_mm[:, 1] - 20) < 100)][::60]
    return float(np.median(Surface(read_ply(scan)).closest(front).distance_mm))


def turn(take: Path, view: int, degrees: float) -> None:
    params = json.loads((take / "params.json").read_text())
    axis = np.radians(degrees) * np.array([0.6, 0.8, 0.0])
    params[f"{view}_Rt"] = (Rotation.from_rotvec(axis).as_matrix() @ np.array(params[f"{view}_Rt"])).tolist()
    (take / "params.json").write_text(json.dumps(params))


def change(take: Path, view: int, how: Callable[[np.ndarray], np.ndarray]) -> None:
    path = take / f"{view}.jpg"
    cv2.imwrite(str(path), how(cv2.imread(str(path))), [cv2.IMWRITE_JPEG_QUALITY, 97])


@pytest.mark.slow
def test_moved_swapped_and_spoilt_cameras_are_named_and_the_scan_stays_good(
    take: Path, run: Run, tmp_path: Path
) -> None:
    turn(take, 7, 0.3)
    a, b, c = ((take / f"{v}.jpg").read_bytes() for v in (3, 14, 41))
    for view, data in ((3, b), (14, c), (41, a)):
        (take / f"{view}.jpg").write_bytes(data)
    change(take, 20, np.zeros_like)
    change(take, 25, lambda image: cv2.GaussianBlur(image, (0, 0), 2.5))
    change(take, 33, lambda image: np.minimum(image.astype(int) * 7, 255).astype(np.uint8))
    code, report, warnings = run()
    assert code == 0
    found = {f["camera"]: (f["kind"], f["action"]) for f in report["cameras"]["findings"] if f["kind"] != "not judged"}
    assert found == {
        "3": ("swapped", "exchanged"),
        "7": ("moved", "refined"),
        "14": ("swapped", "exchanged"),
        "20": ("dark", "excluded"),
        "25": ("blurred", "excluded"),
        "33": ("saturated", "excluded"),
        "41": ("swapped", "exchanged"),
    }
    assert "camera 3  swapped: its photograph was taken by camera 14" in warnings
    assert set(report["skipped"]) == {"20", "25", "33"}
    assert report["review"]["figures"]["photographs_used"] == 65
    assert distance_mm(tmp_path / "scan.ply") < 0.25


@pytest.mark.slow
def test_ten_of_sixty_eight_missing_are_survived_and_a_person_is_asked_to_look(
    take: Path, run: Run, tmp_path: Path
) -> None:
    gone = [1, 8, 15, 22, 29, 36, 43, 50, 57, 64]
    for view in gone:
        (take / f"{view}.jpg").unlink()
    code, report, warnings = run()
    assert code == 0
    assert list(report["skipped"]) == [str(v) for v in gone]
    assert "view 8 is not used: 8.jpg is missing" in warnings
    assert report["review"]["verdict"] == "review", report["review"]
    assert "10 of 68 photographs gave nothing" in report["review"]["reasons"]
    assert distance_mm(tmp_path / "scan.ply") < 0.25


def test_all_but_six_missing_are_refused_with_the_reason(take: Path, run: Run) -> None:
    for view in range(6, 68):
        (take / f"{view}.jpg").unlink()
    with pytest.raises(TakeError, match=r"62 of 68 views fail, 17 may(.|\n)*view 6  6\.jpg is missing") as caught:
        run()
    assert caught.value.exit_code == 4
