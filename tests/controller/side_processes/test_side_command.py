"""A command beside the session: last in the queue, paused at a word, ended by its bounds, and gone with the studio."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from patience import until

from controller.side_processes.side_command import SideCommand, SideResult


def nothing() -> str:
    return ""


def waiting_words(folder: Path) -> list[str]:
    """A command that waits for a minute: for a node with a code."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return ["node", "enrol", "cam-07", "--listen", f"127.0.0.1:{port}", "--keys", str(folder / "keys")]


def begun(folder: Path) -> bool:
    """Whether it has said its code."""
    return any((folder / name).exists() and (folder / name).stat().st_size for name in ("out", "err"))


@contextmanager
def running(command: SideCommand, folder: Path) -> Iterator[list[SideResult]]:
    """Under way, and past its start; its result is in the list after the block."""
    found: list[SideResult] = []
    thread = threading.Thread(target=lambda: found.append(command.run(nothing)))
    thread.start()
    try:
        until(lambda: begun(folder))
        yield found
    finally:
        command.end("the test is over")
        thread.join(30)


def process_of(folder: Path) -> psutil.Process:
    """Another's child that is over, and not asked for yet, is in no folder."""
    living = (p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE)
    return next(p for p in living if p.cwd() == str(folder))


def test_it_runs_last_in_the_queue_without_the_studios_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_DATABASE", "postgresql://mien:hunter22@h/x")
    with running(SideCommand(waiting_words(tmp_path), tmp_path, 4.0, 60.0), tmp_path):
        process = process_of(tmp_path)
        assert process.nice() == 19
        assert os.getsid(process.pid) == process.pid
        environment = process.environ()
        assert not [name for name in environment if name.startswith("MIEN_")]
        assert environment["TMPDIR"] == str(tmp_path)
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)


def test_it_stands_still_and_goes_on_at_a_word_and_ends_at_another(tmp_path: Path) -> None:
    command = SideCommand(waiting_words(tmp_path), tmp_path, 4.0, 60.0)
    with running(command, tmp_path) as found:
        process = process_of(tmp_path)
        command.pause()
        until(lambda: process.status() == psutil.STATUS_STOPPED)
        command.go_on()
        until(lambda: process.status() != psutil.STATUS_STOPPED)
        command.pause()
        command.end("no longer wanted")
        until(lambda: found)
        assert not process.is_running()
    assert (found[0].code, found[0].trouble, found[0].well) == (-signal.SIGKILL, "no longer wanted", False)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [({"timeout_s": 0.3}, "not done within 0.3 s"), ({"memory_gb": 0.001}, "wanted more than 0.001 GB of memory")],
)
def test_its_bounds_end_it(tmp_path: Path, bounds: dict[str, float], said: str) -> None:
    command = SideCommand(waiting_words(tmp_path), tmp_path, **({"memory_gb": 4.0, "timeout_s": 60.0} | bounds))
    result = command.run(nothing)
    assert said in result.trouble
    assert not result.well


def test_what_it_said_last_is_told_when_it_fails_and_what_it_printed_when_it_does_not(tmp_path: Path) -> None:
    well = SideCommand(["node", "keys", "a", "--keys", str(tmp_path / "k"), "--json"], tmp_path, 4.0, 60.0).run(nothing)
    assert well.well
    assert '"public"' in well.printed
    ill = SideCommand(["cameras", "convert", "none.json", "out.json"], tmp_path, 4.0, 60.0).run(nothing)
    assert ill.code != 0
    assert "none.json" in ill.trouble


def test_one_that_was_ended_before_it_began_does_not_begin(tmp_path: Path) -> None:
    command = SideCommand(waiting_words(tmp_path), tmp_path, 4.0, 60.0)
    command.end("the studio stops")
    assert command.run(nothing).trouble == "the studio stops"
    assert (tmp_path / "out").read_bytes() == b""


def test_it_dies_with_the_studio_however_that_dies(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        from pathlib import Path
        from controller.side_processes.side_command import SideCommand
        SideCommand({waiting_words(tmp_path)!r}, Path({str(tmp_path)!r}), 4.0, 60.0).run(lambda: "")
    """)
    with subprocess.Popen([sys.executable, "-c", script]) as studio:
        until(lambda: begun(tmp_path))
        (child,) = psutil.Process(studio.pid).children()
        studio.kill()
        studio.wait()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
