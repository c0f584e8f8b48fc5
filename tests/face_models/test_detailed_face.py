"""A detailed face comes back from its folder as it was written; parts that do not belong together are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.face_models.blendshapes.rig import Rig
from processing.face_models.detailed_face import (
    DetailedFaceError,
    FaceParts,
    read_detailed_face,
    resized_displacement,
    write_detailed_face,
)
from processing.files.displacement_map import DisplacementMap
from processing.geometry.mesh import Mesh

LABELS = ("1_neutral", "2_smile")


def parts(size_px: int = 16) -> FaceParts:
    corners = np.array([[0.0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 2]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    mesh = Mesh(corners, triangles, corners[:, :2] / 10, triangles)
    shapes = np.stack([corners + np.array([0, 0, k + 1.0]) for k in range(3)]).astype(np.float32)
    weights = np.array([[0.0, 0, 0], [0.5, 0.25, 0]])
    rig = Rig(("a", "b", "c"), corners.astype(np.float32), shapes, "square", LABELS, weights)
    heights = {label: np.full((size_px, size_px), 0.25 * k, np.float32) for k, label in enumerate(LABELS)}
    valid = np.ones((size_px, size_px), np.bool_)
    return FaceParts(
        rig,
        mesh,
        {label: rig.face(weights[k]) for k, label in enumerate(LABELS)},
        [(label, DisplacementMap(height, valid)) for label, height in heights.items()],
        {"1_neutral": np.full((8, 8, 3), (200, 120, 90), np.uint8)},
        {"source": "predicted", "completed": 0.25},
        np.eye(8, dtype=np.bool_),
    )


def test_a_face_comes_back_from_its_folder(tmp_path: Path) -> None:
    given_parts = parts()
    write_detailed_face(tmp_path / "face", given_parts)
    face = read_detailed_face(tmp_path / "face")
    assert face.labels == LABELS
    np.testing.assert_array_equal(face.key_weights, given_parts.rig.weights)
    np.testing.assert_allclose(face.mesh.vertices_mm, given_parts.mesh.vertices_mm, atol=1e-6)
    height, valid = face.displacement("2_smile", 16)
    assert np.abs(height - 0.25).max() < 5.0 / 32768 * 8 + 1e-6  # half of what a file's step is
    assert valid.all()
    assert face.facts["completed"] == 0.25
    assert face.completed_mask is not None
    assert np.abs(face.texture("2_smile").astype(int) - [200, 120, 90]).max() <= 3  # a JPEG's, RGB


def test_what_it_has_not_is_named(tmp_path: Path) -> None:
    face = write_detailed_face(tmp_path, parts())
    with pytest.raises(DetailedFaceError, match=r"no expression '3_anger'.*1_neutral, 2_smile"):
        face.displacement("3_anger", 16)
    (tmp_path / "dpmap" / "2_smile.png").unlink()
    with pytest.raises(DetailedFaceError, match=r"lacks dpmap/2_smile\.png"):
        read_detailed_face(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"textures": {}}, "no texture of 1_neutral"),
        ({"meshes_mm": {"1_neutral": np.zeros((4, 3))}}, "no mesh of 2_smile"),
        ({"displacements": []}, "no displacement map of 1_neutral"),
        ({"facts": {"source": "dreamt"}}, "source is one of"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(DetailedFaceError, match=said):
        write_detailed_face(tmp_path, replace(parts(), **change))  # type: ignore[arg-type]
    assert not (tmp_path / "face.json").exists()


def test_another_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "face.json").write_text(json.dumps({"kind": "mien face fit"}))
    with pytest.raises(DetailedFaceError, match="no detailed face"):
        read_detailed_face(tmp_path)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(-3, 3))
def test_a_constant_height_stays_at_every_size(size_px: int, to_px: int, height_mm: float) -> None:
    rng = np.random.default_rng(size_px)
    valid = rng.random((size_px, size_px)) < 0.7
    height = np.where(valid, height_mm, 99.0).astype(np.float32)
    made, where = resized_displacement(height, valid, to_px)
    assert made.shape == where.shape == (to_px, to_px)
    if to_px <= size_px and where.any():
        assert np.abs(made[where] - height_mm).max() < 1e-4  # what is not valid takes no part
