"""A recording on a face: what the files hold is what was asked, an interrupted run goes on, refusals say what to do."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from glb_reader import Glb
from hypothesis import given
from hypothesis import strategies as st
from live_link_tables import NAMES, cells_of, write_table
from seen_detail import LABELS, MAP_PX, UNITS, bumped_mesh, seen_maps, seen_rig, write_seen_face
from typer.testing import CliRunner

from processing.animation.animate_files import AnimateError, AnimateSettings, animate_files
from processing.animation.detail_shading import DetailRenderer
from processing.animation.dynamic_detail import DetailError, DynamicDetail
from processing.animation.face_folder import read_animated_face
from processing.animation.keyframes import rotation_of, thinned, turns_to_quaternions
from processing.commands.face import app
from processing.face_models.blendshapes.rig import RigError, write_rig
from processing.face_models.detailed_face import read_detailed_face
from processing.files.displacement_png import read_displacement_png
from processing.geometry.rendering import bounds, portrait_camera

FAST = AnimateSettings(size_px=MAP_PX, height_px=64, fps=20)


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_seen_face(tmp_path_factory.mktemp("seen") / "face").folder


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """A second: the smile comes to its key's weight and goes, the head turns."""
    values = np.zeros((61, 61))
    values[:, NAMES.index("MouthSmileLeft")] = 0.9 * np.interp(np.arange(61), [0, 30, 60], [0, 1, 0])
    values[:, NAMES.index("HeadYaw")] = np.linspace(0, 0.4, 61)
    return write_table(tmp_path / "take.csv", cells_of(values))


def test_the_gltf_plays_what_was_recorded(face: Path, take: Path, tmp_path: Path) -> None:
    made = animate_files(take, face, tmp_path / "out", AnimateSettings(maps=False, clip=False))
    glb = Glb(tmp_path / "out" / "face.glb")
    assert glb.document["meshes"][0]["extras"]["targetNames"] == list(UNITS)
    (animation,) = glb.document["animations"]
    paths = {channel["target"]["path"]: channel for channel in animation["channels"]}
    weights_of = animation["samplers"][paths["weights"]["sampler"]]
    times, weights = glb.array(weights_of["input"])[:, 0], glb.array(weights_of["output"]).reshape(-1, 4)
    assert made.keyframes == len(times) < 10  # of 61 frames, on straight lines
    at = np.linspace(0, 1, 61)
    played = np.interp(at, times, weights[:, 1])
    np.testing.assert_allclose(played, 0.9 * np.interp(at, [0, 0.5, 1], [0, 1, 0]), atol=0.003)
    turned = animation["samplers"][paths["rotation"]["sampler"]]
    quaternions = glb.array(turned["output"])
    assert quaternions[-1] == pytest.approx([0, np.sin(0.2), 0, np.cos(0.2)], abs=1e-6)
    assert paths["rotation"]["target"]["node"] != paths["weights"]["target"]["node"]
    nodes = glb.document["nodes"]
    head = nodes[paths["rotation"]["target"]["node"]]
    assert head["children"] == [paths["weights"]["target"]["node"]]
    np.testing.assert_allclose(np.add(head["translation"], nodes[head["children"][0]]["translation"]), 0, atol=1e-9)
    assert glb.document["images"][0]["mimeType"] == "image/jpeg"


def test_maps_are_those_of_the_weights_and_the_key_comes_back(face: Path, take: Path, tmp_path: Path) -> None:
    made = animate_files(take, face, tmp_path / "out", AnimateSettings(size_px=MAP_PX, gltf=False, clip=False, fps=20))
    files = sorted((tmp_path / "out" / "dpmap").iterdir())
    assert made.maps == len(files) == 21
    smile = read_displacement_png(files[10]).height_mm
    np.testing.assert_allclose(smile, seen_maps()["2_smile"].height_mm, atol=5 / 32768 * 9)  # the encoding's step
    np.testing.assert_allclose(
        read_displacement_png(files[0]).height_mm, seen_maps()["1_neutral"].height_mm, atol=5 / 32768 * 9
    )


