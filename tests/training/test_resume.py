"""A run that was killed, wherever, ends with the bits of one that was not."""

import contextlib
import csv
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_task import ToyTask

from processing.learning.weights_file import LearnedCard, read_weights
from processing.training.checkpoint import read_checkpoint, write_checkpoint
from processing.training.train_settings import TrainSettings
from processing.training.trainer import train

CARD = LearnedCard("regressor", {}, {}, {"name": "study"}, ("1", "2"), ("3",), {"rate": 0.01})
SETTINGS = TrainSettings(epochs=4, checkpoint_every_steps=2, seed=5, patience=3, threads=1)
STEPS = 4 * 5


class Killed(BaseException):
    """What nobody catches."""


class Interrupted(ToyTask):
    """A task during which something happens at a step: before, amid (one network is ahead) or after it."""

    def __init__(self, at: int, where: str, act: Callable[[], None]) -> None:
        super().__init__()
        self.at, self.where, self.act = at, where, act
        self.global_step = -1

    def begin_step(self, step: int) -> None:
        self.global_step = step
        if step == self.at and self.where == "before":
            self.act()

    def step(self, batch: Any, rng: np.random.Generator) -> Mapping[str, float]:
        if self.global_step == self.at and self.where == "middle":
            with torch.no_grad():
                for parameter in self.first.parameters():
                    parameter.add_(1.0)
            self.act()
        losses = super().step(batch, rng)
        if self.global_step == self.at and self.where == "after":
            self.act()
        return losses

    def validate(self) -> Mapping[str, float]:
        if self.where == "looking" and self.global_step >= self.at:
            self.act()
        return super().validate()


