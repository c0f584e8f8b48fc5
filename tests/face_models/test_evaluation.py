"""Evaluation: what a model can say it comes near to, what it cannot stays as large as it is, whatever the pose."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from small_model import small_model

from processing.errors import DataError
from processing.face_models.evaluation import (
    ErrorCurve,
    HeldOutMesh,
    evaluate,
    evaluated_vertices,
    face_components,
)
from processing.face_models.evaluation_curves import curves_svg
from processing.face_models.evaluation_files import EvaluationChoice, evaluate_files, registered_meshes
from processing.face_models.model_file import write_model
from processing.files.obj import write_obj
from processing.synthetic.subject import small_motion

MODEL = small_model()
SOME = np.flatnonzero(evaluated_vertices(MODEL))


def faces(seeds, motion_mm=0.0, off_mm=0.0):
    """Meshes of random persons and expressions of the model, moved, each vertex off by so much along a random way."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        weights = rng.uniform(0, 0.8, 52) * (rng.random(52) < 0.1)
        face = MODEL.face(MODEL.sample_identity(rng), weights)
        away = rng.standard_normal(face.shape)
        face = face + off_mm * away / np.linalg.norm(away, axis=1, keepdims=True)
        R, t = small_motion(rng, motion_mm)
        yield face @ R.T + t


def held_out(meshes):
    return [lambda m=mesh, k=number: HeldOutMesh(f"S{k}", "2_smile", m) for number, mesh in enumerate(meshes)]


def test_people_of_the_model_are_met_whatever_their_pose():
    for motion_mm in (0.0, 3.0):
        (curve,) = evaluate(MODEL, held_out(faces(range(3), motion_mm)))
        assert curve.mean_mm < 0.1
        assert curve.share_within(0.5) > 0.97


def test_what_no_face_does_remains():
    """Noise of 0.8 mm on every vertex is no matter of who somebody is: the distances are about that."""
    (curve,) = evaluate(MODEL, held_out(faces(range(3), 2.0, off_mm=0.8)))
    assert curve.mean_mm == pytest.approx(0.8, abs=0.08)
    assert set(curve.by_label) == {"2_smile"}


def test_components_of_the_very_meshes_meet_them():
    meshes = list(faces(range(8), 2.0))
    components = face_components(iter(meshes), SOME, MODEL.topology.mesh.vertices_mm, 50)
    assert len(components.components) == 7
    for mesh in meshes:
        assert np.linalg.norm(components.nearest(mesh) - mesh[SOME], axis=1).mean() < 0.02
    flat = components.components.reshape(7, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(7), atol=1e-4)


def test_fewer_components_never_come_nearer():
    meshes, other = list(faces(range(8))), next(faces([99]))
    off = []
    for count in (1, 3, 7):
        components = face_components(iter(meshes), SOME, MODEL.topology.mesh.vertices_mm, count)
        off.append(np.square(components.nearest(other) - other[SOME]).sum())
    assert off[0] >= off[1] * 0.999
    assert off[1] >= off[2] * 0.999
    with pytest.raises(DataError, match="three meshes"):
        face_components(iter(meshes[:2]), SOME, MODEL.topology.mesh.vertices_mm, 5)


def test_a_curve_counts_what_it_is_given():
    curve, rng = ErrorCurve("one", 5, "vertex"), np.random.default_rng(0)
    distances = rng.exponential(0.7, 5000)
    for k, piece in enumerate(np.array_split(distances, 7)):
        curve.add(f"{k % 2 + 1}_x", piece)
    assert curve.mean_mm == pytest.approx(distances.mean())
    for mm in (0.25, 1.0, 3.0):
        assert curve.share_within(mm) == pytest.approx((distances < mm).mean(), abs=1e-3)
    for share in (0.5, 0.95):
        assert curve.quantile_mm(share) == pytest.approx(np.quantile(distances, share), abs=0.02)
    figures = curve.figures()
    assert list(figures["curve"].values()) == sorted(figures["curve"].values())
    picture = ElementTree.fromstring(curves_svg([curve, curve], "a < b & c"))
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}polyline")) == 2


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for home, seeds in {"others": (1, 2), "members": (3, 4, 5)}.items():
        for seed, mesh in zip(seeds, faces(seeds, 2.0), strict=True):
            for label in ("1_neutral", "2_smile"):
                write_obj(
                    tmp_path / home / f"S00{seed}/models_reg/{label}.obj", MODEL.topology.mesh.with_vertices(mesh)
                )
    write_model(tmp_path / "model.npz", MODEL)
    return tmp_path


def test_from_files_to_files(study):
    choice = EvaluationChoice(members=study / "members", takes=("smile",), crossings=3)
    found = evaluate_files(study / "model.npz", study / "others", study / "out", choice)
    assert (found.subjects, found.meshes) == (2, 2)
    told = json.loads((study / "out/evaluation.json").read_text())
    own, components = told["curves"]
    assert own["mean_mm"] < 0.1
    assert components["name"] == "principal components"
    assert told["crossings"]["drawn_apart"]["faces"] == 3
    assert "S001" not in (study / "out/evaluation.json").read_text()


def test_meshes_are_found_and_what_is_wrong_is_named(study):
    assert len(registered_meshes(study / "others")) == 4
    assert [m.label for m in registered_meshes(study / "others/S001")] == ["1_neutral", "2_smile"]
    out, model = study / "out", study / "model.npz"
    for folder, choice, why in [
        (study / "nothing", EvaluationChoice(), "not a folder"),
        (study / "others", EvaluationChoice(takes=("grin",)), "no registered meshes of grin"),
        (study / "others", EvaluationChoice(members=study / "others"), "share meshes"),
    ]:
        with pytest.raises(DataError, match=why):
            evaluate_files(model, folder, out, choice)
    write_obj(study / "others/S009/models_reg/1_neutral.obj", _cube())
    with pytest.raises(DataError, match="8 vertices"):
        evaluate_files(model, study / "others", out, EvaluationChoice())


def _cube():
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    triangles = np.array([[0, 1, 2], [1, 3, 2], [4, 6, 5], [5, 6, 7]], np.int32)
    return replace(MODEL.topology.mesh, vertices_mm=corners, triangles=triangles, uvs=None, uv_triangles=None)
