"""Rigs in files: what is written is read, whole or in slabs, and damage is refused by name."""

import numpy as np
import pytest

from processing.errors import ShapeError
from processing.face_models.blendshapes.rig import Rig, RigError, RigSlabs, read_rig, write_rig
from processing.template.face_units import ARKIT_UNITS

VERTICES = 41


@pytest.fixture
def rig():
    rng = np.random.default_rng(3)
    neutral = rng.normal(0, 50, (VERTICES, 3)).astype(np.float32)
    shapes = neutral + rng.normal(0, 2, (52, VERTICES, 3)).astype(np.float32)
    weights = rng.uniform(0, 1, (2, 52))
    return Rig(ARKIT_UNITS, neutral, shapes, "41-abc", ("2_smile", "9_x"), weights, {"examples_mm": 0.2})


def test_a_rig_comes_back_from_its_file_and_equal_rigs_are_equal_bytes(tmp_path, rig):
    write_rig(tmp_path / "a.npz", rig)
    write_rig(tmp_path / "b.npz", rig)
    again = read_rig(tmp_path / "a.npz")
    assert (again.names, again.topology, again.examples, again.figures) == (
        rig.names, rig.topology, rig.examples, rig.figures,
    )  # fmt: skip
    for key in ("neutral_mm", "shapes_mm", "weights"):
        assert np.array_equal(getattr(again, key), getattr(rig, key))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_slabs_are_the_rig(tmp_path, rig):
    write_rig(tmp_path / "a.npz", rig)
    slabs = RigSlabs(tmp_path / "a.npz")
    assert (slabs.names, slabs.vertices, slabs.topology) == (ARKIT_UNITS, VERTICES, rig.topology)
    together = np.concatenate([slabs.slab(0, 7), slabs.slab(7, 7), slabs.slab(7, VERTICES)])
    assert np.array_equal(together[:, 0], rig.neutral_mm)
    assert np.array_equal(together[:, 1:], rig.shapes_mm.transpose(1, 0, 2))
    with pytest.raises(ShapeError):
        slabs.slab(3, VERTICES + 1)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, rig, keep):
    path = tmp_path / "a.npz"
    write_rig(path, rig)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    for read in (read_rig, RigSlabs):
        with pytest.raises(RigError):
            read(path)


def test_what_is_no_rig_is_refused(tmp_path, rig):
    path = tmp_path / "other.npz"
    np.savez(path, vertices_mm=np.zeros((4, 3)))
    for read in (read_rig, RigSlabs):
        with pytest.raises(RigError):
            read(path)
        with pytest.raises(RigError):
            read(tmp_path / "missing.npz")
    with pytest.raises(RigError, match="finite"):
        Rig(rig.names, rig.neutral_mm, np.full_like(rig.shapes_mm, np.nan), "")
    with pytest.raises(ShapeError):
        Rig(rig.names, rig.neutral_mm[:5], rig.shapes_mm, "")


def test_a_face_is_the_neutral_and_weighted_offsets(rig):
    for number in (0, 17):
        face = rig.face(np.eye(52)[number])
        assert np.abs(face - rig.shapes_mm[number]).max() < 1e-4
    assert np.array_equal(rig.face(np.zeros(52)), rig.neutral_mm.astype(np.float64))
