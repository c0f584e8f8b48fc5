"""Takes on disk: the command, and a real-sized subject against its truth."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from processing.commands.reconstruct import app
from processing.errors import DataError, TakeError
from processing.farm.display.scan_report import ScanResult
from processing.farm.reconstruct_take import CameraFiles, reconstruct_take
from processing.files.camera_models import params_from_cameras
from processing.files.ply import read_ply
from processing.files.take_folder import read_photos, read_take
from processing.geometry.mesh import Mesh, Surface
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import ReconstructionSettings, ScanReport
from processing.scan_quality.verdict import QualityReview

SUBJECT = Path(__file__).resolve().parents[3] / "shared" / "data" / "subject-11"


@pytest.fixture
def take_dir(scene: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "1_neutral"
    folder.mkdir()
    for i, image in enumerate(scene.images):
        cv2.imwrite(str(folder / f"{i}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / "params.json").write_text(json.dumps(params_from_cameras(scene.cameras)))
    return folder


def test_the_command_writes_a_scan_and_reports(take_dir: Path, truth: np.ndarray, tools: Any, tmp_path: Path) -> None:
    out = tmp_path / "scan.ply"
    (take_dir / "3.jpg").unlink()
    result = CliRunner().invoke(app, [str(take_dir), "--out", str(out), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    mesh = read_ply(out)
    assert len(mesh.vertices_mm) == report["vertices"]
    assert mesh.colors is not None
    assert list(report["skipped"]) == ["3"]
    assert "3.jpg is missing" in result.stderr
    assert np.median(Surface(mesh).closest(truth).distance_mm) < 0.15 * tools.footprint_mm
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".ply" or p.name.startswith(".")] == ["scan.ply"]


@pytest.mark.slow
def test_a_rig_file_replaces_the_takes_cameras(take_dir: Path, truth: np.ndarray, tools: Any, tmp_path: Path) -> None:
    rig = tmp_path / "rig.json"
    params = json.loads((take_dir / "params.json").read_text())
    rig.write_text(json.dumps(params))
    broken = {k: ([[800, 0, 80], [0, 800, 120], [0, 0, 1]] if k.endswith("_K") else v) for k, v in params.items()}
    (take_dir / "params.json").write_text(json.dumps(broken))
    out = tmp_path / "scan.ply"
    reconstruct_take(take_dir, out, {}, cameras=CameraFiles(rig))
    assert np.median(Surface(read_ply(out)).closest(truth).distance_mm) < 0.15 * tools.footprint_mm


@pytest.mark.parametrize("text", ["{", "[]"])
def test_an_unreadable_rig_file_is_refused(take_dir: Path, tmp_path: Path, text: str) -> None:
    rig = tmp_path / "rig.json"
    rig.write_text(text)
    with pytest.raises(TakeError, match=r"rig\.json"):
        reconstruct_take(take_dir, tmp_path / "scan.ply", {}, cameras=CameraFiles(rig))
    assert not (tmp_path / "scan.ply").exists()


def test_a_rig_file_that_lacks_a_camera_is_refused(take_dir: Path, tmp_path: Path) -> None:
    rig = tmp_path / "rig.json"
    params = json.loads((take_dir / "params.json").read_text())
    rig.write_text(json.dumps({k: v for k, v in params.items() if k != "7_Rt"}))
    with pytest.raises(DataError, match="7_Rt"):
        reconstruct_take(take_dir, tmp_path / "scan.ply", {}, cameras=CameraFiles(rig))


def test_an_output_that_is_no_ply_is_refused_before_any_work(take_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(TakeError, match=r"\.ply"):
        reconstruct_take(take_dir, tmp_path, {})


@pytest.mark.slow
@pytest.mark.skipif(not SUBJECT.is_dir(), reason="the test data of ../shared/data are not here")
def test_a_face_against_its_truth_at_two_fifths_of_its_size() -> None:
    """30 frontal views of 320 x 480 (1.1 mm a pixel), 12 of them with depth maps: the skin of the face's front."""
    take, images = read_photos(read_take(SUBJECT / "1_neutral"))
    settings = ReconstructionSettings(scale=0.4, depth_views=12, workers=2)
    scan = reconstruct(images[:30], take.cameras[:30], settings=settings)
    with np.load(SUBJECT / "1_neutral.truth.npz") as truth:
        skin = Mesh(truth["vertices"], truth["triangles"])
    front = skin.vertices_mm[(skin.vertex_normals[:, 2] > 0.3) & (np.abs(skin.vertices_mm[:, 1] - 20) < 100)][::40]
    distance = np.minimum(Surface(scan.mesh).closest(front).distance_mm, 5)
    assert distance.mean() < 0.25
    assert np.median(distance) < 0.1
    assert (distance < 0.5).mean() > 0.87


@pytest.mark.parametrize(("estimated", "said"), [(None, False), (0.034, True)])
def test_the_command_says_how_much_was_estimated(estimated: float | None, said: bool, tmp_path: Path) -> None:
    report = ScanReport(68, 68, {}, 1000, 4000, 8000, 0.4, 0.9, (0.0, 0.0, 0.0), 150.0, {"depth": 3.0})
    figures = {"holes": 0.001, "noise_mm": 0.01, "coverage": 0.99, "offset_mm": 0.02, "estimated": estimated}
    told = ScanResult(report, {}, None, QualityReview("accept", (), figures)).as_text(tmp_path / "scan.ply")
    assert ("estimated 3.4 %" in told) == said
    assert told.endswith("accepted")
