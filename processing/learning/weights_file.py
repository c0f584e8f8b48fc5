"""What was learned in one file: numbers, and a card that says of what, of whom and how. Safetensors, no pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.bounded.limits import MAX_WEIGHTS_BYTES
from processing.errors import DataError
from processing.learning.tensor_file import TensorFileError, read_about, read_tensors, write_tensors

if TYPE_CHECKING:
    import torch

KIND, FORMAT = "mien learned weights", 1
#: What can be learned, and so what `LearnedCard.kind` is.
KINDS = ("regressor", "detail", "avatar")
_DIFFERENCES = 6  # that are named one by one


class WeightsError(DataError):
    """A file of weights cannot be used, or not for this."""


@dataclass(frozen=True, eq=False)
class LearnedCard:
    """What stands with weights, as JSON has it."""

    kind: str  # one of KINDS
    architecture: Mapping[str, Any]  # numbers and names to build the network anew
    model: Mapping[str, Any]  # name, version, topology, sha256 of the face model; {} without one
    release: Mapping[str, Any]  # name, version, sha256, layout ("release", "folder"), synthetic (None: nobody says)
    subjects: tuple[str, ...]  # trained on, as the release names them
    held_back: tuple[str, ...]  # never trained on: the figures are of these
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)  # units in the names
    made: Mapping[str, Any] = field(default_factory=dict)  # seconds, steps, date, hardware, versions, seed

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return {key: list(value) if isinstance(value, tuple) else _plain(value) for key, value in said.items()}

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> "LearnedCard":
        """Raises KeyError, TypeError and ValueError for what `as_json` did not make."""
        names = {one.name for one in fields(LearnedCard)}
        if set(said) != names:
            raise ValueError(f"its card has {', '.join(sorted(set(said) ^ names))[:80]} too many or too few")
        if said["kind"] not in KINDS:
            raise ValueError(f"it is of kind {str(said['kind'])[:40]}; there are {', '.join(KINDS)}")
        subjects, held_back = (tuple(str(code) for code in said[key]) for key in ("subjects", "held_back"))
        rest: dict[str, Any] = {key: dict(said[key]) for key in names - {"kind", "subjects", "held_back"}}
        return LearnedCard(kind=str(said["kind"]), subjects=subjects, held_back=held_back, **rest)


@dataclass(frozen=True, eq=False)
class LearnedWeights:
    """What `write_weights` keeps."""

    card: LearnedCard
    tensors: Mapping[str, NDArray[Any]]  # network parameters under "network.", and what else inference needs


def write_weights(path: Path, weights: LearnedWeights) -> None:
    """One file, whole or not at all; equal weights give equal bytes. Raises WeightsError for numbers that are none."""
    bad = _not_finite(weights.tensors)
    if bad:
        raise WeightsError(f"{bad} holds numbers that are none (NaN or infinite): the training has gone astray")
    try:
        write_tensors(path, weights.card.as_json(), weights.tensors, kind=KIND, version=FORMAT)
    except TensorFileError as error:
        raise WeightsError(str(error)) from None


def read_weights(path: Path, kind: str) -> LearnedWeights:
    """What `write_weights` wrote. kind: one of KINDS; weights of another are refused.

    Raises WeightsError for another kind, damage, and files beyond the limits.
    """
    try:
        about, tensors = read_tensors(path, kind=KIND, version=FORMAT, most=MAX_WEIGHTS_BYTES)
    except TensorFileError as error:
        raise WeightsError(f"{error}. Weights are made by `mien learn`") from None
    card = _card(path, about)
    if card.kind != kind:
        raise WeightsError(f"{path} is a learned {card.kind}, and a {kind} is wanted: see `mien learn show {path}`")
    bad = _not_finite(tensors)
    if bad:
        raise WeightsError(f"{path}: {bad} holds numbers that are none (NaN or infinite); train again")
    return LearnedWeights(card, tensors)


def read_learned_card(path: Path) -> LearnedCard:
    """The card of a file of weights of any kind; its numbers are not looked at. Raises WeightsError."""
    try:
        about = read_about(path, kind=KIND, version=FORMAT, most=MAX_WEIGHTS_BYTES)
    except TensorFileError as error:
        raise WeightsError(f"{error}. Weights are made by `mien learn`") from None
    return _card(path, about)


def network_tensors(module: "torch.nn.Module", prefix: str = "network.", *, half: bool = False) -> dict[str, Any]:
    """A module's parameters and buffers as arrays under `prefix`. half: float32 as float16, at half the bytes."""
    found = {}
    for name, value in module.state_dict().items():
        array = value.detach().cpu().numpy().copy()
        found[prefix + name] = array.astype(np.float16) if half and array.dtype == np.float32 else array
    return found


def load_network(module: "torch.nn.Module", weights: LearnedWeights, prefix: str = "network.") -> None:
    """Put the tensors under `prefix` into a module that was built as the card's architecture says.

    float16 becomes the module's own type. Raises WeightsError naming what is missing, too many or of another shape.
    """
    import torch

    given = {name.removeprefix(prefix): array for name, array in weights.tensors.items() if name.startswith(prefix)}
    own = module.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in given]
    wrong += [f"{name} belongs to no part of it" for name in given if name not in own]
    wrong += [
        f"{name} has shape {given[name].shape}, wanted {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != tuple(own[name].shape)
    ]
    wrong += [
        f"{name} holds {given[name].dtype}, wanted {own[name].dtype}"
        for name in own
        if name in given and (given[name].dtype.kind == "f") != own[name].dtype.is_floating_point
    ]
    if wrong:
        more = f"; and {len(wrong) - _DIFFERENCES} more" if len(wrong) > _DIFFERENCES else ""
        raise WeightsError(
            f"these weights of a {weights.card.kind} do not fit the network: {'; '.join(wrong[:_DIFFERENCES])}{more}. "
            "They are of another version of Mien: train again"
        )
    state = {name: torch.from_numpy(np.array(given[name])).to(own[name].dtype) for name in own}
    module.load_state_dict(state)


def with_results(card: LearnedCard, *, architecture: Mapping[str, Any], figures: Any, made: Any) -> LearnedCard:
    """A card with what is known once the training has ended."""
    return replace(card, architecture=dict(architecture), figures=dict(figures), made=dict(made))


def _card(path: Path, about: Mapping[str, Any]) -> LearnedCard:
    try:
        return LearnedCard.from_json(about)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path} has a card that cannot be read: {error}; train again") from None


def _not_finite(tensors: Mapping[str, NDArray[Any]]) -> str:
    """The first array with NaN or infinite numbers; empty without one."""
    return next(
        (name for name, array in tensors.items() if array.dtype.kind == "f" and not np.isfinite(array).all()), ""
    )


def _plain(value: Any) -> Any:
    """Mappings and tuples as JSON has them, numbers of NumPy as Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
