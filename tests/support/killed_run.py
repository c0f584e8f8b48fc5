"""A run that dies and is begun again beside one that was left alone: both end with the same bits."""

from collections.abc import Callable
from pathlib import Path

from processing.learning.weights_file import LearnedCard, read_weights
from processing.training.train_settings import TrainSettings
from processing.training.trainer import Task, train


class _Dies(BaseException):
    """What nobody catches."""


def ends_the_same_when_killed(make: Callable[[], Task], folder: Path, *, steps: int = 6, at: int = 4) -> bool:
    """make: the task anew, as a start makes it.  at: steps after which the first start dies."""
    settings = TrainSettings(epochs=steps, max_steps=steps, checkpoint_every_steps=3, seed=3, threads=1)
    card = LearnedCard(make().kind, {}, {}, {"name": "study"}, ("1",), ("2",), {})
    train(make(), folder / "straight", settings, card)
    task, made = make(), 0
    step = task.step

    def dying(*given: object) -> object:
        nonlocal made
        if made == at:
            raise _Dies
        made += 1
        return step(*given)  # type: ignore[arg-type]

    task.step = dying  # type: ignore[method-assign, assignment]
    try:
        train(task, folder / "killed", settings, card)
    except _Dies:
        pass
    else:
        raise AssertionError("the run did not die")
    train(make(), folder / "killed", settings, card)
    first, second = (read_weights(folder / run / "weights.safetensors", card.kind) for run in ("straight", "killed"))
    assert first.tensors.keys() == second.tensors.keys()
    return all(first.tensors[name].tobytes() == second.tensors[name].tobytes() for name in first.tensors)
