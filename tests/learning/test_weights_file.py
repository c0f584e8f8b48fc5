"""Weights files: what comes back is what was written, and nothing that is not is ever taken for it."""

import json
import pickle
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from processing.learning.tensor_file import TensorFileError, write_tensors
from processing.learning.weights_file import (
    FORMAT,
    KIND,
    LearnedCard,
    LearnedWeights,
    WeightsError,
    load_network,
    network_tensors,
    read_learned_card,
    read_weights,
    write_weights,
)

CARD = LearnedCard(
    "detail", {"layers": [4, 8]}, {"name": "faces", "version": 2}, {"name": "study", "layout": "release"},
    ("1", "2"), ("3",), {"rate": 1e-3}, {"score": 0.25}, {"seed": 7},
)  # fmt: skip
NUMBERS = {"network.a": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(3, np.int64)}


def written(path: Path, tensors: Any = None) -> Path:
    write_weights(path, LearnedWeights(CARD, NUMBERS if tensors is None else tensors))
    return path


DTYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda kind: arrays.arrays(
        kind, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements=arrays.from_dtype(np.dtype(kind), allow_nan=False, allow_infinity=False),
    )
)  # fmt: skip


@settings(max_examples=40)
@given(st.dictionaries(st.text("abc._0", min_size=1, max_size=8), ARRAYS, max_size=5))
def test_whatever_was_written_comes_back_and_equal_weights_are_equal_files(tensors: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        written(one, tensors)
        written(other, dict(reversed(tensors.items())))
        assert one.read_bytes() == other.read_bytes()
        found = read_weights(one, "detail")
    assert found.card.as_json() == CARD.as_json()
    assert set(found.tensors) == set(tensors)
    for name, array in tensors.items():
        assert (found.tensors[name].dtype, found.tensors[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found.tensors[name], array)


@settings(max_examples=80)
@given(st.data())
def test_any_cut_any_byte_changed_and_anything_behind_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / "weights.safetensors")
        whole = path.read_bytes()
        fault = data.draw(st.sampled_from(["cut", "change", "more"]))
        at = data.draw(st.integers(0, len(whole) - 1))
        if fault == "cut":
            path.write_bytes(whole[:at])
        elif fault == "more":
            path.write_bytes(whole + data.draw(st.binary(min_size=1, max_size=9)))
        else:
            other = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
            path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
        try:
            found = read_weights(path, "detail")
        except WeightsError:
            return
        # JSON may be written in several ways: what a changed byte leaves alike is alike.
        assert fault == "change"
        assert at < 8 + struct.unpack("<Q", whole[:8])[0]
        assert found.card.as_json() == CARD.as_json()
        assert all(np.array_equal(found.tensors[name], NUMBERS[name]) for name in NUMBERS)


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("how", ["pickle", "torch", "npz"])
def test_no_pickle_is_ever_read(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif how == "torch":
        torch.save(Bomb(), path)
    else:
        with path.open("wb") as file:
            np.savez(file, allow_pickle=True, bomb=np.array([Bomb()], dtype=object))
    with pytest.raises(WeightsError, match="mien learn"):
        read_weights(path, "detail")
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_kind_or_program_or_version_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "w")
    with pytest.raises(WeightsError, match="is a learned detail, and a avatar is wanted"):
        read_weights(path, "avatar")
    save_file({"x": np.zeros(3, np.float32)}, str(tmp_path / "x"), metadata={"format": "pt"})
    with pytest.raises(WeightsError):
        read_weights(tmp_path / "x", "detail")
    write_tensors(tmp_path / "y", CARD.as_json(), NUMBERS, kind="mien training checkpoint", version=FORMAT)
    with pytest.raises(WeightsError, match="mien training checkpoint"):
        read_weights(tmp_path / "y", "detail")
    write_tensors(tmp_path / "z", CARD.as_json(), NUMBERS, kind=KIND, version=FORMAT + 1)
    with pytest.raises(WeightsError, match="format 2; this Mien reads 1"):
        read_weights(tmp_path / "z", "detail")
    with pytest.raises(WeightsError, match="No such file"):
        read_weights(tmp_path / "none", "detail")
    with pytest.raises(WeightsError, match="is a folder"):
        read_learned_card(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none_are_neither_written_nor_read(bad: float, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"network\.a holds numbers that are none"):
        written(tmp_path / "w", {"network.a": np.array([1, bad], np.float32)})
    assert not (tmp_path / "w").exists()
    write_tensors(tmp_path / "v", CARD.as_json(), {"a": np.array([bad])}, kind=KIND, version=FORMAT)
    with pytest.raises(WeightsError, match="train again"):
        read_weights(tmp_path / "v", "detail")


def test_types_that_are_not_kept_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TensorFileError, match="complex64"):
        write_tensors(tmp_path / "w", {}, {"a": np.zeros(2, np.complex64)}, kind="x", version=1)


@pytest.mark.parametrize(
    "change", [{"kind": "oracle"}, {"subjects": 3}, {"settings": [1]}, {"more": 1}, {"figures": None}]
)
def test_a_card_that_no_training_wrote_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    write_tensors(tmp_path / "w", CARD.as_json() | change, NUMBERS, kind=KIND, version=FORMAT)
    with pytest.raises(WeightsError, match="card that cannot be read"):
        read_learned_card(tmp_path / "w")


def test_a_header_beyond_the_limits_is_refused_before_it_is_read(tmp_path: Path) -> None:
    for length in (0, 1 << 40, (1 << 64) - 1):
        (tmp_path / "w").write_bytes(struct.pack("<Q", length) + b"{}" * 40)
        with pytest.raises(WeightsError):
            read_weights(tmp_path / "w", "detail")
    many = {f"t{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(20_001)}
    head = json.dumps(many | {"__metadata__": {"mien": "{}"}}).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(WeightsError, match="20,001 tensors"):
        read_weights(tmp_path / "w", "detail")


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))


@pytest.mark.parametrize("half", [False, True])
def test_a_network_is_what_it_was(half: bool) -> None:
    module, other = network(), network()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5)
        module[1].num_batches_tracked.add_(7)
    load_network(other, LearnedWeights(CARD, network_tensors(module, half=half)))
    for name, value in module.state_dict().items():
        kept = value.half().float() if half and value.is_floating_point() else value
        assert torch.equal(other.state_dict()[name], kept)
        assert other.state_dict()[name].dtype == value.dtype


@pytest.mark.parametrize("name", list(network_tensors(network())))
@pytest.mark.parametrize("fault", ["shape", "missing", "type"])
def test_any_tensor_of_another_shape_or_type_or_none_is_refused_by_name(name: str, fault: str) -> None:
    tensors = dict(network_tensors(network()))
    array = tensors.pop(name)
    if fault == "shape":
        tensors[name] = np.zeros((*array.shape, 2), array.dtype)
    elif fault == "type":
        tensors[name] = array.astype(np.int64 if array.dtype.kind == "f" else np.float32)
    module = network()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(WeightsError, match=name.removeprefix("network.")):
        load_network(module, LearnedWeights(CARD, tensors))
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_a_tensor_that_belongs_nowhere_is_refused() -> None:
    tensors = dict(network_tensors(network())) | {"network.9.weight": np.zeros(3, np.float32)}
    with pytest.raises(WeightsError, match=r"9\.weight belongs to no part"):
        load_network(network(), LearnedWeights(CARD, tensors))
