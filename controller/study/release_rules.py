"""What the release's own rules say of each subject: `mien release select`, run while nobody sits there.

It looks at every file in the store, which the records cannot answer for. Nothing is released by it, and its file is not
kept: whoever releases runs the command, reads its file and puts a name under it.
"""

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from common.bounded.json_toml import read_toml
from controller.errors import SessionError
from controller.side_processes.side_command import SideCommand
from db.engine import utc_now

MEMORY_GB, TIMEOUT_S = 4.0, 900.0


@dataclass(frozen=True)
class SubjectProposal:
    """A subject as the rules would have it."""

    code: str
    decision: str  # publish, hold_back or leave_out
    why: str
    takes: int  # that would leave
    left_out: dict[str, str]  # take -> why


@dataclass(frozen=True)
class ReleaseProposal:
    """One run of the rules."""

    name: str  # of the release
    state: str  # running, done or failed
    begun_at: datetime
    told: str = ""  # why it failed
    subjects: tuple[SubjectProposal, ...] = field(default=())


class ReleaseRules:
    """At most one run at a time. Methods may be called from any thread."""

    def __init__(self, home: Path, open_session: Callable[[], str | None]) -> None:
        self._home = home
        self._open_session = open_session
        self._lock = threading.Lock()
        self._command: SideCommand | None = None
        self._last: ReleaseProposal | None = None

    @property
    def last(self) -> ReleaseProposal | None:
        """The run that was begun last."""
        return self._last

    def begin(self, name: str) -> ReleaseProposal:
        """Ask the rules for a release of this name. Raises SessionError while a session is open or they are asked."""
        if (session := self._open_session()) is not None:
            raise SessionError(
                f"{session} is open: the rules are asked when nobody sits there; pause or close it first"
            )
        with self._lock:
            if self._last is not None and self._last.state == "running":
                raise SessionError(f"The rules are being asked for {self._last.name} already")
            self._last = ReleaseProposal(name, "running", utc_now())
            threading.Thread(target=self._run, args=(self._last,), name="mien-release-rules", daemon=True).start()
            return self._last

    def stop(self) -> None:
        """End what runs."""
        if self._command is not None:
            self._command.end("the studio has ended")

    def _run(self, asked: ReleaseProposal) -> None:
        try:
            subjects, told = self._ask(asked.name)
        except Exception as error:
            subjects, told = (), str(error)
        self._last = ReleaseProposal(asked.name, "failed" if told else "done", asked.begun_at, told, subjects)

    def _ask(self, name: str) -> tuple[tuple[SubjectProposal, ...], str]:
        with tempfile.TemporaryDirectory(prefix="mien-rules-") as place:
            folder = Path(place)
            file = folder / "selection.toml"
            words = ["release", "select", "--out", str(file), "--home", str(self._home), "--json", "--", name]
            self._command = SideCommand(words, folder, MEMORY_GB, TIMEOUT_S)
            result = self._command.run(self._unwanted)
            if not result.well:
                return (), result.trouble or "it said nothing"
            return tuple(_proposal(line) for line in read_toml(file).get("subject", [])), ""

    def _unwanted(self) -> str:
        session = self._open_session()
        return "" if session is None else f"{session} was opened: ask again when nobody sits there"


def _proposal(line: dict[str, Any]) -> SubjectProposal:
    return SubjectProposal(
        str(line["code"]), str(line["decision"]), str(line.get("why", "")), len(line.get("takes", {})),
        {str(take): str(why) for take, why in line.get("left_out", {}).items()},
    )  # fmt: skip
