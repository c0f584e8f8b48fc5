"""The model for FaceScape's own code: every key by shape and meaning; with FaceScape's checkout, its classes run on it.

MIEN_FACESCAPE names a checkout of github.com/zhuhao-nju/facescape; the test with it needs scikit-learn too.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_model import small_model

from processing.face_models.bilinear_shapes import ModelError
from processing.face_models.exports.facescape_model import identity_scale, write_facescape_model
from processing.face_models.face_model import FaceModel
from processing.files.obj import read_obj

TRIAL = Path(__file__).with_name("facescape_trial.py")


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return small_model()


@pytest.fixture(scope="module")
def written(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("facescape") / "model.npz"
    write_facescape_model(path, model)
    return path


def _kept(model: FaceModel) -> list[int]:
    return [k for k, unit in enumerate(model.units) if unit != "tongueOut"]


def test_every_key_is_there_and_no_pickle(model: FaceModel, written: Path) -> None:
    count, identities = model.vertex_count, model.identity_count
    with np.load(written, allow_pickle=False) as arrays:
        said: dict[str, Any] = dict(arrays)
    front = int(said["frontal_vert_num"])
    assert said["shape_bm_core"].shape == (3 * count, 52, identities)
    assert (said["vert_num"], said["face_num"]) == (count, len(model.topology.mesh.triangles))
    assert said["fv_indices"].shape == said["ft_indices"].shape == (said["face_num"], 3)
    assert said["fv_indices_front"].shape == said["ft_indices_front"].shape == (said["frontal_face_num"], 3)
    assert (said["fv_indices"].min(), said["fv_indices"].max()) == (1, count)
    assert said["fv_indices_front"].max() <= front
    assert (said["ft_indices"].min(), said["ft_indices"].max()) == (1, len(said["texcoords"]))
    np.testing.assert_array_equal(said["v_indices_front"], np.arange(front))
    assert said["color_bm_core"].shape == (3 * front, 4)
    assert said["color_bm_mean"].shape == (3 * front,)
    assert said["lm_list_v16"].shape == (68,)
    assert said["contour_line_left"].shape[0] == said["contour_line_right"].shape[0] == 8
    assert said["id_mean"].shape == said["id_var"].shape == (identities,)
    assert said["exp_gmm_means"].shape[1:] == (51,)
    assert said["exp_gmm_covariances"].shape[1:] == (51, 51)
    np.testing.assert_array_equal(said["vert_10to16_dict"][said["vert_16to10_dict"]], np.arange(count))
    order = said["vert_16to10_dict"]
    np.testing.assert_array_equal(order[said["sym_dict"]], model.topology.symmetry[order])
    np.testing.assert_array_equal(order[said["lm_list_v16"]], model.topology.landmark_vertices)
    assert said["facial_mask"].max() == 255
    assert said["units"].tolist()[0] == "neutral"
    assert "tongueOut" not in said["units"].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_core_makes_the_models_own_faces(model: FaceModel, written: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    identity, weights = model.sample_identity(rng), model.sample_weights(rng)
    weights[model.units.index("tongueOut")] = 0
    with np.load(written) as said:
        core, order, triangles = said["shape_bm_core"], said["vert_16to10_dict"], said["fv_indices"] - 1
    shapes = (core @ (identity / identity_scale(model))).T.reshape(52, -1, 3)
    face = shapes[0] + np.tensordot(weights[_kept(model)], shapes[1:] - shapes[0], axes=1)
    wanted = model.face(identity, weights)
    np.testing.assert_allclose(face, wanted[order], atol=2e-3)
    corners = {tuple(sorted(t)) for t in order[triangles].tolist()}
    assert corners == {tuple(sorted(t)) for t in model.topology.mesh.triangles.tolist()}


def test_equal_models_give_equal_bytes(model: FaceModel, written: Path, tmp_path: Path) -> None:
    write_facescape_model(tmp_path / "again.npz", model)
    assert (tmp_path / "again.npz").read_bytes() == written.read_bytes()


def test_without_albedo_or_mixture_it_is_grey_and_broad(tmp_path: Path) -> None:
    from dataclasses import replace

    bare = replace(small_model(albedo=False), expression_mixture=None)
    write_facescape_model(tmp_path / "bare.npz", bare)
    with np.load(tmp_path / "bare.npz") as said:
        assert np.ptp(said["color_bm_mean"]) == 0
        np.testing.assert_allclose(said["exp_gmm_covariances"][0], 0.09 * np.eye(51))


def test_what_facescapes_code_cannot_take_is_refused(model: FaceModel, tmp_path: Path) -> None:
    from dataclasses import replace

    from processing.geometry.mesh import Mesh

    mesh = model.topology.mesh
    bare = replace(model, topology=replace(model.topology, mesh=Mesh(mesh.vertices_mm, mesh.triangles)))
    with pytest.raises(ModelError, match="no UVs"):
        write_facescape_model(tmp_path / "bare.npz", bare)
    assert not (tmp_path / "bare.npz").exists()


def facescape() -> Path:
    """The toolkit of FaceScape's checkout. Skips the test without one."""
    for found in (os.environ.get("MIEN_FACESCAPE"), Path(__file__).parents[3] / "shared" / "facescape"):
        if found and (Path(found) / "toolkit/src/facescape_fitter.py").is_file():
            return Path(found) / "toolkit"
    pytest.skip("no checkout of FaceScape: git clone https://github.com/zhuhao-nju/facescape, MIEN_FACESCAPE=<folder>")


