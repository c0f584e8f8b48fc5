"""One run of a method's command: started, watched, ended with all that it started."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.guarding.safe_text import plain_lines
from processing.evaluation.board.methods import Method

LOOK_S = 0.2  # between two looks at a command
MOST_SAID_BYTES = 64 << 20  # of messages; a command that says more is ended
TOLD_CHARACTERS = 400  # of its last words that are kept

How = Literal["well", "crashed", "hung", "unavailable"]


@dataclass(frozen=True)
class CommandEnd:
    """How a run ended, and why, for a person."""

    how: How
    reason: str  # nothing where it ended well
    seconds: float


def run_command(
    words: Sequence[str], method: Method, cwd: Path, said: Path, count: Callable[[], int], look: Callable[[], None]
) -> CommandEnd:
    """Run a command until it ends, hangs, or this is interrupted; nothing that it started goes on afterwards.

    said: a file for what it says. count: how many photographs it has finished. look: called at every look at it.
    """
    began = since = time.monotonic()
    done = 0
    with said.open("wb") as log:
        try:
            process = subprocess.Popen(
                list(words), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return CommandEnd("unavailable", f"{words[0]} cannot be started: {error.strerror or error}", 0.0)
        try:
            while process.poll() is None:
                try:
                    process.wait(LOOK_S)
                except subprocess.TimeoutExpired:
                    look()
                now, found = time.monotonic(), count()
                if found > done:
                    done, since = found, now
                limit = method.seconds_an_image + (0 if done else method.seconds_to_start)
                if process.poll() is None and now - since > limit:
                    return CommandEnd("hung", f"no mesh in {limit:g} s; ended{_last_words(said)}", now - began)
                if said.stat().st_size > MOST_SAID_BYTES:
                    return CommandEnd("crashed", f"it said more than {MOST_SAID_BYTES >> 20} MB; ended", now - began)
        finally:
            _end(process)
    seconds, code = time.monotonic() - began, process.returncode
    if code == 0:
        return CommandEnd("well", "", seconds)
    if code == Method.UNAVAILABLE:
        return CommandEnd("unavailable", _last_words(said).lstrip(": ") or "it cannot run here", seconds)
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return CommandEnd("crashed", f"{how}{_last_words(said)}", seconds)


def last_words(said: Path) -> str:
    """The end of what a command said, in one line; nothing where it said nothing."""
    with said.open("rb") as file:
        file.seek(max(0, said.stat().st_size - 4 * TOLD_CHARACTERS))
        text = file.read().decode("utf-8", "replace")
    lines = [line.strip() for line in plain_lines(text).splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-TOLD_CHARACTERS:]


def _last_words(said: Path) -> str:
    words = last_words(said)
    return f": {words}" if words else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing of it is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
