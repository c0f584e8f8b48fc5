"""The loop around a task: PyTorch as it is, stopped at any step and gone on with to the same bits on a CPU.

What comes out follows from the request alone (task, data, settings): batches from the seed and the epoch, each step's
chance from the seed and the step, so that no state of a generator has to be kept. A checkpoint has networks,
optimisers and where the run stands; it appears whole or not at all, so a run may be killed anywhere.

    RUN/request.json            what was asked for; another request is refused
    RUN/checkpoint.safetensors  where the run stands
    RUN/best-<step>.safetensors networks with the best score on the people held back
    RUN/progress.csv            losses, and figures of those held back
    RUN/weights.safetensors     what was learned, once the run has ended; RUN/card.json is its card
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from common.progress import Progress, no_progress
from processing.learning.weights_file import LearnedCard, LearnedWeights, with_results, write_weights
from processing.training.checkpoint import read_best, read_checkpoint, write_best, write_checkpoint
from processing.training.precision import Precision
from processing.training.run_card import made_card, write_card
from processing.training.run_files import RunFiles, open_run
from processing.training.run_standing import Standing
from processing.training.stop_request import StopRequest, stop_requests
from processing.training.torch_state import exact_torch
from processing.training.train_settings import TrainingError, TrainSettings

_EPOCH, _STEP, _VALIDATION = 1, 2, 3  # streams of chance
_ASTRAY = 20  # steps in a row whose loss is no number, in float16, where some are ordinary


class Task(Protocol):
    """What is learned: its networks, its batches, one step.

    Where a task has them, `begin_epoch(epoch)` is called before each epoch, also when a run goes on in the middle of
    one, and `begin_step(step)` before each step, from 0: a schedule's rates follow from these numbers alone.
    """

    kind: str
    batches_per_epoch: int

    def modules(self) -> Mapping[str, torch.nn.Module]:
        """Networks, saved and restored."""

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Their optimisers, saved and restored with their averages."""

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Any]:
        """Exactly batches_per_epoch batches, which follow from the epoch and rng alone; cheap, for a run that goes on
        passes over those that were had: what costs much belongs into `step`.
        """

    def step(self, batch: Any, rng: np.random.Generator) -> Mapping[str, float]:
        """Forward, backward, the optimisers' steps (see precision.descend); the losses, of the same names always."""

    def validate(self) -> Mapping[str, float]:
        """Figures on subjects held back, units in the names; "score": lower is better."""

    def result(self) -> tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]:
        """Tensors and architecture of the weights file, of the networks as they stand."""


def train(
    task: Task, run: Path, settings: TrainSettings, card: LearnedCard, *, progress: Progress = no_progress
) -> LearnedCard:
    """Train, or go on with RUN where its request is the same; the card of what was learned.

    card: without architecture, figures and made.  Raises TrainingError where RUN is another request's or in use, where
    losses are no numbers; KeyboardInterrupt when asked to stop, once the step at hand is done and kept.
    """
    with open_run(run, settings, card) as files:
        return train_in(files, task, settings, card, progress=progress)


def train_in(
    files: RunFiles, task: Task, settings: TrainSettings, card: LearnedCard, *, progress: Progress = no_progress
) -> LearnedCard:
    """`train` in a run that is open: whoever prepares data in its folder opens it first."""
    with exact_torch(settings), stop_requests() as stop:
        at = Standing()
        if files.checkpoint.is_file():
            at = Standing.from_json(read_checkpoint(files.checkpoint, task.modules(), task.optimizers()))
        at.starts += 1
        loop = _Loop(task, files, settings, at, stop, progress)
        loop.run()
        if loop.changed or not files.weights.is_file():
            return _finish(task, files, settings, card, at)
        return files.read_card()


