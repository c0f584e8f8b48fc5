"""One take through stages of the graph in this process: its runs lie in a temporary folder while they are needed."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress, part
from processing.farm.execution.in_process import RunCache, RunFailed, execute_runs, results_of
from processing.farm.execution.stage_run import Results
from processing.farm.scheduling.stage_graph import StageRun, TakeInput, plan_given
from processing.stages.base import TAKE
from processing.stages.discovery import Stages


@dataclass(frozen=True)
class SingleTake:
    """What is to be made of one take."""

    name: str  # as messages call it
    given: Mapping[str, Path]  # need (as Need.text has it) -> the file or folder that meets it
    stages: Stages  # those that run, and no others
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # where they differ from the defaults
    expression: str = ""


@contextmanager
def take_results(
    take: SingleTake, *, device: str = "cpu", memory_gb: float | None = None, progress: Progress = no_progress
) -> Iterator[Results]:
    """Stage -> output -> file, there until the block ends. device, memory_gb: as Inputs has them.

    Raises ParamsError, and what a stage raises that refuses its inputs.
    """
    given = {need: str(path) for need, path in take.given.items()}  # nothing outlives the folder: names identify files
    runs = plan_given(TakeInput(take.name, take.expression, ""), given, take.stages, take.params)
    sources = {(take.name if need == TAKE else "", need): path for need, path in take.given.items()}
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        cache = RunCache(Path(folder))
        started = progress_of_runs(runs, take.stages, progress)
        try:
            execute_runs(runs, take.stages, cache, sources, device=device, memory_gb=memory_gb, started=started)
        except RunFailed as failed:
            raise failed.cause from None
        yield results_of(runs, cache)[take.name]


def progress_of_runs(runs: Sequence[StageRun], stages: Stages, progress: Progress) -> Callable[[StageRun], Progress]:
    """A listener for each run: its part of the whole, by how long its stage takes beside the others."""
    shares = [stages[run.stage].time_share for run in runs]
    parts: dict[str, Progress] = {}
    done = 0.0
    for run, share in zip(runs, shares, strict=True):
        parts[run.key] = part(progress, done / sum(shares), (done + share) / sum(shares))
        done += share
    return lambda run: parts[run.key]


def copy_whole(source: Path, target: Path) -> None:
    """A result's copy, which outlives it and appears whole or not at all."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