def test_every_fifth_map_and_a_clip(face: Path, take: Path, tmp_path: Path) -> None:
    made = animate_files(take, face, tmp_path / "out", AnimateSettings(
        size_px=MAP_PX, height_px=64, fps=20, every=5, gltf=False))  # fmt: skip
    assert [path.name for path in sorted((tmp_path / "out" / "dpmap").iterdir())] == [
        f"frame_{k:06d}.png" for k in (0, 5, 10, 15, 20)
    ]
    film = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    frames = []
    while (read := film.read())[0]:
        frames.append(read[1].astype(int))
    assert len(frames) == made.frames == 21
    assert frames[0].shape[0] == 64
    assert np.abs(frames[0] - frames[20]).max() > 20  # the head has turned
    assert not (tmp_path / "out" / ".clip").exists()
    assert json.loads((tmp_path / "out" / "animation.json").read_text())["whole"]


def test_an_interrupted_run_goes_on(face: Path, take: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "whole"
    animate_files(take, face, whole, FAST)
    drawn: list[int] = []
    real = DetailRenderer.draw

    def until_the_seventh(self: DetailRenderer, *given: Any) -> Any:
        drawn.append(1)
        if len(drawn) == 7:
            raise KeyboardInterrupt
        return real(self, *given)

    out = tmp_path / "out"
    monkeypatch.setattr(DetailRenderer, "draw", until_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        animate_files(take, face, out, FAST)
    assert not json.loads((out / "animation.json").read_text())["whole"]
    map_times = {path.name: path.stat().st_mtime_ns for path in (out / "dpmap").iterdir()}
    drawn.clear()
    monkeypatch.setattr(DetailRenderer, "draw", lambda self, *given: drawn.append(1) or real(self, *given))
    animate_files(take, face, out, FAST)
    assert len(drawn) == 21 - 6
    assert {path.name: path.stat().st_mtime_ns for path in (out / "dpmap").iterdir()} == map_times
    for name in ("face.glb", "dpmap/frame_000007.png"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    drawn.clear()
    animate_files(take, face, out, FAST)  # all is there
    assert not drawn


def test_a_recording_of_one_frame_is_a_face_that_stays(face: Path, tmp_path: Path) -> None:
    take = write_table(tmp_path / "one.csv", cells_of(np.full((1, 61), 0.25)))
    made = animate_files(take, face, tmp_path / "out", FAST)
    assert (made.seconds, made.frames, made.keyframes, made.maps) == (0, 1, 1, 1)
    assert "mouthSmileRight" in made.lacking
    assert "mouthSmileRight" in made.as_text()


def test_another_request_in_its_folder_is_refused(face: Path, take: Path, tmp_path: Path) -> None:
    only = AnimateSettings(maps=False, clip=False)
    animate_files(take, face, tmp_path / "out", only)
    with pytest.raises(AnimateError, match="another animation"):
        animate_files(take, face, tmp_path / "out", AnimateSettings(maps=False, clip=False, tolerance=0.1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(AnimateError, match="is no animation"):
        animate_files(take, face, tmp_path / "mine", only)


def test_a_rig_alone_plays_without_detail(take: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Chosen:
        name, mesh = "seen", bumped_mesh()

    monkeypatch.setattr("processing.animation.face_folder.default_template", Chosen)
    write_rig(tmp_path / "rig.npz", seen_rig())
    with pytest.raises(AnimateError, match="--no-maps"):
        animate_files(take, tmp_path / "rig.npz", tmp_path / "out", FAST)
    made = animate_files(take, tmp_path / "rig.npz", tmp_path / "out", AnimateSettings(maps=False, height_px=32, fps=5))
    assert made.codec
    assert "images" not in Glb(tmp_path / "out" / "face.glb").document


def test_a_rig_of_another_template_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        name, mesh = "other", bumped_mesh().__class__(bumped_mesh().vertices_mm, bumped_mesh().triangles[:-1])

    monkeypatch.setattr("processing.animation.face_folder.default_template", Other)
    write_rig(tmp_path / "rig.npz", seen_rig())
    with pytest.raises(RigError, match="--template"):
        read_animated_face(tmp_path / "rig.npz")


def test_a_face_with_a_template_beside_it_is_refused(face: Path) -> None:
    with pytest.raises(DetailError, match="leave --template out"):
        read_animated_face(face, face / "rig.npz")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"fps": 0}, "--fps"), ({"every": 0}, "--every"), ({"size_px": 4}, "--size-px"), ({"flip": ("yawn",)}, "yawn"),
     ({"gltf": False, "maps": False, "clip": False}, "nothing is left"), ({"tolerance": 2}, "--tolerance")],
)  # fmt: skip
def test_settings_that_cannot_be(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(AnimateError, match=words):
        AnimateSettings(**wrong)


def test_the_command_tells_what_it_did(face: Path, take: Path, tmp_path: Path) -> None:
    asked = [
        str(take),
        "--face",
        str(face),
        "--out",
        str(tmp_path / "out"),
        "--no-clip",
        "--size-px",
        "48",
        "--fps",
        "4",
    ]
    told = CliRunner().invoke(app, ["animate", *asked])
    assert told.exit_code == 0, told.output
    assert "5 displacement maps" in told.output
    asked[4] = str(tmp_path / "json")
    told = CliRunner().invoke(app, ["animate", *asked, "--json", "--flip", "yaw"])
    assert json.loads(told.output)["maps"] == 5


def test_a_captured_face_gives_its_key_expressions(face: Path) -> None:
    read = read_detailed_face(face)
    detail = DynamicDetail.of(read, MAP_PX)
    for label, weights in zip(LABELS, read.key_weights, strict=True):
        np.testing.assert_array_equal(detail.displacement(weights), read.displacement(label, MAP_PX)[0])
    np.testing.assert_allclose(detail.vertices(read.key_weights[1]), read.rig.face(read.key_weights[1]))


def test_relief_is_lit_from_the_side_it_faces() -> None:
    """A ridge along y on a flat sheet, lit from the left above: its left flank is brighter than its right one."""
    mesh = bumped_mesh()
    flat = mesh.with_vertices(mesh.vertices_mm * [1, 1, 0])
    camera = portrait_camera(np.add(bounds(flat), [[0, 0, -1], [0, 0, 1]]), height_px=200)
    renderer = DetailRenderer.of(flat, camera, supersample=1)
    ridge = np.tile(4 * np.exp(-(((np.arange(64) - 32) / 5.0) ** 2)), (64, 1)).astype(np.float32)
    plain, lit = (renderer.draw(flat.vertices_mm, height).astype(int).sum(axis=2) for height in (None, ridge))
    middle = camera.width // 2
    reach = round(4.5 / 64 / 0.9 * 160 / 160 * camera.width)
    row = slice(80, 120)
    assert lit[row, middle - reach].mean() > plain[row, middle - reach].mean() > lit[row, middle + reach].mean()
    assert np.abs(lit - plain)[row, 25].max() <= 3  # away from the ridge nothing changes


@given(seed=st.integers(0, 1 << 30), tolerance=st.sampled_from([0.0, 0.001, 0.02, 0.3]))
def test_thinned_keyframes_stay_within_the_tolerance(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.1, 40))
    values = np.cumsum(rng.normal(0, 0.05, (40, 3)), axis=0)
    kept = thinned(times, values, tolerance)
    again = np.stack([np.interp(times, times[kept], column) for column in values[kept].T], axis=1)
    assert np.abs(again - values).max() <= tolerance + 1e-12
    assert kept[0] == 0
    assert kept[-1] == 39


@given(seed=st.integers(0, 1 << 30))
def test_quaternions_turn_as_the_matrix_does(seed: int) -> None:
    turns = np.random.default_rng(seed).uniform(-1, 1, 3)
    cy, sy, cx, sx, cz, sz = (f(a) for a in turns for f in (np.cos, np.sin))
    about = (
        np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    )
    np.testing.assert_allclose(rotation_of(turns), about, atol=1e-12)
    steps = turns_to_quaternions(np.linspace(0, 7, 50)[:, None] * turns)
    assert ((steps[1:] * steps[:-1]).sum(axis=1) > 0).all()
