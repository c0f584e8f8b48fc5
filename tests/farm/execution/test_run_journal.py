"""At most one process computes a key, what it made is found by the next, and what killed runs leave is swept."""

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.files.locks import try_lock
from db.stage_runs.artefacts import OutputFile
from db.store import Store
from processing.farm.execution.run_journal import (
    FolderRunJournal,
    ObjectRunJournal,
    journalled_outputs,
    log_tail,
    run_journal_of,
)
from processing.farm.execution.run_log import run_log
from processing.farm.execution.scratch_folders import VARIABLE, scratch, scratch_folder, sweep

KEY = "ab" * 32
HOLDER = """
import sys, time
from pathlib import Path
from processing.farm.execution.run_journal import FolderRunJournal
with FolderRunJournal(Path(sys.argv[1])).alone(sys.argv[2], lambda: None):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["folder", "objects"])
def notes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "folder":
        yield FolderRunJournal(tmp_path / "runs")
    else:
        yield ObjectRunJournal(f"memory://{uuid.uuid4().hex}/runs", beat_s=0.02, beats=10)


def test_the_second_waits_for_the_first(notes: Any) -> None:
    seen: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with notes.alone(KEY, waiting.set):
            seen.append("second")

    with notes.alone(KEY, lambda: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(600)
        time.sleep(0.3)  # longer than an object's marker lives without beats
        seen.append("first")
    thread.join(600)
    assert seen == ["first", "second"]
    with notes.alone(KEY, lambda: pytest.fail("nobody holds it")):
        pass


def test_of_many_one_at_a_time_computes_and_the_others_find_what_it_made(notes: Any) -> None:
    computed: list[int] = []
    found: list[str | None] = []

    def work(n: int) -> None:
        time.sleep(n / 20)
        with notes.alone(KEY, lambda: None):
            if notes.read(KEY) is None:
                computed.append(n)
                notes.write(KEY, [OutputFile("x", "0" * 64, 1, "text/plain")])
            found.append(notes.read(KEY))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    assert len(computed) == 1
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_killed_holder_frees_the_key_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path, KEY], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert try_lock(tmp_path / f"{KEY}.lock") is None
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()  # type: ignore[union-attr]
    with FolderRunJournal(tmp_path).alone(KEY, lambda: pytest.fail("its holder is dead")):
        assert (tmp_path / f"{KEY}.lock").exists()
    assert not (tmp_path / f"{KEY}.lock").exists()


def test_a_marker_that_nobody_renews_is_stale() -> None:
    place = f"memory://{uuid.uuid4().hex}/runs"
    ObjectRunJournal(place)._fs.pipe_file(f"{ObjectRunJournal(place)._root}/{KEY}.lock", b"a dead worker 7")
    waited: list[bool] = []
    with ObjectRunJournal(place, beat_s=0.02, beats=5).alone(KEY, lambda: waited.append(True)):
        assert waited


def test_a_lock_that_was_removed_meanwhile_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = try_lock(path)
    assert first is not None
    late = os.open(path, os.O_RDWR)  # opened before the holder removed it
    path.unlink()
    os.close(first)
    fcntl.flock(late, fcntl.LOCK_EX | fcntl.LOCK_NB)  # locks a file that nobody else sees
    again = try_lock(path)
    assert again is not None
    os.close(late)
    os.close(again)


def test_noted_outputs_are_there_or_they_do_not_count(notes: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    data = b"a result"
    outputs = (OutputFile("x", store.put_bytes(data), len(data), "text/plain"),)
    assert journalled_outputs(notes, KEY, store) == ()
    with notes.alone(KEY, lambda: None):
        notes.write(KEY, outputs)
    assert journalled_outputs(notes, KEY, store) == outputs
    notes.recorded(KEY)
    assert journalled_outputs(notes, KEY, store) == outputs  # for one who comes late
    notes.sweep(older_s=3600)
    assert journalled_outputs(notes, KEY, store) == outputs
    notes.sweep(older_s=-10)
    assert journalled_outputs(notes, KEY, store) == ()
    with notes.alone(KEY, lambda: None):
        notes.write(KEY, outputs)
    notes.sweep(older_s=-10)
    assert journalled_outputs(notes, KEY, store) == outputs  # not recorded yet: kept for as long as that takes
    place = store.local_path(outputs[0].sha256)
    place.chmod(0o644)
    place.write_bytes(b"rotten")
    assert journalled_outputs(notes, KEY, store) == ()


def test_a_stores_notes_are_beside_it(tmp_path: Path) -> None:
    assert isinstance(run_journal_of(str(tmp_path)), FolderRunJournal)
    assert run_journal_of(str(tmp_path)).log_path(KEY) == tmp_path / "runs" / f"{KEY}.log"
    assert isinstance(run_journal_of("memory://bucket/store"), ObjectRunJournal)


def test_the_log_has_what_its_own_run_said(tmp_path: Path) -> None:
    notes = FolderRunJournal(tmp_path)
    logger = logging.getLogger("some.library")
    with run_log(notes.log_path(KEY), "gpu-1: S001 1_neutral measure, attempt 1") as say:
        logger.warning("%d points are missing", 3)
        other = threading.Thread(target=logger.warning, args=("of another run",))
        other.start()
        other.join()
        say("half way")
    logger.warning("of nobody")
    log = log_tail(notes, KEY)
    assert [part in log for part in ("gpu-1", "3 points are missing", "half way")] == [True] * 3
    assert "another" not in log
    assert "nobody" not in log


def test_a_crash_is_in_the_log(tmp_path: Path) -> None:
    crash = """
import ctypes, faulthandler, sys
from pathlib import Path
from processing.farm.execution.run_log import run_log
with run_log(Path(sys.argv[1]), "heading"):
    ctypes.string_at(0)
"""
    done = subprocess.run([sys.executable, "-c", crash, tmp_path / "log"], capture_output=True)
    assert done.returncode < 0
    log = (tmp_path / "log").read_text()
    assert "heading" in log
    assert "Segmentation fault" in log
    assert "string_at" in log


def test_what_killed_runs_left_is_swept_and_what_lives_is_not(tmp_path: Path) -> None:
    dead = tmp_path / "mien-measure-dead"
    (dead / "in").mkdir(parents=True)
    (dead / "in" / "0.jpg").write_bytes(b"photograph")
    (tmp_path / "tmpabc").write_text("not a run's")
    with scratch(tmp_path, "measure") as alive:
        assert sweep(tmp_path, young_s=3600) == 0
        assert sweep(tmp_path, young_s=-1) == 1
        assert alive.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tmpabc"]


def test_a_studio_beside_the_scratch_folders_is_nobodys_leftover(tmp_path: Path) -> None:
    """Its home is mien-studio by default, and a worker's --scratch may be the folder that it lies in."""
    for name in ("mien-studio", "mien-studio-2", "mien-measure-notes"):
        (tmp_path / name / "store").mkdir(parents=True)
        (tmp_path / name / "studio.sqlite").write_text("records")
    (tmp_path / "mien-link").symlink_to(tmp_path / "mien-studio")
    assert sweep(tmp_path, young_s=-1) == 0
    assert (tmp_path / "mien-studio" / "studio.sqlite").read_text() == "records"


def test_runs_work_on_the_stores_disk_or_where_the_machine_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    assert scratch_folder(store) == tmp_path / "store" / "tmp"
    monkeypatch.setenv(VARIABLE, str(tmp_path / "fast"))
    assert scratch_folder(store) == tmp_path / "fast"
    assert (tmp_path / "fast").is_dir()
