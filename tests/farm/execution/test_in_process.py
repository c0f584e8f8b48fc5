"""Runs in one process: killed at any instant, they go on; results are whole; a full disk is named."""

import json
import os
import resource
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from patience import run_patiently

from processing.farm.execution.in_process import RunCache, RunFailed, execute_runs
from processing.farm.execution.stage_run import DiskFull
from processing.farm.scheduling.content_keys import take_digest
from processing.farm.scheduling.stage_graph import StageRun, TakeInput, plan
from processing.stages.base import Inputs, StageError, StageParams
from processing.stages.discovery import discover

TOY_FOLDER = Path(__file__).parents[1] / "toy_stages"
TOYS = discover(TOY_FOLDER)
NAMES = ("1_neutral", "2_smile", "3_anger")


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    for k, name in enumerate(NAMES):
        folder = tmp_path / "subject" / name
        folder.mkdir(parents=True)
        (folder / "params.json").write_text("{}")
        (folder / "0.jpg").write_bytes(name.encode() * (k + 1))
    (tmp_path / "template").write_text("template")
    (tmp_path / "control").mkdir()
    return tmp_path / "subject"


def planned(subject: Path) -> tuple[list[StageRun], dict[tuple[str, str], Path]]:
    takes = [TakeInput(n, n.partition("_")[2], take_digest(subject / n)) for n in NAMES]
    params = {"measure": {"control": str(subject.parent / "control")}}
    sources = {(n, "take"): subject / n for n in NAMES} | {("", "template"): subject.parent / "template"}
    return plan(takes, {"template": "t" * 64}, TOYS, params), sources


def measured(subject: Path) -> Counter[str]:
    log = subject.parent / "control" / "runs.log"
    return Counter(log.read_text().split() if log.exists() else [])


def test_a_second_run_does_nothing_and_results_are_right(subject: Path, tmp_path: Path) -> None:
    runs, sources = planned(subject)
    cache = RunCache(tmp_path / "work")
    assert execute_runs(runs, TOYS, cache, sources) == 9
    assert execute_runs(runs, TOYS, cache, sources) == 0
    assert measured(subject) == dict.fromkeys(NAMES, 1)
    for run in runs:
        if run.stage == "conclude":
            outputs = cache.outputs(run.key)
            assert outputs is not None
            assert outputs["word"].path.read_text() == ("not larger" if run.take == "1_neutral" else "larger")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {folders!r}
import processing.farm.execution.in_process as inline
from test_in_process import TOYS, RunCache, execute_runs, planned

keep = inline.RunCache.keep
def killed(self, run, made, temporary):
    if run.take == "2_smile" and run.stage == "compare":
        if {after}:
            keep(self, run, made, temporary)
        os.kill(os.getpid(), signal.SIGKILL)
    keep(self, run, made, temporary)
inline.RunCache.keep = killed
runs, sources = planned(Path({subject!r}))
execute_runs(runs, TOYS, RunCache(Path({work!r})), sources)
"""


@pytest.mark.parametrize("after", [False, True], ids=["before the rename", "after the rename"])
def test_killed_around_the_rename_it_goes_on_where_it_was(subject: Path, tmp_path: Path, after: bool) -> None:
    work = tmp_path / "work"
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "support")]
    script = KILLED.format(folders=folders, subject=str(subject), work=str(work), after=after)
    killed = run_patiently([sys.executable, "-c", script])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    runs, sources = planned(subject)
    cache = RunCache(work)
    there = {(r.take, r.stage) for r in runs if cache.sound(r.key)}
    assert (("2_smile", "compare") in there) == after
    assert execute_runs(runs, TOYS, cache, sources) == 9 - len(there)
    assert measured(subject) == dict.fromkeys(NAMES, 1)
    assert not list(work.glob(".*"))  # what the killed process left is gone


def test_a_damaged_result_is_made_again(subject: Path, tmp_path: Path) -> None:
    runs, sources = planned(subject)
    cache = RunCache(tmp_path / "work")
    execute_runs(runs, TOYS, cache, sources)
    victim = next(r for r in runs if (r.take, r.stage) == ("2_smile", "measure"))
    path = cache.folder / victim.key / "size.json"
    before = path.read_bytes()
    path.write_bytes(bytes(len(before)))  # same size, other bytes
    assert execute_runs(runs, TOYS, cache, sources) == 1
    assert path.read_bytes() == before


def test_a_refusal_names_take_and_stage_and_keeps_what_was_made(subject: Path, tmp_path: Path) -> None:
    runs, sources = planned(subject)
    poison = tmp_path / "control" / "poison-3_anger"
    poison.touch()
    cache = RunCache(tmp_path / "work")
    with pytest.raises(RunFailed, match=r"3_anger, stage measure: 3_anger is poisoned"):
        execute_runs(runs, TOYS, cache, sources)
    assert not list(cache.folder.glob(".*"))
    poison.unlink()
    assert execute_runs(runs, TOYS, cache, sources) == 3


class Forgetful(type(TOYS["conclude"])):  # type: ignore[misc]
    """Leaves its output unwritten."""

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:
        """Does nothing."""


def test_a_stage_without_its_output_has_failed(subject: Path, tmp_path: Path) -> None:
    runs, sources = planned(subject)
    with pytest.raises(RunFailed, match="ended without its output 'word'") as caught:
        execute_runs(runs, dict(TOYS) | {"conclude": Forgetful()}, RunCache(tmp_path / "work"), sources)
    assert isinstance(caught.value.__cause__, StageError)


class Hungry(type(TOYS["measure"])):  # type: ignore[misc]
    """Writes more than fits."""

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        (out / "size.json").write_bytes(b"x" * 2_000_000)


def test_a_full_disk_is_named_and_leaves_nothing(subject: Path, tmp_path: Path) -> None:
    """The file size limit stands in for the disk's end: write() fails in the middle of a file."""
    runs, sources = planned(subject)
    cache = RunCache(tmp_path / "work")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old: Any = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(RunFailed, match="No room is left to write under") as caught:
            execute_runs(runs, dict(TOYS) | {"measure": Hungry()}, cache, sources)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert isinstance(caught.value.__cause__, DiskFull)
    assert not list(cache.folder.iterdir())
    assert execute_runs(runs, TOYS, cache, sources) == 9


def test_the_record_tells_where_a_result_came_from(subject: Path, tmp_path: Path) -> None:
    runs, sources = planned(subject)
    cache = RunCache(tmp_path / "work")
    execute_runs(runs, TOYS, cache, sources)
    for run in runs:
        record = json.loads((cache.folder / run.key / "run.json").read_text())
        assert (record["stage"], record["version"], record["take"]) == (run.stage, run.version, run.take)
        assert record["params"] == dict(run.params)


def test_another_live_process_keeps_its_temporary_folder(tmp_path: Path) -> None:
    cache = RunCache(tmp_path / "work")
    theirs = cache.folder / f".{'a' * 64}.{os.getppid()}"
    theirs.mkdir(parents=True)
    dead = cache.folder / f".{'b' * 64}.999999999"
    dead.mkdir()
    cache.sweep()
    assert theirs.is_dir()
    assert not dead.exists()
