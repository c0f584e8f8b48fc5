"""The card of a run: how long, on what, with which versions; as JSON and as a table for people."""

import json
import os
import platform
import resource
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from common.files.atomic_write import write_whole
from common.files.json_object import read_json_object
from processing.learning.tensor_file import tensors_sha256
from processing.learning.weights_file import LearnedCard
from processing.training.run_standing import Standing
from processing.training.train_settings import TrainingError, TrainSettings

if TYPE_CHECKING:
    import torch

_PACKAGES = ("mien", "torch", "numpy")


def made_card(
    modules: "Mapping[str, torch.nn.Module]",
    tensors: Mapping[str, NDArray[Any]],
    settings: TrainSettings,
    at: Standing,
) -> dict[str, Any]:
    """`LearnedCard.made`: no computer and no folder is named."""
    return {
        "seconds": round(at.seconds, 1),
        "steps": at.step,
        "epochs": at.epoch,
        "best_step": at.best_step,
        "stopped_by": at.stopped_by,
        # The same call gives the same bits on this kind of CPU; a clock that ends a run does not.
        "repeatable": settings.device == "cpu" and at.stopped_by != "time",
        "starts": at.starts,
        "seed": settings.seed,
        "mixed": settings.mixed,
        "date": datetime.now(UTC).date().isoformat(),
        "parameters": {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()},
        "tensors_sha256": tensors_sha256(tensors),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "hardware": hardware(settings.device),
        "versions": {name: metadata.version(name) for name in _PACKAGES} | {"python": platform.python_version()},
    }


def hardware(device: str) -> dict[str, Any]:
    """What the training ran on."""
    import torch

    found: dict[str, Any] = {
        "device": device,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if torch.device(device).type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["gpu_peak_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return found


def write_card(path: Path, card: LearnedCard) -> None:
    write_whole(path, json.dumps(card.as_json(), indent=1, sort_keys=True) + "\n")


def read_card(path: Path) -> LearnedCard:
    """Raises TrainingError."""
    try:
        return LearnedCard.from_json(read_json_object(path, TrainingError))
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is no card of a run ({error})") from None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