class _Loop:
    """One start of a run: from where it stands to its end."""

    def __init__(
        self, task: Task, files: RunFiles, settings: TrainSettings, at: Standing, stop: StopRequest, progress: Progress
    ) -> None:
        self.task, self.files, self.settings, self.at, self.stop = task, files, settings, at, stop
        self.progress = progress
        self.precision = Precision(settings.mixed, settings.device)
        if self.precision.scaler is not None and at.scaler:
            self.precision.scaler.load_state_dict(dict(at.scaler))
        whole = settings.epochs * task.batches_per_epoch
        self.total = min(whole, settings.max_steps or whole)
        self.every = max(1, task.batches_per_epoch // 10, self.total // 2000)
        self.changed = False
        self._astray = 0
        self._since = time.monotonic()

    def run(self) -> None:
        """To the end of the request. Raises TrainingError, KeyboardInterrupt."""
        if self.at.validated_at < 0:  # before the first step: what cannot be validated is found out now
            self._validate()
            self._keep()
        while not (ended := self._ended()):
            self._epoch()
        if self.at.validated_at != self.at.step:
            self._validate()
            self.changed = True
        if self.changed or ended != self.at.stopped_by:
            self.at.stopped_by = ended
            self.changed = True
            self._keep()

    def _epoch(self) -> None:
        """The rest of the epoch at hand, or up to where the run ends."""
        at, seed = self.at, self.settings.seed
        self._tell("begin_epoch", at.epoch)
        for module in self.task.modules().values():
            module.train()
        batches = self.task.batches(at.epoch, np.random.default_rng([seed, _EPOCH, at.epoch]))
        number = -1
        for number, batch in enumerate(batches):
            if number < at.batch:
                continue
            self._step(batch)
            if at.batch < self.task.batches_per_epoch:
                if self.stop.asked:
                    self._stop()
                if self._ended():
                    return
                if at.step % self.settings.checkpoint_every_steps == 0:
                    self._keep()
        if number + 1 != self.task.batches_per_epoch:
            raise TrainingError(
                f"epoch {at.epoch} had {number + 1} batches and {self.task.batches_per_epoch} were announced"
            )
        at.epoch, at.batch = at.epoch + 1, 0
        self._validate()
        self._keep()
        if self.stop.asked:
            self._stop()

    def _step(self, batch: Any) -> None:
        at, seed = self.at, self.settings.seed
        torch.manual_seed(_number(seed, _STEP, at.step))
        self._tell("begin_step", at.step)
        with self.precision.step():
            losses = self.task.step(batch, np.random.default_rng([seed, _STEP, at.step]))
        self._check(losses)
        at.note(losses)
        at.step, at.batch = at.step + 1, at.batch + 1
        self._clock()
        self.changed = True
        if at.step % self.every == 0:
            at.row()
            self.files.write_progress(at.rows)
        self.progress(self._share(), at.in_words(self.task.batches_per_epoch, self.settings.epochs))

    def _tell(self, what: str, number: int) -> None:
        told: Callable[[int], None] | None = getattr(self.task, what, None)
        if told is not None:
            told(number)

    def _validate(self) -> None:
        """Figures of those held back; the networks are kept where they are the best so far."""
        at, modules = self.at, self.task.modules()
        self.progress(self._share(), "looking at those held back")
        for module in modules.values():
            module.eval()
        torch.manual_seed(_number(self.settings.seed, _VALIDATION, 0))
        with torch.no_grad():
            figures = {name: float(value) for name, value in self.task.validate().items()}
        score = figures.get("score", float("nan"))
        if not np.isfinite(score):
            raise TrainingError(
                f"the score of the people held back is {score} after step {at.step}: the training has gone astray; "
                "train anew with a lower rate, or in float32 (--mixed float32)"
            )
        if at.validated(figures):
            write_best(self.files.best(at.best_step), modules)
        self._clock()
        self.files.write_progress(at.rows)

    def _ended(self) -> str:
        """Why the run has ended; empty while it has not."""
        at, settings = self.at, self.settings
        if settings.max_steps is not None and at.step >= settings.max_steps:
            return "steps"
        if at.epoch >= settings.epochs:
            return "epochs"
        if settings.patience is not None and at.stale >= settings.patience:
            return "patience"
        if settings.minutes is not None and at.seconds >= 60 * settings.minutes:
            return "time"
        return ""

    def _check(self, losses: Mapping[str, float]) -> None:
        bad = [name for name, value in losses.items() if not np.isfinite(value)]
        self._astray = self._astray + 1 if bad else 0
        if bad and (self.precision.scaler is None or self._astray >= _ASTRAY):
            raise TrainingError(
                f"loss {bad[0]} is {losses[bad[0]]} at step {self.at.step + 1}: the training has gone astray. Where it "
                f"last was sound is kept in {self.files.folder}; train anew with a lower rate, or in float32"
            )

    def _keep(self) -> None:
        scaler = self.precision.scaler
        self.at.scaler = {} if scaler is None else scaler.state_dict()
        self._clock()
        write_checkpoint(self.files.checkpoint, self.task.modules(), self.task.optimizers(), self.at.as_json())
        self.files.remove_bests(but=self.at.best_step)

    def _stop(self) -> None:
        """Raises KeyboardInterrupt; the same call goes on from here."""
        self._keep()
        raise KeyboardInterrupt(f"stopped after step {self.at.step}")

    def _clock(self) -> None:
        now = time.monotonic()
        self.at.seconds, self._since = self.at.seconds + now - self._since, now

    def _share(self) -> float:
        done = self.at.step / self.total
        return done if self.settings.minutes is None else max(done, self.at.seconds / (60 * self.settings.minutes))


def _finish(task: Task, files: RunFiles, settings: TrainSettings, card: LearnedCard, at: Standing) -> LearnedCard:
    """The weights with the best score, and their card."""
    read_best(files.best(at.best_step), task.modules())
    for module in task.modules().values():
        module.eval()
    with torch.no_grad():
        tensors, architecture = task.result()
    made = made_card(task.modules(), tensors, settings, at)
    done = with_results(card, architecture=architecture, figures=at.figures(), made=made)
    write_weights(files.weights, LearnedWeights(done, tensors))
    write_card(files.card, done)
    return done


def _number(*parts: int) -> int:
    """One seed of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