def test_every_key_that_facescapes_code_reads_is_written(written: Path) -> None:
    source = (facescape() / "src/facescape_bm.py").read_text()
    with np.load(written) as said:
        assert set(re.findall(r"bm_model\['(\w+)'\]", source)) <= set(said.files)


def test_facescapes_classes_run_unchanged_and_find_the_truth(model: FaceModel, written: Path, tmp_path: Path) -> None:
    toolkit = facescape()
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(5)
    faces = [(model.sample_identity(rng), model.sample_weights(rng)[_kept(model)]) for _ in range(3)]
    scaled = np.array([identity for identity, _ in faces]) / identity_scale(model)
    np.savez(tmp_path / "faces.npz", identities=scaled, weights=np.array([weights for _, weights in faces]))
    command = [sys.executable, "-W", "ignore", TRIAL, written, tmp_path / "faces.npz", tmp_path / "got.npz"]
    done = subprocess.run(command, cwd=toolkit, env=os.environ | {"PYTHONPATH": str(toolkit)}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    with np.load(tmp_path / "got.npz") as said:
        got: dict[str, Any] = dict(said)
    with np.load(written) as said:
        order, front = said["vert_16to10_dict"], int(said["frontal_vert_num"])
    for number, (identity, kept) in enumerate(faces):
        weights = np.zeros(len(model.units))
        weights[_kept(model)] = kept
        truth = model.face(identity, weights)[order]
        np.testing.assert_allclose(got["full"][number], truth, atol=2e-3)
        np.testing.assert_allclose(got["face"][number], truth[:front], atol=2e-3)
        landmarks = got["landmarks"]
        mean = model.face(model.identity_mean, np.zeros(len(model.units)))[order]
        before, after = (np.linalg.norm(face - truth, axis=1) for face in (mean, got["fit3d"][number]))
        # mm: the code looks at 68 points alone, alternates five times, and holds to the mean by a weight of 20.
        assert after[landmarks].mean() < min(1.2, 0.3 * before[landmarks].mean())
        assert after[:front].mean() < 0.6 * before[:front].mean()
        flat = np.linalg.norm((got["fit2d"][number] - got["truth2d"][number])[:, :2], axis=1)
        assert flat[landmarks[17:]].mean() < 1.0  # along the jaw, a picture says where the silhouette is alone
    assert ((got["colour"] >= 0) & (got["colour"] <= 1)).all()
    shown = read_obj(tmp_path / "face.obj")
    assert len(shown.vertices_mm) == front
    assert got["colour"][0, 0] > got["colour"][0, 2]  # skin is redder than it is blue: the code turned BGR round
