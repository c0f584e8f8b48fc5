"""What a run keeps, when it ends, what it refuses."""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_task import ToyTask

from processing.errors import DeviceUnavailable
from processing.learning.weights_file import LearnedCard, load_network, read_weights
from processing.training.run_files import open_run
from processing.training.train_settings import TrainingError, TrainSettings
from processing.training.trainer import train

CARD = LearnedCard(
    "regressor", {}, {"name": "faces", "version": 1}, {"name": "study", "sha256": "a"}, ("1", "2"), ("3",),
    {"rate": 0.01},
)  # fmt: skip
SETTINGS = TrainSettings(epochs=3, seed=5, threads=1)


class Scored(ToyTask):
    """Scores as they are given, one a look; and what its networks were at each look."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = list(scores)
        self.seen: list[torch.Tensor] = []

    def validate(self) -> Mapping[str, float]:
        assert not torch.is_grad_enabled()
        assert not self.first.training
        self.seen.append(self.first[0].weight.detach().clone())
        return {"score": self.scores.pop(0), "looks": len(self.seen)}

    def step(self, batch: Any, rng: np.random.Generator) -> Mapping[str, float]:
        assert self.first.training
        return super().step(batch, rng)


def test_it_ends_when_nothing_gets_better_and_the_best_is_kept(tmp_path: Path) -> None:
    task = Scored(9.0, 5.0, 2.0, 3.0, 2.0, 2.5, 0.1)
    card = train(task, tmp_path, TrainSettings(epochs=20, patience=3, threads=1), CARD)
    assert (card.made["stopped_by"], card.made["epochs"], card.made["best_step"]) == ("patience", 5, 10)
    assert card.figures == {"score": 2.0, "looks": 3, "score_untrained": 9.0}
    found = read_weights(tmp_path / "weights.safetensors", "regressor")
    other = ToyTask(seed=3)
    load_network(other.first, found)
    assert torch.equal(other.first[0].weight, task.seen[2])
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-10.safetensors"]


def test_an_untrained_network_that_is_the_best_is_kept_and_the_card_says_so(tmp_path: Path) -> None:
    card = train(Scored(1.0, 5.0, 4.0, 3.0), tmp_path, SETTINGS, CARD)
    assert (card.made["best_step"], card.figures["score"], card.figures["score_untrained"]) == (0, 1.0, 1.0)


@pytest.mark.parametrize(("steps", "by", "done"), [(7, "steps", 7), (99, "epochs", 15)])
def test_it_ends_after_its_steps(steps: int, by: str, done: int, tmp_path: Path) -> None:
    card = train(ToyTask(), tmp_path, replace(SETTINGS, max_steps=steps), CARD)
    assert (card.made["stopped_by"], card.made["steps"], card.made["repeatable"]) == (by, done, True)


def test_a_budget_of_time_ends_it_and_the_card_says_that_it_cannot_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 4))
    monkeypatch.setattr("processing.training.trainer.time.monotonic", lambda: float(next(clock)))
    card = train(ToyTask(), tmp_path, replace(SETTINGS, epochs=1000, minutes=1.0), CARD)
    assert (card.made["stopped_by"], card.made["repeatable"]) == ("time", False)
    assert 60 <= card.made["seconds"] < 75
    assert 0 < card.made["steps"] < 20
    longer = train(ToyTask(), tmp_path, replace(SETTINGS, epochs=1000, minutes=2.0), CARD)
    assert longer.made["steps"] > card.made["steps"]  # all starts together
    assert 120 <= longer.made["seconds"] < 140


@pytest.mark.parametrize(
    ("card", "settings", "says"),
    [
        ({"settings": {"rate": 0.02, "batch": 4}}, {}, r"settings\.rate: was 0\.01, now 0\.02\n  settings\.batch"),
        ({"subjects": ("1", "4")}, {}, "subjects: 2 were, 2 are, no longer 2, new 4"),
        ({"held_back": ()}, {}, "held_back: 1 were, 0 are, no longer 3"),
        ({"release": {"name": "study", "sha256": "b"}}, {}, r'release\.sha256: was "a", now "b"'),
        ({"model": {}}, {}, r"model\.name: was \"faces\", now null"),
        ({"kind": "detail"}, {}, 'kind: was "regressor", now "detail"'),
        ({}, {"seed": 6}, r"training\.seed: was 5, now 6"),
        ({}, {"mixed": "bfloat16"}, r"training\.mixed"),
        ({}, {"patience": 2}, r"training\.patience: was null, now 2"),
    ],
)
def test_another_request_is_refused_with_what_differs(
    card: dict[str, Any], settings: dict[str, Any], says: str, tmp_path: Path
) -> None:
    train(ToyTask(), tmp_path, replace(SETTINGS, max_steps=2), CARD)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    task = ToyTask()
    with pytest.raises(TrainingError, match=rf"another request:\n  {says}"):
        train(task, tmp_path, replace(SETTINGS, **settings), replace(CARD, **card))
    assert task.steps == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_one_process_trains_in_a_run(tmp_path: Path) -> None:
    with open_run(tmp_path, SETTINGS, CARD), pytest.raises(TrainingError, match="another process trains in"):
        train(ToyTask(), tmp_path, SETTINGS, CARD)
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrainingError, match="is a file"):
        train(ToyTask(), tmp_path / "file", SETTINGS, CARD)


class Astray(ToyTask):
    def step(self, batch: Any, rng: np.random.Generator) -> Mapping[str, float]:
        losses = super().step(batch, rng)
        return losses if self.steps < 8 else {**losses, "inner": float("nan")}


def test_losses_that_are_no_numbers_end_it_and_what_was_sound_is_kept(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"loss inner is nan at step 8: .* lower rate"):
        train(Astray(), tmp_path, SETTINGS, CARD)
    assert not (tmp_path / "weights.safetensors").exists()
    assert train(ToyTask(), tmp_path, SETTINGS, CARD).made["starts"] == 2
    with pytest.raises(TrainingError, match="score of the people held back is nan after step 0"):
        train(Scored(float("nan")), tmp_path / "other", SETTINGS, CARD)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_checkpoint_is_told(damage: str, tmp_path: Path) -> None:
    train(ToyTask(), tmp_path, replace(SETTINGS, max_steps=3), CARD)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-7] if damage == "cut" else b"")
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors .*Remove it"):
        train(ToyTask(), tmp_path, SETTINGS, CARD)


def test_a_network_that_has_changed_since_is_told(tmp_path: Path) -> None:
    train(ToyTask(), tmp_path, replace(SETTINGS, max_steps=3), CARD)
    other = ToyTask()
    other.second = torch.nn.Linear(2, 5)
    other._optimizers["second"] = torch.optim.SGD(other.second.parameters(), lr=1e-2, momentum=0.9)
    with pytest.raises(TrainingError, match="another network 'second'"):
        train(other, tmp_path, SETTINGS, CARD)


def test_batches_that_were_announced_and_do_not_come_are_told(tmp_path: Path) -> None:
    task = ToyTask()
    task.batches = lambda *_: iter([np.arange(4)] * 3)  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="had 3 batches and 5 were announced"):
        train(task, tmp_path, SETTINGS, CARD)


def test_progress_has_the_losses_and_never_goes_back(tmp_path: Path) -> None:
    said: list[tuple[float, str]] = []
    train(ToyTask(), tmp_path, SETTINGS, CARD, progress=lambda done, message: said.append((done, message)))
    shares = [done for done, _ in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("epoch 2 of 3, batch 4 of 5: inner 0." in message and "best score" in message for _, message in said)
    head, first = (tmp_path / "progress.csv").read_text().splitlines()[:2]
    assert head.split(",") == ["step", "epoch", "seconds", "inner", "outer", "held_back_score", "held_back_twice"]
    assert first.startswith("0,0,")


def test_a_card_says_on_what_it_was_made_and_names_no_machine(tmp_path: Path) -> None:
    card = train(ToyTask(), tmp_path, SETTINGS, CARD)
    assert json.loads((tmp_path / "card.json").read_text()) == json.loads(json.dumps(card.as_json()))
    assert card.made["parameters"] == {"first": 66, "second": 3}
    assert card.made["hardware"]["threads"] == 1
    assert {"mien", "torch", "numpy", "python"} <= set(card.made["versions"])
    assert card.made["peak_memory_mb"] > 0
    text = json.dumps(card.as_json())
    assert str(tmp_path) not in text
    assert os.uname().nodename not in text


def test_what_pytorch_was_set_to_is_put_back(tmp_path: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    train(ToyTask(seed=3), tmp_path / "one", SETTINGS, CARD)
    task = ToyTask()
    torch.manual_seed(3)
    train(task, tmp_path / "two", replace(SETTINGS, threads=2), CARD)
    assert torch.equal(torch.rand(2), wanted)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_bfloat16_trains_on_a_cpu_with_parameters_in_float32(tmp_path: Path) -> None:
    task = ToyTask()
    card = train(task, tmp_path, replace(SETTINGS, mixed="bfloat16"), CARD)
    assert card.made["mixed"] == "bfloat16"
    assert all(p.dtype == torch.float32 for p in task.first.parameters())
    assert card.figures["score"] < card.figures["score_untrained"]


def test_scaled_gradients_go_on_with_their_scale(tmp_path: Path) -> None:
    """float16 is for a GPU and refused elsewhere; the arithmetic runs on a CPU, too, slowly."""
    settings = replace(SETTINGS, checkpoint_every_steps=2)
    object.__setattr__(settings, "mixed", "float16")
    whole = train(ToyTask(), tmp_path / "one", settings, CARD)
    halted = ToyTask()
    halted.begin_step = lambda step: signal.raise_signal(signal.SIGINT) if step == 7 else None  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        train(halted, tmp_path / "two", settings, CARD)
    again = train(ToyTask(), tmp_path / "two", settings, CARD)
    assert again.made["tensors_sha256"] == whole.made["tensors_sha256"]
    assert whole.figures["score"] < whole.figures["score_untrained"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"minutes": -1.0}, "minutes is"),
        ({"patience": 0}, "patience is 0"),
        ({"mixed": "float8"}, "there is no arithmetic 'float8'"),
        ({"mixed": "float16"}, "float16 needs a CUDA device"),
    ],
)
def test_settings_that_are_none_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        TrainSettings(**settings)


@pytest.mark.parametrize(
    ("device", "says"), [("abacus", "no device 'abacus'"), ("meta", "cpu or cuda"), ("cuda", "CUDA")]
)
def test_a_device_that_is_not_here_is_told(device: str, says: str, tmp_path: Path) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(DeviceUnavailable, match=says):
        train(ToyTask(), tmp_path, replace(SETTINGS, device=device), CARD)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mixed", ["float32", "bfloat16", "float16"])
def test_it_trains_on_a_gpu(mixed: Any, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=20, device="cuda", mixed=mixed)
    card = train(ToyTask(device="cuda"), tmp_path, settings, CARD)
    assert card.figures["score"] < card.figures["score_untrained"]
    assert not card.made["repeatable"]
    assert card.made["hardware"]["gpu"]
    assert train(ToyTask(device="cuda"), tmp_path, replace(settings, epochs=22), CARD).made["steps"] == 110
