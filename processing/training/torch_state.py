"""PyTorch's own state while a training runs, put back afterwards: threads, and arithmetic that repeats itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from processing.errors import DeviceUnavailable
from processing.training.train_settings import TrainSettings


@contextmanager
def exact_torch(settings: TrainSettings) -> Iterator[None]:
    """Threads as asked for; on a CPU algorithms that give the same bits each time. Raises DeviceUnavailable."""
    require_device(settings.device)
    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    state = torch.get_rng_state()
    try:
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        if torch.device(settings.device).type == "cpu":
            torch.use_deterministic_algorithms(True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # slow, and nothing reads what nobody wrote
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact)
        torch.utils.deterministic.fill_uninitialized_memory = fill
        torch.set_rng_state(state)


def require_device(device: str) -> None:
    """Raises DeviceUnavailable for a device that is none, or not here."""
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise DeviceUnavailable(f"there is no device '{device[:40]}'; wanted is cpu, cuda or cuda:1") from None
    if kind not in ("cpu", "cuda"):
        raise DeviceUnavailable(f"a training runs on cpu or cuda, not on {kind}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable("this machine has no CUDA device, or PyTorch has none of it; use --device cpu")
