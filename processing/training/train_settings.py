"""How long and on what a training runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from processing.errors import DataError

Mixed = Literal["float32", "bfloat16", "float16"]


class TrainingError(DataError):
    """A training cannot begin, go on, or has gone astray."""


@dataclass(frozen=True)
class TrainSettings:
    """Of any task. What decides the numbers that come out is the run's request; the rest may change when it goes on."""

    epochs: int = 10
    max_steps: int | None = None
    minutes: float | None = None  # of training, all starts of a run together; a run ended by it is not repeated exactly
    seed: int = 0
    patience: int | None = None  # epochs without a better score before the end; None: all epochs
    checkpoint_every_steps: int = 200
    device: str = "cpu"
    mixed: Mixed = "float32"  # networks' arithmetic; parameters and optimisers are float32 always
    threads: int | None = None  # None: as PyTorch has them

    def __post_init__(self) -> None:
        for name in ("epochs", "checkpoint_every_steps", "max_steps", "patience", "threads", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise TrainingError(f"{name} is {value}; wanted is more than 0")
        if self.mixed not in ("float32", "bfloat16", "float16"):
            raise TrainingError(f"there is no arithmetic '{self.mixed}'; there are float32, bfloat16, float16")
        if self.mixed == "float16" and not self.device.startswith("cuda"):
            raise TrainingError("float16 needs a CUDA device; on a CPU there are float32 and bfloat16")

    def request(self) -> Mapping[str, Any]:
        """What decides the numbers. Epochs, steps, minutes and checkpoints say only where a run stops."""
        return {
            "seed": self.seed, "patience": self.patience, "device": self.device.partition(":")[0],
            "mixed": self.mixed, "threads": self.threads,
        }  # fmt: skip
