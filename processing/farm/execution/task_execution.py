"""What happens on a worker: inputs from the store, checked; the stage; outputs into the store. No database here."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from common.progress import Progress
from db.errors import MissingObject, RecordError, StoreError
from db.stage_runs.artefacts import OutputFile
from db.store import Store
from processing.errors import DataError
from processing.farm.execution.machine_faults import NoStore, machine_fault, require_store
from processing.farm.execution.run_journal import RunJournal, journalled_outputs, log_tail, run_journal_of
from processing.farm.execution.run_log import run_log
from processing.farm.execution.scratch_folders import free_gb, scratch, scratch_folder
from processing.farm.execution.stage_run import NO_SPACE, DiskFull, disk_full, run_stage
from processing.farm.execution.take_folders import write_take_folder
from processing.farm.scheduling.tasks import (
    OF_MACHINE,
    THREADS,
    TOPIC,
    AttemptId,
    ProgressEvent,
    Task,
    TaskOutcome,
    TaskResult,
)
from processing.stages.base import Inputs, Stage
from processing.stages.discovery import BUILT_IN, discover
from processing.stages.outputs import REVIEW, REVIEW_PICTURE

SAY_EVERY_S = 0.5


class StageVersionMismatch(Exception):
    """This worker has another version of the stage than the one asked for."""


class WorkerDiskLow(Exception):
    """This worker's disk is nearly full."""


class ComputedElsewhere(Exception):
    """Another process computes this key still."""


_under_way: set[AttemptId] = set()


def under_way() -> list[AttemptId]:
    """What this process runs now, for daemons that did not send it: theirs died, perhaps, and it goes on."""
    return list(_under_way)


def run_task(task: Task) -> TaskResult:
    """Run a task, unless an earlier run of its key left its outputs. Never raises for what the stage does."""
    _under_way.add((task.key, task.attempt))
    try:
        return _perform(task)
    finally:
        _under_way.discard((task.key, task.attempt))


def _perform(task: Task) -> TaskResult:
    begun = time.monotonic()
    outcome, error, missing = TaskOutcome.DONE, "", ""
    outputs: tuple[OutputFile, ...] = ()
    review = None
    try:
        stage = _stage(task)
        require_store(Store(task.store), task.studio)
        outputs = _outputs(task, stage, begun)
        review = _review(task, outputs)
    except NoStore as absent:
        outcome, error = TaskOutcome.NO_STORE, str(absent)
    except StageVersionMismatch as unfit:
        outcome, error = TaskOutcome.UNFIT, str(unfit)
    except WorkerDiskLow as full:
        outcome, error = TaskOutcome.NO_ROOM, str(full)
    except ComputedElsewhere as there:
        outcome, error = TaskOutcome.ELSEWHERE, str(there)
    except Exception as failed:
        outcome, error = _judged(task, failed)
        missing = failed.sha256 if isinstance(failed, MissingObject) else ""
        if outcome not in OF_MACHINE:
            error = with_log(error, log_tail(run_journal_of(task.store), task.key))
    return TaskResult(task.key, task.attempt, outcome, outputs, error, missing, time.monotonic() - begun, review)


def _outputs(task: Task, stage: Stage, begun: float) -> tuple[OutputFile, ...]:
    """Those that an earlier run left, or a run's own. Raises what the run raises, and ComputedElsewhere."""
    journal = run_journal_of(task.store)

    def waiting() -> None:
        if time.monotonic() - begun > journal.patience_s:
            raise ComputedElsewhere("another process computes this still: its daemon was lost, or is slow")

    with journal.alone(task.key, waiting):
        return journalled_outputs(journal, task.key, Store(task.store)) or _run(task, stage, journal)


def with_log(error: str, log: str) -> str:
    """An error with the end of the run's log, the error last: that is what lists show."""
    return f"{log.rstrip()}\n{error}" if log.strip() else error


def _judged(task: Task, failed: Exception) -> tuple[TaskOutcome, str]:
    """Whether the input, the machine or something else is to blame, and what to say."""
    try:
        require_store(Store(task.store), task.studio)
    except (NoStore, StoreError) as gone:  # in the middle of the run
        return TaskOutcome.NO_STORE if isinstance(gone, NoStore) else TaskOutcome.MACHINE, str(gone)
    cause = failed if isinstance(failed, OSError) else failed.__cause__
    if isinstance(failed, DiskFull):
        return TaskOutcome.DISK_FULL, f"{socket.gethostname()}: {failed}"
    if isinstance(cause, OSError) and cause.errno in NO_SPACE:
        return TaskOutcome.DISK_FULL, f"{socket.gethostname()}: {disk_full(scratch_folder(Store(task.store)))}"
    if lacks := machine_fault(failed):
        return TaskOutcome.MACHINE, f"{socket.gethostname()}: {lacks}"
    if isinstance(failed, StoreError) and isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
        return TaskOutcome.ATTEMPT, traceback.format_exc()  # the disk or the network, not the file
    if isinstance(failed, DataError | RecordError):
        return TaskOutcome.INPUT, str(failed)
    return TaskOutcome.ATTEMPT, traceback.format_exc()


