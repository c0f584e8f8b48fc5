"""A studio's own photographs as samples: cut out about the face, with the fit's camera made that of the piece."""

import json

import numpy as np
import pytest

from processing.files.image_files import write_image
from processing.geometry.cameras import Camera, look_at
from processing.training.regressor.face_draws import compared_vertices
from processing.training.regressor.photograph_shards import photograph_shards
from processing.training.regressor.renders import read_shard
from processing.training.regressor.settings import RegressorError, RegressorSettings
from tests.support.small_model import small_model

SETTINGS = RegressorSettings.of("small")


def write_fit(folder, name="one", *, weak=False, **changed):
    """A photograph of noise, and a fit of a face somewhere in it."""
    model = small_model()
    write_image(folder / f"{name}.png", np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8))
    place = np.array([100.0, 50, 900])
    R = look_at(place, np.zeros(3))
    K = np.array([[700.0, 0, 180], [0, 700, 160], [0, 0, 1]])
    t = -R @ place
    camera = {"projection": "perspective", "K": K.tolist(), "R": R.tolist(), "t": t.tolist()}
    if weak:
        scale = 700 / 900
        camera = {"projection": "orthographic", "scale": scale, "R": R.tolist(), "t": [180.0, 160.0]}
    said = {
        "kind": "mien photograph fit", "scores": [0.2] * model.identity_count, "camera": camera,
        "model": {"name": model.name, "version": 1, "topology": model.topology.topology},
        "weights": dict.fromkeys(model.units, 0.1), "review": {"verdict": "accept", "reasons": []},
    } | changed  # fmt: skip
    (folder / f"{name}.fit.json").write_text(json.dumps(said))
    return Camera(K, R, t, 400, 300)


@pytest.mark.parametrize("weak", [False, True])
def test_the_piece_s_camera_sees_the_face_where_the_photograph_s_did(tmp_path, weak):
    model = small_model()
    vertices = compared_vertices(model, 200)
    camera = write_fit(tmp_path, weak=weak)
    shard = read_shard(photograph_shards(tmp_path, tmp_path / "work", model, vertices, SETTINGS)[0])
    assert len(shard) == 1
    assert shard.image(0).shape == (SETTINGS.render_px, SETTINGS.render_px, 3)
    seen = (shard.points_mm[0] @ shard.R[0].T + shard.t[0]) @ shard.K[0].T
    seen = seen[:, :2] / seen[:, 2:]
    whole = camera.project(shard.points_mm[0].astype(np.float64))
    scale = float(np.ptp(seen[:, 0]) / np.ptp(whole[:, 0]))
    off = seen - seen.mean(axis=0) - scale * (whole - whole.mean(axis=0))
    assert np.abs(off).max() < (8 if weak else 0.05)  # px: perspective is what the weak one leaves out
    assert (seen > 0).all()
    assert (seen < SETTINGS.render_px).all()


def test_what_cannot_be_learned_from_is_told(tmp_path):
    model = small_model()
    vertices = compared_vertices(model, 200)

    def tried(folder):
        return photograph_shards(folder, tmp_path / "work", model, vertices, SETTINGS)

    with pytest.raises(RegressorError, match=r"holds no <name>\.fit\.json"):
        tried(tmp_path)
    write_fit(tmp_path, review={"verdict": "review", "reasons": ["far off"]})
    with pytest.raises(RegressorError, match="none was good enough"):
        tried(tmp_path)
    write_fit(tmp_path, model={"name": "other", "topology": "x"})
    with pytest.raises(RegressorError, match="fit of model other"):
        tried(tmp_path)
    write_fit(tmp_path, camera={"projection": "perspective"})
    with pytest.raises(RegressorError, match="is no fit of a photograph"):
        tried(tmp_path)
    write_fit(tmp_path)
    (tmp_path / "one.png").unlink()
    with pytest.raises(RegressorError, match="no photograph one"):
        tried(tmp_path)
