"""What the studio asks of the farm while the subject sits: a take's cameras, and a coarse scan of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from turned_take import DEGREES, MOVED, SUBJECT, VIEWS, write_turned_take
from typer.testing import CliRunner

from processing.commands import cameras, reconstruct
from processing.files.ply import read_ply
from processing.files.take_folder import read_take
from processing.stages.first_look import frontal_views

pytestmark = pytest.mark.skipif(not SUBJECT.is_dir(), reason="the test data of ../shared/data are not here")


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_turned_take(tmp_path_factory.mktemp("subject") / "1_neutral")


def call(app: object, *arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=code == 0)  # type: ignore[arg-type]
    assert result.exit_code == code, result.output
    return result.stdout


def test_the_turned_camera_is_named_with_its_angle(take: Path) -> None:
    found = json.loads(call(cameras.app, "check", take, "--json"))
    assert [(one["camera"], one["kind"]) for one in found["findings"]] == [(str(MOVED), "moved")]
    assert found["findings"][0]["figures"]["turn_deg"] == pytest.approx(DEGREES, abs=0.05)
    assert (found["cameras"], found["judged"], found["refused"], found["skipped"]) == (VIEWS, VIEWS - 1, None, {})


@pytest.mark.slow  # the same once more, for a person
def test_both_say_it_in_words_too(take: Path, tmp_path: Path) -> None:
    assert f"camera {MOVED}  turned by" in call(cameras.app, "check", take)
    assert "vertices from" in call(reconstruct.app, take, "--preview", "--out", tmp_path / "a.ply")
    assert len(read_ply(tmp_path / "a.ply").vertices_mm) > 500


@pytest.mark.slow
def test_another_rigs_calibration_is_refused_in_words(take: Path, tmp_path: Path) -> None:
    params = json.loads((take / "params.json").read_text())
    shuffled = {key: params[f"{(int(key.split('_')[0]) + 3) % VIEWS}_{key.split('_', 1)[1]}"] for key in params}
    (tmp_path / "rig.json").write_text(json.dumps(shuffled))
    found = json.loads(call(cameras.app, "check", take, "--rig", tmp_path / "rig.json", "--json", code=4))
    assert found["refused"]


@pytest.mark.slow  # the everyday suite has its parts: the mesh as GLB, the reconstruction
def test_a_preview_is_a_coarse_coloured_mesh_with_holes(tmp_path: Path) -> None:
    take = write_turned_take(tmp_path / "1_neutral", 0.0, 0.2)  # 160 x 240
    report = json.loads(call(reconstruct.app, take, "--preview", "--out", tmp_path / "a.glb", "--json"))
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert 500 < report["vertices"] < 30_000
    assert (len(mesh.faces), report["views"]) == (report["triangles"], VIEWS)
    assert not mesh.is_watertight
    assert 0.05 < np.ptp(mesh.vertices[:, 1]) < 0.5  # a head, in metres
    assert b'"COLOR_0"' in (tmp_path / "a.glb").read_bytes()[:4000]


def test_views_from_the_front_are_chosen_and_never_too_few(take: Path) -> None:
    whole = read_take(take)
    assert len(frontal_views(whole, 89.0, 99).views) == VIEWS
    few = frontal_views(whole, 0.01, 99).views
    assert len(few) == 6
    rest = [view for view in whole.views if view.index not in {one.index for one in few}]
    assert max(v.camera.viewing_direction[2] for v in few) <= min(v.camera.viewing_direction[2] for v in rest)
    assert len(frontal_views(whole, 89.0, 7).views) == 7


@pytest.mark.parametrize(("words", "said"), [(["--fast"], "--rig, --device and --json alone"), ([], ".ply or .glb")])
def test_what_a_preview_does_not_take_is_said(take: Path, tmp_path: Path, words: list[str], said: str) -> None:
    out = tmp_path / ("a.glb" if words else "a.obj")
    result = CliRunner().invoke(reconstruct.app, [str(take), "--preview", "--out", str(out), *words])
    assert result.exit_code != 0
    assert said in f"{result.output}{result.exception}"
    assert not out.exists()
