"""Who holds the trigger: one screen fires and decides, the others watch.

A free trigger is taken by a click, or by the first command. Another screen asks for it and the holder gives it, or it
is taken once the holder has not been heard for LOST_S. Commands that show the home's token are bound by none of this,
and are told.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.errors import SessionError
from db.engine import utc_now

LOST_S = 15.0  # without contact a holder's trigger may be taken


@dataclass(frozen=True)
class Screen:
    """One page of one person."""

    console: str  # the page's name for itself
    person: str


class TriggerHolder:
    """Thread-safe. silent_s: for how long a page has not been heard; changed: told when there is something to show."""

    def __init__(self, silent_s: Callable[[str], float], changed: Callable[[], None]) -> None:
        self._silent_s = silent_s
        self._changed = changed
        self._lock = threading.Lock()
        self._holder: Screen | None = None
        self._since: datetime | None = None
        self._asked: Screen | None = None
        self._command: dict[str, str] | None = None

    def section(self) -> dict[str, Any]:
        """For the page."""
        with self._lock:
            value: dict[str, Any] = {}
            if self._holder is not None and self._since is not None:
                value |= {"holder": self._holder.console, "person": self._holder.person}
                value["since"] = self._since.isoformat()
                value["lost"] = self._lost(self._holder)
            if self._asked is not None:
                value["asked_by"] = {"console": self._asked.console, "person": self._asked.person}
            if self._command is not None:
                value["command"] = dict(self._command)
            return value

    def holds(self, screen: Screen) -> bool:
        """Whether this screen holds it now."""
        with self._lock:
            return self._holder == screen

    def require(self, screen: Screen) -> None:
        """The screen may fire and decide; it takes a trigger that is free. Raises SessionError."""
        with self._lock:
            if self._holder is None:
                self._give(screen)
            elif self._holder != screen:
                raise SessionError(f"{self._told()}: nothing was done. Ask for the trigger, or watch")

    def take(self, screen: Screen) -> None:
        """Take a trigger that is free, or whose holder is lost. Raises SessionError."""
        with self._lock:
            if self._holder not in (None, screen) and not self._lost(self._holder):
                raise SessionError(f"{self._told()}, and is there: ask for the trigger")
            self._give(screen)

    def ask(self, screen: Screen) -> None:
        """Ask its holder for it; a free or lost one is taken."""
        with self._lock:
            if self._holder in (None, screen) or self._lost(self._holder):
                self._give(screen)
            else:
                self._asked = screen
                self._changed()

    def grant(self, screen: Screen) -> None:
        """The holder gives it to the screen that asked. Raises SessionError."""
        with self._lock:
            if self._holder != screen:
                raise SessionError("This screen does not hold the trigger, so it cannot give it away")
            if self._asked is None:
                raise SessionError("No screen asks for the trigger")
            self._give(self._asked)

    def release(self, screen: Screen) -> None:
        """The holder lets it go. Raises SessionError."""
        with self._lock:
            if self._holder != screen:
                raise SessionError("This screen does not hold the trigger")
            self._holder = self._since = None
            self._changed()

    def note_command(self, what: str, person: str) -> None:
        """A command that is not bound by who holds the trigger was given."""
        with self._lock:
            self._command = {"what": what, "person": person, "at": utc_now().isoformat()}
            self._changed()

    def _lost(self, holder: Screen | None) -> bool:
        return holder is not None and self._silent_s(holder.console) >= LOST_S

    def _give(self, screen: Screen) -> None:
        if self._holder != screen:
            self._holder, self._since = screen, utc_now()
        self._asked = None
        self._changed()

    def _told(self) -> str:
        return f"{self._holder.person if self._holder else 'another'}'s screen holds the trigger"
