"""`mien model show`, `sample`, `fit`, `rig` on the small model: what they write, and what they refuse."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_model import small_model
from typer.testing import CliRunner, Result

from common.array_types import Floats
from processing.commands.model import app
from processing.errors import DataError
from processing.face_models.blendshapes.rig import Rig, read_rig
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import write_model
from processing.files.image_files import read_image
from processing.files.mesh_files import read_mesh
from processing.files.obj import write_obj
from processing.files.ply import write_ply
from processing.geometry.mesh import Mesh, subdivide
from processing.landmarks.landmark_files import write_landmarks
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.template.face_units import ARKIT_UNITS

MODEL = small_model()


def run(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.npz"
    write_model(path, MODEL)
    return path


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def person(seed: int, **weights: float) -> Floats:
    w = np.zeros(52)
    for name, value in weights.items():
        w[ARKIT_UNITS.index(name)] = value
    return MODEL.face(MODEL.sample_identity(np.random.default_rng(seed)), w)


def scanned(folder: Path, name: str, vertices: Floats) -> tuple[Path, Path]:
    """A scan of finer triangles, and its landmarks."""
    scan = subdivide(Mesh(vertices, MODEL.topology.mesh.triangles))
    write_ply(folder / f"{name}.ply", scan)
    write_landmarks(folder / f"{name}.json", Landmarks3d.of_points(MODEL.topology.landmark_points(vertices)))
    return folder / f"{name}.ply", folder / f"{name}.json"


def test_show_draws_and_says_who_is_in_it(model: Path, tmp_path: Path) -> None:
    said = run("show", model, "--out", tmp_path / "model.png").stdout
    assert "20 members" in said
    assert "identification" in said
    assert read_image(tmp_path / "model.png").shape[0] > 500
    facts = json.loads(run("show", model, "--out", tmp_path / "model.png", "--json").stdout)
    assert facts["units"] == list(ARKIT_UNITS)


@pytest.mark.parametrize("form", ["obj", "ply", "npz"])
def test_the_same_seed_draws_the_same_persons(model: Path, tmp_path: Path, form: str) -> None:
    words = ("--seed", 5, "--expression", "random", "--format", form)
    run("sample", model, *words, "--count", 2, "--out", tmp_path / "a")
    files = json.loads(run("sample", model, *words, "--count", 3, "--json", "--out", tmp_path / "b").stdout)["files"]
    assert [Path(f).name for f in files] == [f"sample-5-{k}.{form}" for k in (1, 2, 3)]
    for k in (1, 2):
        assert (tmp_path / f"a/sample-5-{k}.{form}").read_bytes() == (tmp_path / f"b/sample-5-{k}.{form}").read_bytes()
    assert Path(files[0]).read_bytes() != Path(files[1]).read_bytes()


def test_samples_do_what_is_asked(model: Path, tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"jawOpen": 0.5}')
    run("sample", model, "--format", "npz", "--out", tmp_path / "neutral")
    for name, words in {"unit": ["--expression", "jawOpen"], "file": ["--weights", tmp_path / "w.json"]}.items():
        run("sample", model, "--format", "npz", *words, "--out", tmp_path / name)
    found = {name: arrays(tmp_path / name / "sample-0-1.npz") for name in ("neutral", "unit", "file")}
    identity = found["neutral"]["identity"]
    np.testing.assert_array_equal(identity, found["unit"]["identity"])
    offset = MODEL.bilinear.offsets(identity)[ARKIT_UNITS.index("jawOpen")]
    for name, weight in {"unit": 1.0, "file": 0.5}.items():
        moved = found[name]["vertices_mm"] - found["neutral"]["vertices_mm"]
        np.testing.assert_allclose(moved, weight * offset, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--expression", "smlie"], "did you mean smile"),
        (["--expression", "xyzzy"], r"no expression 'xyzzy'\. There are"),
        (["--format", "stl"], "no format"),
        (["--weights", "bad.json"], "weight is a number"),
        (["--weights", "unknown.json"], "jawOpen"),
        (["--weights", "list.json"], "no weights"),
        (["--weights", "absent.json"], "cannot be read"),
        (["--weights", "bad.json", "--expression", "smile"], "not both"),
    ],
)
def test_samples_that_are_refused(model: Path, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "bad.json").write_text('{"jawOpen": 2}')
    (tmp_path / "unknown.json").write_text('{"jawOpne": 1}')
    (tmp_path / "list.json").write_text("[1, 2]")
    given = [str(tmp_path / word) if word.endswith(".json") else word for word in words]
    with pytest.raises(DataError, match=said):
        run("sample", model, *given, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_scan_is_fitted_into_files(model: Path, tmp_path: Path) -> None:
    truth = person(1, jawOpen=0.7)
    scan, points = scanned(tmp_path, "s", truth)
    said = json.loads(run("fit", model, scan, "--landmarks", points, "--out", tmp_path / "out", "--json").stdout)
    one = said["fits"][0]
    assert one["review"]["verdict"] == "accept"
    assert one["figures"]["face"]["mean_mm"] < 0.1
    mesh = read_mesh(Path(one["files"]["mesh"]))
    np.testing.assert_array_equal(mesh.triangles, MODEL.topology.mesh.triangles)
    kept = json.loads(Path(one["files"]["parameters"]).read_text())
    weights = np.array([kept["weights"][unit] for unit in ARKIT_UNITS])
    R, t = np.array(kept["pose"]["R"]), np.array(kept["pose"]["t"])
    again = MODEL.face(np.array(kept["identity"]), weights) @ R.T + t
    np.testing.assert_allclose(again, mesh.vertices_mm, atol=1e-3)
    assert kept["model"]["name"] == "small"
    assert read_image(Path(one["files"]["picture"])).shape[1] > 600
    assert "on average" in run("fit", model, scan, "--landmarks", points, "--out", tmp_path / "out").stdout


def test_scans_of_one_person_share_who_it_is(model: Path, tmp_path: Path) -> None:
    a, la = scanned(tmp_path, "a", person(2))
    b, lb = scanned(tmp_path, "b", person(2, cheekPuff=0.8))
    run("fit", model, a, b, "--landmarks", la, "--landmarks", lb, "--out", tmp_path / "out")
    first, second = (json.loads((tmp_path / f"out/{k}.fit.json").read_text()) for k in "ab")
    assert first["identity"] == second["identity"]
    assert second["weights"]["cheekPuff"] > 0.4 > 0.05 > first["weights"]["cheekPuff"]


def test_a_fit_that_fails_writes_nothing(model: Path, tmp_path: Path) -> None:
    a, la = scanned(tmp_path, "a", person(2))
    b, lb = scanned(tmp_path, "b", person(3) / 1000)
    with pytest.raises(DataError, match="metres"):
        run("fit", model, a, b, "--landmarks", la, "--landmarks", lb, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_fits_that_are_refused(model: Path, tmp_path: Path) -> None:
    scan, points = scanned(tmp_path, "s", person(1))
    (tmp_path / "other").mkdir()
    other, _ = scanned(tmp_path / "other", "s", person(2))
    out = tmp_path / "out"
    with pytest.raises(DataError, match="two scans are called s"):
        run("fit", model, scan, other, "--out", out)
    with pytest.raises(DataError, match="1 scans and 2 files of landmarks"):
        run("fit", model, scan, "--landmarks", points, "--landmarks", points, "--out", out)
    write_obj(tmp_path / "s.obj", read_mesh(scan))
    with pytest.raises(DataError, match="the scan itself"):
        run("fit", model, tmp_path / "s.obj", "--landmarks", points, "--out", tmp_path)
    with pytest.raises(DataError, match=r"an \.obj or a \.ply"):
        run("fit", model, points, "--landmarks", points, "--out", out)
    head = arrays(model)
    head["head"] = np.array(str(head["head"]).replace('"format": 1', '"format": 9'))
    np.savez(tmp_path / "newer.npz", **head)
    with pytest.raises(DataError, match="format 9"):
        run("fit", tmp_path / "newer.npz", scan, "--landmarks", points, "--out", out)
    with pytest.raises(DataError, match="no whole face model"):
        run("fit", points, scan, "--landmarks", points, "--out", out)


def test_a_rig_of_a_scan_has_the_shapes_of_its_person(model: Path, tmp_path: Path) -> None:
    scan, points = scanned(tmp_path, "s", person(4, jawOpen=0.5))
    said = json.loads(run("rig", model, scan, "--landmarks", points, "--out", tmp_path / "out", "--json").stdout)
    rig = read_rig(Path(said["rig"]))
    truth = MODEL.shapes(MODEL.sample_identity(np.random.default_rng(4)))
    face = MODEL.topology.face
    assert np.linalg.norm(rig.neutral_mm - truth[0], axis=1)[face].mean() < 1.0
    moved, wanted = rig.shapes_mm - rig.neutral_mm, truth[1:] - truth[0]
    assert np.linalg.norm(moved - wanted, axis=2)[:, face].mean() < 0.05
    objs = sorted(path.stem for path in Path(said["obj"]).glob("*.obj"))
    assert objs == sorted(["neutral", *ARKIT_UNITS])


def subject(folder: Path, model: FaceModel, seed: int) -> Path:
    """A folder as `mien process` leaves it."""
    identity = model.sample_identity(np.random.default_rng(seed))
    for label, unit in {"1_neutral": None, "2_smile": "mouthSmileLeft", "3_mouth_stretch": "jawOpen"}.items():
        w = np.zeros(52)
        if unit is not None:
            w[ARKIT_UNITS.index(unit)] = 0.8
        write_obj(folder / f"models_reg/{label}.obj", model.topology.mesh.with_vertices(model.face(identity, w)))
    return folder


def rigged(model: Path, folder: Path, out: Path, *words: str) -> Rig:
    made = run("rig", model, folder, "--out", out, "--no-obj", "--json", *words)
    assert not (out / "obj").exists()
    return read_rig(Path(json.loads(made.stdout)["rig"]))


def test_a_rig_of_a_subjects_registered_meshes(model: Path, tmp_path: Path) -> None:
    rig = rigged(model, subject(tmp_path / "S007", MODEL, 7), tmp_path / "out", "--no-refine")
    truth = MODEL.shapes(MODEL.sample_identity(np.random.default_rng(7)))
    np.testing.assert_allclose(rig.shapes_mm, truth[1:], atol=0.05)
    assert rig.examples == ("1_neutral",)
    assert not rig.weights.any()


def test_what_a_subject_does_otherwise_than_the_model_says_is_in_its_own_rig(model: Path, tmp_path: Path) -> None:
    folder = subject(tmp_path / "S007", MODEL, 7)
    jaw, unit = folder / "models_reg/3_mouth_stretch.obj", ARKIT_UNITS.index("jawOpen")
    own = MODEL.bilinear.offsets(MODEL.sample_identity(np.random.default_rng(7)))[unit]
    moved = read_mesh(jaw).vertices_mm + 0.8 * 0.4 * own * (MODEL.topology.mesh.vertices_mm[:, :1] > 0)
    write_obj(jaw, MODEL.topology.mesh.with_vertices(moved))
    truth = own * np.where(MODEL.topology.mesh.vertices_mm[:, :1] > 0, 1.4, 1.0)
    away = {}
    for words in (("--no-refine",), ("--refine",)):
        rig = rigged(model, folder, tmp_path / words[0], *words)
        away[words[0]] = np.linalg.norm(rig.shapes_mm[unit] - rig.neutral_mm - truth, axis=1)[np.abs(own).max(1) > 0.5]
    assert away["--refine"].mean() < 0.8 * away["--no-refine"].mean()


def test_a_subject_without_a_neutral_has_the_models_shapes(model: Path, tmp_path: Path) -> None:
    folder = subject(tmp_path / "S007", MODEL, 7)
    (folder / "models_reg/1_neutral.obj").unlink()
    rig = rigged(model, folder, tmp_path / "out")
    assert rig.examples == ("2_smile", "3_mouth_stretch")
    assert rig.weights[1, ARKIT_UNITS.index("jawOpen")] == pytest.approx(0.8, abs=0.01)
    truth = MODEL.shapes(MODEL.sample_identity(np.random.default_rng(7)))
    np.testing.assert_allclose(rig.neutral_mm, truth[0], atol=0.05)


def test_meshes_of_another_topology_are_refused(model: Path, tmp_path: Path) -> None:
    folder = subject(tmp_path / "S007", MODEL, 7)
    mesh = MODEL.topology.mesh
    write_obj(
        folder / "models_reg/4_anger.obj", replace(mesh, triangles=mesh.triangles[::-1], uvs=None, uv_triangles=None)
    )
    with pytest.raises(DataError, match="another topology than model small"):
        run("rig", model, folder, "--out", tmp_path / "out")
    with pytest.raises(DataError, match="no registered meshes"):
        run("rig", model, tmp_path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
