"""A run on a machine whose disks are not as they should be: real mounts, in a namespace of the run's own."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from db.store import Store
from db.store_parts.store_identity_notes import StoreNote, write
from processing.farm.execution.scratch_folders import VARIABLE
from processing.farm.execution.task_execution import run_task
from processing.farm.scheduling.tasks import Task, TaskOutcome, TaskResult

TOYS = Path(__file__).parents[1] / "toy_stages"
STUDIO = "5" * 32
WORKER = """
import pickle, sys
from processing.farm.execution.task_execution import run_task
task = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(run_task(task)))
"""
Ill = Callable[..., TaskResult]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """Measuring a take of three photographs."""
    control = tmp_path / "control"
    control.mkdir()
    store = Store(tmp_path / "store")
    photographs = {f"{view}.jpg": store.put_bytes(b"photograph %d" % view) for view in range(3)}
    write(store.fs, store.root, StoreNote(STUDIO, 1, "", 0, 3, 9, 0, "2026-01-01T00:00:00+00:00"))
    return Task(
        key="ab" * 32, stage="measure", version=1, params={"control": str(control)}, label="S001 2_smile",
        stages=(str(TOYS),), store=store.root, studio=STUDIO, files={}, take_inputs=("take",), take_name="2_smile",
        photographs=photographs, take_params=b"{}",
    )  # fmt: skip


@pytest.fixture
def ill(task: Task, tmp_path: Path) -> Iterator[Ill]:
    """Runs the task where a shell command has done its work on the mounts, or does so once the stage has begun."""
    alone = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True).returncode != 0:
        pytest.skip("this machine gives no mount namespaces")
    control, scratch = tmp_path / "control", tmp_path / "scratch"
    scratch.mkdir()

    def run(before: str = "true", meanwhile: str = "") -> TaskResult:
        later = "true"
        if meanwhile:
            hold = control / "hold-2_smile"
            hold.touch()
            later = f"(while [ ! -e '{control}/reached-2_smile' ]; do sleep 0.05; done; {meanwhile}; rm '{hold}')"
        done = subprocess.run(
            [*alone, "sh", "-c", f'{before} && {{ {later} & exec "$0" "$@"; }}', sys.executable, "-c", WORKER],
            input=pickle.dumps(task), capture_output=True, check=True, env=os.environ | {VARIABLE: str(scratch)},
        )  # fmt: skip
        found: Any = pickle.loads(done.stdout)
        assert isinstance(found, TaskResult)
        return found

    yield run
    assert run_task(task).outcome == TaskOutcome.DONE  # what the machine did has harmed neither store nor run


def test_a_machine_that_is_well(ill: Ill) -> None:
    assert ill().outcome == TaskOutcome.DONE


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_store_that_is_not_mounted(ill: Ill, task: Task, when: str) -> None:
    """Also where it goes away in the middle of a run: what the stage made is filed nowhere."""
    result = ill(**{when: f"mount -t tmpfs none '{task.store}'"})
    assert result.outcome == TaskOutcome.NO_STORE
    assert "carries no identity, as an empty mount point does" in result.error


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_store_that_is_mounted_read_only(ill: Ill, task: Task, when: str) -> None:
    s = task.store
    result = ill(**{when: f"mount --bind '{s}' '{s}' && mount -o remount,ro,bind '{s}'"})
    assert result.outcome == TaskOutcome.MACHINE
    assert "Read-only file system" in result.error


@pytest.mark.parametrize("where", ["scratch", "store"])
def test_a_disk_that_is_full(ill: Ill, tmp_path: Path, where: str) -> None:
    full = tmp_path / where
    keep = f"cp -r '{full}' '{tmp_path}/kept' && " if where == "store" else ""
    back = f"cp -r '{tmp_path}/kept/.' '{full}' && " if where == "store" else ""
    fill = f"{{ dd if=/dev/zero of='{full}/filling' bs=64k 2> /dev/null || true; }}"
    result = ill(before=f"{keep}mount -t tmpfs -o size=1m none '{full}' && {back}{fill}")
    assert result.outcome == TaskOutcome.DISK_FULL, result.error
