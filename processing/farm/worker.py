"""What happens on a worker: inputs from the store, checked; the stage; outputs into the store. No database here."""

import contextlib
import json
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db.artefacts import OutputFile
from db.errors import RecordError
from db.store import Store
from processing.errors import DataError
from processing.farm.execute import DiskFull, run_stage
from processing.farm.planning import materialise
from processing.progress import Progress, silent
from processing.stages.base import Inputs
from processing.stages.discovery import discover

TOPIC = "mien-progress"
SAY_EVERY_S = 0.5
REVIEW, PICTURE = "review", "quality"  # outputs by which a stage judges its result


@dataclass(frozen=True)
class Task:
    """A claimed job, complete: what a worker needs to know. files: input -> (SHA-256, file name)."""

    key: str
    stage: str
    version: int
    params: Mapping[str, Any]
    label: str
    stages: tuple[str, ...]
    store: str
    records: str | None
    files: Mapping[str, tuple[str, str]]
    take_inputs: tuple[str, ...] = ()
    take_name: str = ""
    photographs: Mapping[str, str] = field(default_factory=dict)
    take_params: bytes = b""
    frames: tuple[int, ...] = ()  # the photographs' rows, for the lineage
    device: str = "cpu"
    threads: int | None = None


@dataclass(frozen=True)
class Result:
    """How a task ended. error: empty when it ended well; retry: whether another attempt may end better.

    review: what the stage said of its result, where it makes an output of that name.
    """

    key: str
    outputs: tuple[OutputFile, ...] = ()
    error: str = ""
    retry: bool = False
    seconds: float = 0.0
    review: Mapping[str, Any] | None = None


def perform(task: Task) -> Result:
    """Run a task. Never raises for what the stage does: the reason comes back in the result."""
    begun = time.monotonic()
    try:
        outputs = _recorded(task) or _run(task)
        review = _review(task, outputs)
    except DiskFull as error:
        return Result(task.key, error=str(error), retry=True, seconds=time.monotonic() - begun)
    except (DataError, RecordError) as error:
        return Result(task.key, error=str(error), retry=False, seconds=time.monotonic() - begun)
    except Exception:
        return Result(task.key, error=traceback.format_exc(), retry=True, seconds=time.monotonic() - begun)
    return Result(task.key, outputs, seconds=time.monotonic() - begun, review=review)


def _review(task: Task, outputs: tuple[OutputFile, ...]) -> Mapping[str, Any] | None:
    """The output 'review' of a stage that judges its result: verdict, reasons, figures. Raises DataError."""
    made = {output.output: output for output in outputs}
    if REVIEW not in made:
        return None
    with Store(task.store).open(made[REVIEW].sha256) as file:
        found = json.load(file)
    if not isinstance(found, dict) or not {"verdict", "reasons", "figures"} <= set(found):
        raise DataError(f"stage {task.stage} made a review without verdict, reasons and figures")
    return found | {"picture": made[PICTURE].sha256 if PICTURE in made else None}


def _run(task: Task) -> tuple[OutputFile, ...]:
    stages = discover(*(Path(s) for s in task.stages))
    stage = stages.get(task.stage)
    if stage is None or stage.version != task.version:
        have = "none" if stage is None else f"version {stage.version}"
        raise RuntimeError(f"this worker has stage {task.stage} in {have}; version {task.version} is asked: update it")
    store = Store(task.store)
    scratch = Path(tempfile.mkdtemp(prefix=f"mien-{task.stage}-", dir=_scratch(task.store)))
    try:
        paths: dict[str, Path] = {}
        for name, (sha256, file_name) in task.files.items():
            store.verify(sha256)
            store.link(sha256, scratch / "in" / name / file_name)
            paths[name] = scratch / "in" / name / file_name
        if task.take_inputs:
            folder = scratch / "in" / task.take_name
            materialise(task.photographs, task.take_params, store, folder)
            paths |= dict.fromkeys(task.take_inputs, folder)
        inputs = Inputs(paths, device=task.device, threads=task.threads, progress=_listener(task))
        made = run_stage(stage, task.params, inputs, scratch / "out", durable=False)
        outputs = tuple(
            OutputFile(name, store.put_file(o.path, expected=o.sha256), o.bytes, o.media) for name, o in made.items()
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _record(task, outputs)
    return outputs


def _scratch(store: str) -> str | None:
    """Scratch on the store's own disk where it is a folder, so that photographs are linked and not copied."""
    if "://" in store:
        return None
    folder = Path(store) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _record(task: Task, outputs: tuple[OutputFile, ...]) -> None:
    """Note beside the store what this run made: it is found again if nobody lives to write it into the database."""
    if task.records is None:
        return
    folder = Path(task.records)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{task.key}.{os.getpid()}"
    temporary.write_text(json.dumps([[o.output, o.sha256, o.bytes, o.media] for o in outputs]))
    temporary.replace(folder / f"{task.key}.json")


def _recorded(task: Task) -> tuple[OutputFile, ...]:
    """The outputs of an earlier run of this key that were stored but not recorded; empty when there are none."""
    if task.records is None:
        return ()
    try:
        rows = json.loads((Path(task.records) / f"{task.key}.json").read_text())
        outputs = tuple(OutputFile(*row) for row in rows)
        store = Store(task.store)
        for output in outputs:
            store.verify(output.sha256)
    except (OSError, ValueError, TypeError, RecordError):
        return ()
    return outputs


def _listener(task: Task) -> Progress:
    """Sends the stage's progress to the daemon, at most twice a second; silent outside Dask."""
    try:
        from distributed import get_worker

        worker = get_worker()
    except ValueError:
        return silent
    last = 0.0

    def report(done: float, message: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SAY_EVERY_S:
            last = now
            with contextlib.suppress(Exception):  # progress is a courtesy; the run goes on
                worker.log_event(TOPIC, {"label": task.label, "stage": task.stage, "done": done, "message": message})

    return report
