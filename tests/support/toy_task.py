"""A task of no use that has everything a run keeps: networks, averages, buffers, chance, a schedule."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from processing.learning.weights_file import network_tensors
from processing.training.precision import descend


class ToyTask:
    """Two networks, two optimisers with averages, dropout (chance inside a step), batch norm (buffers), a schedule."""

    kind = "regressor"

    def __init__(self, seed: int = 0, batches_per_epoch: int = 5, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        self.batches_per_epoch = batches_per_epoch
        self.first = torch.nn.Sequential(
            torch.nn.Linear(3, 8),
            torch.nn.BatchNorm1d(8),
            torch.nn.Dropout(0.3),
            torch.nn.ReLU(),
            torch.nn.Linear(8, 2),
        ).to(device)
        self.second = torch.nn.Linear(2, 1).to(device)
        self._optimizers = {
            "first": torch.optim.Adam(self.first.parameters(), lr=1e-2, betas=(0.8, 0.95)),
            "second": torch.optim.SGD(self.second.parameters(), lr=1e-2, momentum=0.9),
        }
        self.device = device
        self.order: list[tuple[int, ...]] = []  # batches in the order in which they were learned from
        self.steps = 0

    def modules(self) -> Mapping[str, torch.nn.Module]:
        return {"first": self.first, "second": self.second}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return self._optimizers

    def begin_epoch(self, epoch: int) -> None:
        for group in self._optimizers["first"].param_groups:
            group["lr"] = 1e-2 * 0.9**epoch

    def batches(self, _epoch: int, rng: np.random.Generator) -> Iterator[NDArray[Any]]:
        order = rng.permutation(4 * self.batches_per_epoch)
        for k in range(self.batches_per_epoch):
            yield order[4 * k : 4 * k + 4]

    def step(self, batch: Any, rng: np.random.Generator) -> Mapping[str, float]:
        self.order.append(tuple(int(n) for n in batch))
        self.steps += 1
        x, y = self.points(np.asarray(batch))
        x = x + torch.from_numpy(rng.normal(0, 0.1, x.shape).astype(np.float32)).to(x.device)
        inner = torch.nn.functional.mse_loss(self.first(x), y)
        descend(inner, self._optimizers["first"])
        outer = torch.nn.functional.mse_loss(self.second(self.first(x).detach()), y[:, :1])
        descend(outer, self._optimizers["second"])
        return {"inner": inner.item(), "outer": outer.item()}

    def validate(self) -> Mapping[str, float]:
        x, y = self.points(np.arange(1000, 1032))
        return {"score": torch.nn.functional.mse_loss(self.first(x), y).item(), "twice": 2.0}

    def result(self) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
        tensors = network_tensors(self.first) | network_tensors(self.second, "second.")
        return tensors, {"layers": (3, 8, 2)}

    def points(self, numbers: NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        x = np.stack([np.sin(numbers), np.cos(numbers), np.sin(2 * numbers)], axis=1).astype(np.float32)
        y = np.stack([x[:, 0] * x[:, 1], x[:, 2] - x[:, 0]], axis=1)
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)
