"""Where a training stands, in one file: networks, optimisers, and numbers that go with them. Safetensors, no pickle."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.bounded.limits import MAX_CHECKPOINT_BYTES
from processing.learning.tensor_file import TensorFileError, read_tensors, write_tensors
from processing.training.train_settings import TrainingError

KIND, FORMAT = "mien training checkpoint", 1
BEST_KIND = "mien best parameters"
Modules = Mapping[str, torch.nn.Module]
Optimizers = Mapping[str, torch.optim.Optimizer]
Arrays = Mapping[str, NDArray[Any]]


def write_checkpoint(path: Path, modules: Modules, optimizers: Optimizers, about: Mapping[str, Any]) -> None:
    """One file, whole or not at all. about: JSON; numbers that are none are told apart."""
    tensors = dict(module_arrays(modules))
    groups: dict[str, Any] = {}
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()
        plain: dict[str, dict[str, Any]] = {}
        for number, values in state["state"].items():
            for key, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{name}.{number}.{key}"] = _array(value)
                else:
                    plain.setdefault(str(number), {})[key] = value
        groups[name] = {"groups": state["param_groups"], "plain": plain}
    said = {"about": _told_apart(dict(about)), "optimizers": groups}
    write_tensors(path, said, tensors, kind=KIND, version=FORMAT)


def read_checkpoint(path: Path, modules: Modules, optimizers: Optimizers) -> dict[str, Any]:
    """Put networks and optimisers back as they were written; the rest of it. Raises TrainingError for what differs."""
    try:
        said, tensors = read_tensors(path, kind=KIND, version=FORMAT, most=MAX_CHECKPOINT_BYTES)
        restore_modules(path, modules, tensors)
        for name, optimizer in optimizers.items():
            _restore_optimizer(optimizer, said["optimizers"][name], f"optimizer.{name}.", tensors)
        about = _together(said["about"])
        assert isinstance(about, dict)
        return about
    except TensorFileError as error:
        raise TrainingError(f"{error}. Remove it, and the run begins anew") from None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is not of this training ({error}); name another --out") from None


def write_best(path: Path, modules: Modules) -> None:
    """Networks alone."""
    write_tensors(path, {}, module_arrays(modules), kind=BEST_KIND, version=FORMAT)


def read_best(path: Path, modules: Modules) -> None:
    """Networks as `write_best` kept them. Raises TrainingError."""
    try:
        _, tensors = read_tensors(path, kind=BEST_KIND, version=FORMAT, most=MAX_CHECKPOINT_BYTES)
    except TensorFileError as error:
        raise TrainingError(f"{error}. Remove the run's checkpoint, and it begins anew") from None
    restore_modules(path, modules, tensors)


def module_arrays(modules: Modules) -> dict[str, NDArray[Any]]:
    """Parameters and buffers of all networks."""
    return {
        f"module.{name}.{key}": _array(value)
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def restore_modules(path: Path, modules: Modules, tensors: Arrays) -> None:
    """Raises TrainingError for networks of another shape."""
    for name, module in modules.items():
        prefix = f"module.{name}."
        state = {k.removeprefix(prefix): torch.from_numpy(v) for k, v in tensors.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise TrainingError(
                f"{path} is of another network '{name}' ({first[:160]}): the program has changed since. Name another "
                "--out and train anew"
            ) from None


def _restore_optimizer(optimizer: torch.optim.Optimizer, said: Any, prefix: str, tensors: Arrays) -> None:
    state: dict[int, dict[str, Any]] = {int(n): dict(values) for n, values in said["plain"].items()}
    for key, array in tensors.items():
        if key.startswith(prefix):
            number, _, name = key.removeprefix(prefix).partition(".")
            state.setdefault(int(number), {})[name] = torch.from_numpy(array)
    own = optimizer.state_dict()["param_groups"]
    groups = []
    for mine, kept in zip(own, said["groups"], strict=True):
        pairs = {k: tuple(v) if isinstance(mine.get(k), tuple) else v for k, v in kept.items()}
        groups.append(pairs)
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _array(value: torch.Tensor) -> NDArray[Any]:
    if value.dtype == torch.bfloat16:
        raise TrainingError("parameters in bfloat16 cannot be kept exactly; keep them in float32 (see --mixed)")
    return np.array(value.detach().cpu().numpy())


def _told_apart(value: Any) -> Any:
    """JSON has no infinite numbers: they stand as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {str(k): _told_apart(v) for k, v in value.items()}
    return [_told_apart(v) for v in value] if isinstance(value, list | tuple) else value


def _together(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"]) if set(value) == {"float"} else {k: _together(v) for k, v in value.items()}
    return [_together(v) for v in value] if isinstance(value, list) else value
