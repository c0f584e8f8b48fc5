"""Runs a graph in this process with a folder as the memory of what was made: no database, no Dask.

    cache/<key>/            the outputs of a finished run, and run.json with their hashes
    cache/.<key>.<pid>/     a run under way, or one that was killed; removed at the next start

A finished run's folder appears by one rename, record included, so a process killed at any instant leaves either all
of a run or nothing of it.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files.atomic_write import write_new
from common.files.durable import fsync_folder
from common.files.hashes import file_sha256
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.farm.execution.stage_run import Output, media_type, named_disk_errors, run_stage
from processing.farm.scheduling.stage_graph import StageOutput, StageRun, missing
from processing.stages.base import TAKE, Inputs, StageError
from processing.stages.discovery import Stages

RECORD = "run.json"


@dataclass(frozen=True)
class RunCache:
    """Finished runs by their key, in a folder."""

    folder: Path

    def outputs(self, run_key: str) -> dict[str, Output] | None:
        """A finished run's outputs, or None. Files are compared with their recorded size, not read."""
        home = self.folder / run_key
        try:
            record = json.loads((home / RECORD).read_text())
            found = {
                name: Output(home / o["file"], o["sha256"], o["bytes"], media_type(home / o["file"]))
                for name, o in record["outputs"].items()
            }
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if all(o.path.is_file() and o.path.stat().st_size == o.bytes for o in found.values()) else None

    def sound(self, run_key: str) -> bool:
        """Whether a finished run is there and every file still has its hash; a damaged one is removed."""
        found = self.outputs(run_key)
        if found is not None and all(file_sha256(o.path) == o.sha256 for o in found.values()):
            return True
        shutil.rmtree(self.folder / run_key, ignore_errors=True)
        return False

    def temporary(self, run_key: str) -> Path:
        return self.folder / f".{run_key}.{os.getpid()}"

    def keep(self, run: StageRun, made: Mapping[str, Output], temporary: Path) -> None:
        """Make a run's outputs its finished result: write the record, then rename the folder."""
        outputs = {n: {"file": o.path.name, "sha256": o.sha256, "bytes": o.bytes} for n, o in made.items()}
        record: dict[str, Any] = {"key": run.key, "stage": run.stage, "version": run.version, "take": run.take}
        record |= {"params": dict(run.params), "outputs": outputs}
        write_new(temporary / RECORD, json.dumps(record, indent=1, sort_keys=True))
        fsync_folder(temporary)
        target = self.folder / run.key
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        fsync_folder(self.folder)

    def sweep(self) -> None:
        """Remove what killed runs of this machine left."""
        for path in self.folder.glob(".*.*"):
            pid = path.suffix[1:]
            if not pid.isdecimal() or not Path(f"/proc/{pid}").exists() or int(pid) == os.getpid():
                shutil.rmtree(path, ignore_errors=True)


class RunFailed(DataError):
    """A stage of a take, a subject or a study failed; the message names both."""

    def __init__(self, run: StageRun, cause: DataError) -> None:
        super().__init__(f"{run.label}, stage {run.stage}: {cause}")
        self.cause = cause


def execute_runs(
    runs: Iterable[StageRun],
    stages: Stages,
    cache: RunCache,
    sources: Mapping[tuple[str, str], Path],
    *,
    device: str = "cpu",
    memory_gb: float | None = None,
    started: Callable[[StageRun], Progress] = lambda _run: no_progress,
) -> int:
    """Run what is missing, in order; the number of runs made.

    sources: (take name, 'take'), ("", another need that files from outside meet), (label, need) where it is of each
    -> path.  device, memory_gb: as Inputs
    has them.  started: called before each run, gives its progress listener.
    Raises RunFailed at the first stage that refuses its inputs; what was finished before stays.
    """
    ordered = list(runs)
    with named_disk_errors(cache.folder):
        cache.folder.mkdir(parents=True, exist_ok=True)
        cache.sweep()
        present = {run.key for run in ordered if cache.sound(run.key)}
        todo = missing(ordered, present)
        for run in todo:
            paths, many = input_paths(run, cache, sources)
            inputs = Inputs(paths, device=device, memory_gb=memory_gb, progress=started(run), many=many)
            temporary = cache.temporary(run.key)
            try:
                made = run_stage(stages[run.stage], run.params, inputs, temporary)
            except DataError as error:
                raise RunFailed(run, error) from error
            try:
                cache.keep(run, made, temporary)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return len(todo)


def input_paths(
    run: StageRun, cache: RunCache, sources: Mapping[tuple[str, str], Path]
) -> tuple[dict[str, Path], dict[str, dict[str, Path]]]:
    """Where a run's inputs lie, those of each part apart. Raises StageError when a needed run has no result."""
    paths: dict[str, Path] = {}
    many: dict[str, dict[str, Path]] = {}
    for name, label, item in run.sources():
        if isinstance(item, StageOutput):
            outputs = cache.outputs(item.key)
            if outputs is None or item.output not in outputs:
                raise StageError(f"{run.label}, stage {run.stage}: its input '{name}' is gone; run the command again")
            path = outputs[item.output].path
        else:
            path = sources[label or (run.take if item.source == TAKE else ""), item.source]
        if label:
            many.setdefault(name, {})[label] = path
        else:
            paths[name] = path
    return paths, many


def results_of(runs: Iterable[StageRun], cache: RunCache) -> dict[str, dict[str, dict[str, Output]]]:
    """What finished runs made: take ("" of the subject, of the study) -> stage -> output -> file.

    Raises DataError when some of it is gone.
    """
    results: dict[str, dict[str, dict[str, Output]]] = {}
    for run in runs:
        outputs = cache.outputs(run.key)
        if outputs is None:
            raise DataError(
                f"{run.label}: what stage {run.stage} made is gone from {cache.folder}; run the command again"
            )
        results.setdefault(run.take, {})[run.stage] = outputs
    return results
