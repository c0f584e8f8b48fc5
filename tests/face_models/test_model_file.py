"""A face model's file: what is written is read, and what is damaged, of another version or topology is refused."""

import io
import json
import re
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_model import small_model

from processing.errors import DataError
from processing.face_models.bilinear_shapes import ModelError
from processing.face_models.model_file import ARRAYS, map_model, read_card, read_model, write_model


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.npz"
    write_model(path, small_model(3))
    return path


def changed(file: Path, target: Path, **arrays: Any) -> Path:
    """The file with some arrays replaced; None leaves one out."""
    with np.load(file) as whole:
        found = {key: whole[key] for key in whole.files}
    found |= arrays
    np.savez(target, **{key: value for key, value in found.items() if value is not None})
    return target


def test_what_is_written_is_read(file: Path) -> None:
    ours, read = small_model(3), read_model(file, topology=small_model(3).topology.topology)
    rng = np.random.default_rng(1)
    identity, weights = ours.sample_identity(rng), ours.sample_weights(rng)
    assert np.array_equal(ours.face(identity, weights), read.face(identity, weights))
    assert np.array_equal(ours.expression_basis, read.expression_basis)
    assert ours.albedo is not None
    assert read.albedo is not None
    assert np.array_equal(ours.albedo.picture(np.ones(4)), read.albedo.picture(np.ones(4)))
    assert all(np.array_equal(a, b) for a, b in zip(ours.topology.contours, read.topology.contours, strict=True))
    assert ours.card == read.card
    assert read_card(file) == ("small", 1, ours.card)


def test_equal_models_give_equal_bytes(file: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "again.npz", read_model(file))
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


def test_no_array_is_a_program(file: Path) -> None:
    with np.load(file, allow_pickle=False) as whole:
        assert {key: whole[key].dtype for key in whole.files if key != "head"} == ARRAYS


def test_another_topology_is_refused(file: Path) -> None:
    with pytest.raises(ModelError, match="built on the same template"):
        read_model(file, topology="26000-0123456789ab")


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_another_version_is_refused(file: Path, tmp_path: Path, number: object) -> None:
    with np.load(file) as whole:
        head = json.loads(str(whole["head"]))
    path = changed(file, tmp_path / "m.npz", head=np.array(json.dumps(head | {"format": number})))
    with pytest.raises(ModelError, match="this Mien reads 1"):
        read_model(path)
    with pytest.raises(ModelError, match="this Mien reads 1"):
        read_card(path)


@pytest.mark.parametrize("key", sorted(ARRAYS))
def test_a_missing_array_is_missed(file: Path, tmp_path: Path, key: str) -> None:
    optional = {"uvs", "mixture_weights", "albedo_mask"}
    path = changed(file, tmp_path / "m.npz", **{key: None})
    if key in optional - {"uvs"}:
        read_model(path)
    else:
        with pytest.raises(ModelError):
            read_model(path)


@pytest.mark.parametrize("key", sorted(k for k, kind in ARRAYS.items() if kind.kind == "f" and k != "uvs"))
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_none_is_refused(file: Path, tmp_path: Path, key: str, bad: float) -> None:
    with np.load(file) as whole:
        array = whole[key].copy()
    array.flat[array.size // 2] = bad
    with pytest.raises(ModelError):
        read_model(changed(file, tmp_path / "m.npz", **{key: array}))


@given(data=st.data())
def test_no_array_of_another_shape_type_or_range_gets_through(
    file: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(set(ARRAYS) - {"face", "frontal", "parts", "albedo_mask"})))
    with np.load(file) as whole:
        array = whole[key]
    # Rows of triangles are put in threes by the mesh itself.
    how = data.draw(st.sampled_from(["shorter", "type", "beyond", *(["flat"] * ("triangles" not in key))]))
    if how == "beyond" and array.dtype.kind == "i" and "triangles" not in key:
        array = array.copy()
        array.flat[data.draw(st.integers(0, array.size - 1))] = data.draw(
            st.sampled_from([-1, 2**31 - 1, -(2**31), 10**6])
        )
    elif how == "type":
        array = array.astype(np.float16)
    elif how == "flat":
        array = array.reshape(1, -1)
    else:
        array = array[:-1]
    path = changed(file, tmp_path_factory.mktemp("hostile") / "m.npz", **{key: array})
    with pytest.raises(ModelError):
        read_model(path)


@given(at=st.floats(0, 1), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_is_an_error_of_ours(
    file: Path, tmp_path_factory: pytest.TempPathFactory, at: float, byte: int, cut: bool
) -> None:
    whole = bytearray(file.read_bytes())
    place = min(int(at * len(whole)), len(whole) - 1)
    if cut:
        whole = whole[:place]
    else:
        whole[place] = byte
    path = tmp_path_factory.mktemp("damaged") / "m.npz"
    path.write_bytes(whole)
    if cut:
        with pytest.raises(ModelError, match=re.escape(str(path))):
            read_model(path)
    else:
        with suppress(DataError):
            read_model(path)


def test_an_array_said_to_be_huge_is_not_made(file: Path, tmp_path: Path) -> None:
    out, huge = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 3, 10**5)})
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, huge.getvalue() if "unit_core" in member.filename else old.read(member))
    (tmp_path / "m.npz").write_bytes(out.getvalue())
    with pytest.raises(ModelError, match="unit_core_mm"):
        read_model(tmp_path / "m.npz")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04N.", b"not a model at all"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.npz"):
        read_model(tmp_path / "m.npz")
    with pytest.raises(ModelError, match="cannot be read"):
        read_model(tmp_path / "none.npz")


def test_a_mapped_model_is_the_one_that_is_read(file: Path) -> None:
    whole = read_model(file)
    mapped, check = map_model(file)
    check()
    weights, identity = np.full(len(whole.units), 0.5), whole.identity_mean + whole.identity_deviation
    np.testing.assert_array_equal(mapped.bilinear.unit_core_mm, whole.bilinear.unit_core_mm)
    np.testing.assert_array_equal(mapped.face(identity, weights), whole.face(identity, weights))


def test_a_mapped_model_cannot_be_written_into(file: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        map_model(file)[0].bilinear.unit_core_mm[0] = 0


def test_damage_to_what_stays_in_the_file_is_told_by_its_check(file: Path, tmp_path: Path) -> None:
    core = read_model(file).bilinear.unit_core_mm
    content = bytearray(file.read_bytes())
    at = content.index(core.tobytes()[:400])
    content[at + 100] ^= 1
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(content)
    _, check = map_model(damaged)
    with pytest.raises(ModelError, match="damaged"):
        check()


def test_a_number_that_is_none_in_what_stays_in_the_file_is_refused(file: Path, tmp_path: Path) -> None:
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["unit_core_mm"][-1, 0, 0] = np.nan
    bad = tmp_path / "bad.npz"
    np.savez(bad, **arrays)
    model, check = map_model(bad)
    with pytest.raises(ModelError, match="not a finite number"):
        check()
    with pytest.raises(ModelError, match="not a finite number"):
        model.subset(np.arange(model.vertex_count))


def test_a_mapped_model_that_is_cut_short_is_refused(file: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.npz"
    short.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError):
        map_model(short)