def outcome(run: Path) -> dict[str, Any]:
    """All that a run says, without times."""
    found = read_weights(run / "weights.safetensors", "regressor")
    made = {k: v for k, v in found.card.made.items() if k not in ("seconds", "starts", "date", "peak_memory_mb")}
    rows = list(csv.DictReader((run / "progress.csv").read_text().splitlines()))
    return {
        "tensors": {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in found.tensors.items()},
        "figures": dict(found.card.figures),
        "made": made,
        "columns": list(rows[0]),
        "rows": [{k: v for k, v in row.items() if k != "seconds"} for row in rows],
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = tmp_path_factory.mktemp("straight")
    train(ToyTask(), run, SETTINGS, CARD)
    return outcome(run)


def in_a_child(act: Callable[[], Any]) -> int:
    """The status of a forked process that does this."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(7)
    return os.waitpid(child, 0)[1]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@settings(max_examples=8)
@given(at=st.integers(0, STEPS - 1), where=st.sampled_from(["before", "middle", "after", "looking"]))
@example(at=0, where="before")
@example(at=0, where="looking")
@example(at=STEPS - 1, where="after")
def test_killed_at_any_step_it_ends_with_the_same_bits(straight: Any, at: int, where: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        status = in_a_child(lambda: train(Interrupted(at, where, kill), run, SETTINGS, CARD))
        assert os.WTERMSIG(status) == signal.SIGKILL
        train(ToyTask(), run, SETTINGS, CARD)
        assert outcome(run) == straight


@settings(max_examples=6)
@given(number=st.integers(0, 16), after=st.booleans())
def test_killed_while_a_file_is_written_it_ends_with_the_same_bits(straight: Any, number: int, after: bool) -> None:
    """number: of the tensor files of a run, in the order of writing; before or after it has its name."""

    def train_and_die(run: Path) -> None:
        write, rename, count = safetensors.numpy.save_file, Path.replace, [0]

        def half_written(tensors: Any, path: str, **more: Any) -> None:
            if count[0] == number and not after:
                Path(path).write_bytes(b"half")
                kill()
            write(tensors, path, **more)

        def renamed(path: Path, target: Any) -> Path:
            there = rename(path, target)
            if Path(target).suffix == ".safetensors":
                count[0] += 1
                if after and count[0] == number + 1:
                    kill()
            return there

        safetensors.numpy.save_file = half_written
        Path.replace = renamed  # type: ignore[method-assign,assignment]
        train(ToyTask(), run, SETTINGS, CARD)

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        in_a_child(lambda: train_and_die(run))
        train(ToyTask(), run, SETTINGS, CARD)
        assert outcome(run) == straight
        assert len(list(run.glob("best-*.safetensors"))) == 1


@settings(max_examples=4)
@given(ats=st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=4), where=st.sampled_from(["middle", "after"]))
def test_interrupted_again_and_again_it_ends_with_the_same_bits(straight: Any, ats: list[int], where: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        for at in sorted(ats):
            with contextlib.suppress(KeyboardInterrupt):  # none where that step was done in an earlier start
                train(Interrupted(at, where, interrupt), run, SETTINGS, CARD)
        train(ToyTask(), run, SETTINGS, CARD)
        assert outcome(run) == straight


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_keeps_the_step_at_hand_and_no_step_is_done_twice(
    number: signal.Signals, straight: Any, tmp_path: Path
) -> None:
    first = Interrupted(7, "before", lambda: signal.raise_signal(number))
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 8"):
        train(first, tmp_path, SETTINGS, CARD)
    assert signal.getsignal(number) is before
    second = ToyTask()
    train(second, tmp_path, SETTINGS, CARD)
    assert outcome(tmp_path) == straight
    whole = ToyTask()
    train(whole, tmp_path / "whole", SETTINGS, CARD)
    assert first.order + second.order == whole.order
    assert len(set(whole.order)) == STEPS  # epochs have orders of their own


def test_a_run_that_has_ended_is_left_as_it_is(tmp_path: Path) -> None:
    done = train(ToyTask(), tmp_path, SETTINGS, CARD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = ToyTask()
    assert train(again, tmp_path, SETTINGS, CARD).as_json() == done.as_json()
    assert again.steps == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "weights.safetensors").unlink()
    train(ToyTask(), tmp_path, SETTINGS, CARD)
    assert (tmp_path / "weights.safetensors").is_file()


def test_a_run_made_longer_ends_as_one_that_was_long_from_the_first(tmp_path: Path) -> None:
    longer = TrainSettings(epochs=6, checkpoint_every_steps=3, seed=5, patience=9, threads=1)
    train(ToyTask(), tmp_path / "one", TrainSettings(epochs=2, seed=5, patience=9, threads=1), CARD)
    train(ToyTask(), tmp_path / "one", longer, CARD)
    train(ToyTask(), tmp_path / "other", longer, CARD)
    assert outcome(tmp_path / "one") == outcome(tmp_path / "other")


@pytest.mark.parametrize(
    "kind",
    [
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.9)),
        lambda p: torch.optim.AdamW(p, lr=0.1, amsgrad=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.RMSprop(p, lr=0.1, centered=True),
        lambda p: torch.optim.Adam([{"params": [p[0]], "lr": 0.5}, {"params": p[1:]}], lr=0.1),
    ],
)
def test_an_optimiser_goes_on_as_if_nothing_had_been(kind: Any, tmp_path: Path) -> None:
    def learned(module: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for n in range(steps):
            optimizer.zero_grad()
            module(torch.full((2, 3), 1.0 + n)).square().sum().backward()
            optimizer.step()

    def fresh() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(1)
        module = torch.nn.Linear(3, 2)
        return module, kind(list(module.parameters()))

    module, optimizer = fresh()
    learned(module, optimizer, 3)
    about = {"score": float("inf"), "rows": [{"step": 1, "loss": 0.1 + 0.2}]}
    write_checkpoint(tmp_path / "c", {"m": module}, {"o": optimizer}, about)
    other, other_optimizer = fresh()
    assert read_checkpoint(tmp_path / "c", {"m": other}, {"o": other_optimizer}) == about
    learned(module, optimizer, 3)
    learned(other, other_optimizer, 3)
    for one, two in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
