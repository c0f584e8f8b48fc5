"""Mixed precision: forward passes in 16 bits where the device does them faster, parameters in 32 bits always."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from processing.training.train_settings import Mixed

_SCALER: ContextVar["torch.amp.GradScaler | None"] = ContextVar("scaler", default=None)
_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """The arithmetic of one training. float16 has so small numbers that gradients are scaled up (GradScaler)."""

    def __init__(self, mixed: Mixed, device: str) -> None:
        self.device_type = torch.device(device).type
        self.dtype: torch.dtype | None = _TYPES.get(mixed)
        self.scaler = torch.amp.GradScaler(self.device_type) if mixed == "float16" else None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around a step: forward passes are cast, `descend` scales."""
        token = _SCALER.set(self.scaler)
        try:
            with torch.autocast(self.device_type, dtype=self.dtype, enabled=self.dtype is not None):
                yield
        finally:
            _SCALER.reset(token)


def descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Gradients of a loss (scalar) anew, and one step of the optimiser, in the precision of the training at hand.

    Tasks call it in place of zero_grad, backward and step; without it float16 is not scaled.
    """
    scaler = _SCALER.get()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(loss.device.type, enabled=False):
        if scaler is None:
            loss.backward()
            optimizer.step()
            return
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
