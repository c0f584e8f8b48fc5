"""A fitted photograph and a network of chance become a detailed face in a folder, which reads back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from known_fit import known_fit
from lit_face import painted_model

from processing.errors import DataError, ShapeError
from processing.face_models.detailed_face import read_detailed_face
from processing.files.mesh_files import read_mesh
from processing.learning.detail.common_relief import BASIS, CommonRelief
from processing.learning.detail.detail_files import DetailInputs, detail_files, detailed_face
from processing.learning.detail.detail_inputs import InputShape
from processing.learning.detail.detail_network import CODE, DetailNetwork
from processing.learning.detail.detail_predictor import DetailPredictor, resampled
from processing.learning.networks.pix2pix_hd import GeneratorShape

LABELS = ("1_neutral", "2_smile", "19_brow_raiser")
SIZE = 32


def predictor(units: tuple[str, ...] | None = None) -> DetailPredictor:
    model, rng = painted_model(), np.random.default_rng(2)
    torch.manual_seed(1)
    shape = GeneratorShape(InputShape("deforming", len(LABELS)).channels + CODE, 1, 3, 2, 1)
    relief = CommonRelief(
        rng.normal(0, 0.05, (SIZE, SIZE)).astype(np.float32),
        rng.normal(0, 0.1, (BASIS, SIZE, SIZE)).astype(np.float32),
        rng.random((SIZE, SIZE)) < 0.9,
    )
    weights = np.r_[np.zeros((1, 52)), rng.uniform(0, 0.5, (2, 52))]
    units = model.units[::-1] if units is None else units  # a file may have them in another order
    network = DetailNetwork(shape).eval()
    return DetailPredictor(
        network, relief, LABELS, units, weights, model.topology.mesh, "deforming", None, "cpu"
    )  # fmt: skip


def test_a_face_is_written_and_read(tmp_path: Path) -> None:
    known, network = known_fit(3, size=240), predictor()
    facts = {"photograph": "known.png", "weights": {"kind": "detail"}}
    detailed_face(known.model, network, known.fit, known.image, tmp_path / "face", 64, facts)
    face = read_detailed_face(tmp_path / "face")
    assert face.labels == LABELS
    np.testing.assert_allclose(face.key_weights, network.key_weights[:, ::-1], atol=1e-12)
    assert face.facts["source"] == "predicted"
    assert 0 < face.facts["completed_face"] < face.facts["completed"] < 1
    assert face.completed_mask is not None
    smile = read_mesh(tmp_path / "face" / "models_reg" / "2_smile.obj").vertices_mm
    wanted = known.model.face(known.fit.identity, face.key_weights[1])
    np.testing.assert_allclose(smile, wanted, atol=2e-4)
    texture, rest = face.texture(), face.rig.neutral_mm.astype(np.float64)
    height, valid = face.displacement("2_smile", 64)
    made = network.map(texture, rest, rest, face.rig.face(face.key_weights[1]), 64)
    np.testing.assert_array_equal(valid, made.valid)
    assert np.abs(height - made.height_mm).mean() < 5e-3  # the texture was stored as a JPEG


def test_a_map_of_constant_displacement_stays_so_at_every_size() -> None:
    valid = np.ones((SIZE, SIZE), np.bool_)
    for size in (8, SIZE, 100):
        made = resampled(np.full((SIZE, SIZE), 0.3, np.float32), valid, size)
        np.testing.assert_allclose(made.height_mm, 0.3, atol=1e-6)
        assert made.valid.all()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    known = known_fit(3, size=240)
    strange = predictor(tuple(f"unit{k}" for k in range(52)))
    with pytest.raises(DataError, match="other units"):
        detailed_face(known.model, strange, known.fit, known.image, tmp_path / "face", 64, {})
    rest = known.fit.vertices_mm
    texture = np.zeros((SIZE, SIZE, 3), np.uint8)
    with pytest.raises(ShapeError, match="size_px"):
        predictor().map(texture, rest, rest, rest, 4)
    with pytest.raises(ShapeError, match="texture"):
        predictor().heights(texture[:, :5], rest, rest, rest)
    (tmp_path / "file").write_text("")
    given = DetailInputs(tmp_path / "photo.jpg", tmp_path / "model.npz", tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match="is no folder"):
        detail_files(given, tmp_path / "file")