def _stage(task: Task) -> Stage:
    """The stage in the version asked for. Raises StageVersionMismatch."""
    try:
        stage = discover(*(Path(s) if s else BUILT_IN for s in task.stages)).get(task.stage)
    except (DataError, OSError, ImportError, SyntaxError) as error:
        raise StageVersionMismatch(f"{socket.gethostname()} cannot load the stages: {error}") from error
    if stage is None or stage.version != task.version:
        have = "not at all" if stage is None else f"in version {stage.version}"
        raise StageVersionMismatch(
            f"{socket.gethostname()} has stage {task.stage} {have}; version {task.version} is asked for: update Mien "
            "there and start its worker again"
        )
    return stage


def _review(task: Task, outputs: tuple[OutputFile, ...]) -> Mapping[str, Any] | None:
    """The output 'review' of a stage that judges its result: verdict, reasons, figures. Raises DataError."""
    made = {output.output: output for output in outputs}
    if REVIEW not in made:
        return None
    with Store(task.store).open(made[REVIEW].sha256) as file:
        found = json.load(file)
    if not isinstance(found, dict) or not {"verdict", "reasons", "figures"} <= set(found):
        raise DataError(f"stage {task.stage} made a review without verdict, reasons and figures")
    return found | {"picture": made[REVIEW_PICTURE].sha256 if REVIEW_PICTURE in made else None}


def _run(task: Task, stage: Stage, journal: RunJournal) -> tuple[OutputFile, ...]:
    store = Store(task.store)
    folder = scratch_folder(store)
    if (free := min(free_gb(f) for f in (folder, store.folder) if f is not None)) < task.disk_floor_gb:
        raise WorkerDiskLow(
            f"{socket.gethostname()} has {free:.1f} GB free for runs, of which {task.disk_floor_gb:g} stay free "
            f"([farm] disk_floor_gb): make room on the disk of {folder}"
        )
    heading = f"{socket.gethostname()} process {os.getpid()}: {task.label} {task.stage}, attempt {task.attempt}"
    with run_log(journal.log_path(task.key), heading) as say, _limited(task, say), scratch(folder, task.stage) as own:
        paths = {name: _fetched(store, *file, own / "in" / name) for name, file in task.files.items()}
        many = {
            name: {label: _fetched(store, *file, own / "in" / name / label) for label, file in files.items()}
            for name, files in task.many.items()
        }
        if task.take_inputs:
            place = own / "in" / task.take_name
            write_take_folder(task.photographs, task.take_params, store, place)
            paths |= dict.fromkeys(task.take_inputs, place)
        threads = task.threads or int(os.environ.get(THREADS, 0)) or None
        inputs = Inputs(paths, device=task.device, threads=threads, progress=_listener(task, say), many=many)
        made = run_stage(stage, task.params, inputs, own / "out", durable=False)
        outputs = tuple(
            OutputFile(name, store.put_file(o.path, expected=o.sha256), o.bytes, o.media) for name, o in made.items()
        )
    require_store(store, task.studio)  # what was filed lies in the store, not on the disk underneath it
    journal.write(task.key, outputs)
    return outputs


def _fetched(store: Store, sha256: str, file_name: str, folder: Path) -> Path:
    """A file of the store in a folder of the run's own, its hash checked. Raises StoreError."""
    store.verify(sha256)
    store.link(sha256, folder / file_name)
    return folder / file_name


@contextlib.contextmanager
def _limited(task: Task, say: Callable[[str], None]) -> Iterator[None]:
    """End this process when the run takes longer than its limit: a thread that hangs cannot be ended otherwise."""
    if task.limit_s is None:
        yield
        return

    def end() -> None:
        say(f"ended after {task.limit_s:.0f} s, the limit of a run ([farm] limit_s)")
        os.kill(os.getpid(), signal.SIGKILL)

    timer = threading.Timer(task.limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _listener(task: Task, say: Callable[[str], None]) -> Progress:
    """Writes the stage's progress to its log and sends it to the daemon, at most twice a second."""
    last = 0.0

    def report(done: float, message: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SAY_EVERY_S:
            last = now
            say(f"{100 * done:3.0f} % {message}")
            _say(task, done, message)

    return report


def _say(task: Task, done: float, message: str) -> None:
    """Tell the daemon through Dask; nobody outside it."""
    with contextlib.suppress(Exception):  # progress is a courtesy; the run goes on
        from distributed import get_worker

        event = ProgressEvent(label=task.label, stage=task.stage, done=done, message=message)
        get_worker().log_event(TOPIC, event)
