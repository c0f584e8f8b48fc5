"""The countdown: counted here, so that every screen shows the same, and ended when there is nobody to answer for it.

At its end the take is fired in the countdown's own thread; why one was not fired is told in last_refusal.
"""

import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.errors import SessionError
from controller.sessions.session_state import ExpressionState
from controller.studio import Studio
from db.engine import utc_now

log = logging.getLogger(__name__)

LONGEST_S = 30
STEP_S = 0.1  # between two looks whether it still may go on
FIRE_S = 20.0  # that stop() waits for a fire in hand


@dataclass(frozen=True)
class FireWish:
    """A fire that was asked for."""

    session: str  # its code
    expression: str | None = None  # what is next by default
    shown: str | None = None  # what the operator was shown as next
    retake: bool = False


@dataclass(frozen=True)
class _Running:
    id: str
    wish: FireWish
    line: ExpressionState  # its expression
    take: str  # the code that it will have
    seconds: float
    end: float  # monotonic s
    by: str  # person


class Countdown:
    """One at a time. changed: told when there is something to show."""

    def __init__(self, studio: Studio, changed: Callable[[], None]) -> None:
        self._studio = studio
        self._changed = changed
        self._wake = threading.Condition()
        self._running: _Running | None = None
        self._ended = ""  # why the one that runs is to end without a fire
        self._stopped = False
        self._firing = False
        self._refusal: dict[str, str] | None = None
        self._threads: list[threading.Thread] = []

    def section(self) -> dict[str, Any] | None:
        """For the page; ends_in_ms is of now."""
        with self._wake:
            running = self._running
        return None if running is None else _section(running)

    @property
    def firing(self) -> bool:
        """Whether its fire has been begun and is not out yet: before a take can be seen."""
        with self._wake:
            return self._firing

    @property
    def last_refusal(self) -> dict[str, str] | None:
        """Why the last fire that was asked for was not fired; None when it was."""
        with self._wake:
            return self._refusal

    def begin(self, wish: FireWish, seconds: float, by: str, may_go_on: Callable[[], str]) -> dict[str, Any]:
        """Count down and fire; at once with 0 seconds. Says what was begun: `countdown`, or the `take`'s code.

        may_go_on: why it has to end, asked again and again; "" for nothing. Raises what stands in the way of a fire
        already now.
        """
        try:
            running, profile = self._start(wish, seconds, by)
        except Exception as error:
            self._refuse(error)
            raise
        try:
            if seconds:
                self._studio.light_up(profile)
        except Exception as error:
            self._over(str(error))
            raise
        self._changed()
        context = contextvars.copy_context()  # the fire is the act of who asked for it
        thread = threading.Thread(
            target=context.run, args=(self._run, running, may_go_on), name="mien-countdown", daemon=True
        )
        self._threads = [old for old in self._threads if old.is_alive()] + [thread]
        shown = _section(running)
        thread.start()
        return {"take": running.take} if shown is None else {"countdown": shown}

    def _start(self, wish: FireWish, seconds: float, by: str) -> tuple[_Running, str]:
        """What runs from now on, and the profile of its take. Raises what stands in the way."""
        if not 0 <= seconds <= LONGEST_S:
            raise SessionError(f"A countdown has 0 to {LONGEST_S} seconds, not {seconds:g}")
        state, line = self._studio.check_fire(wish.session, wish.expression, retake=wish.retake, shown=wish.shown)
        take = state.take_code(line.position)
        with self._wake:
            if self._stopped:
                raise SessionError("The studio is being stopped")
            if self._running is not None:
                raise SessionError("A countdown goes on already: abort it first, or wait")
            end = time.monotonic() + seconds
            self._running = _Running(uuid.uuid4().hex[:12], wish, line, take, seconds, end, by)
            self._ended, self._refusal = "", None
            return self._running, state.profile

    def abort(self, why: str = "") -> bool:
        """End the one that runs without a fire; False when none does, or its fire has begun."""
        with self._wake:
            if self._running is None or time.monotonic() >= self._running.end:
                return False
            self._ended = why or "aborted"
            self._wake.notify_all()
            return True

    def stop(self) -> None:
        """The studio ends: nothing is fired any more."""
        with self._wake:
            self._stopped = True
            self._ended = self._ended or "the studio was stopped"
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(FIRE_S)

    def _run(self, running: _Running, may_go_on: Callable[[], str]) -> None:
        try:
            why = self._count(running, may_go_on)
            if why:
                self._studio.lights_rest()
                self._over("" if why == "aborted" else f"Nothing was fired: {why}")
                return
            wish = running.wish
            with self._wake:
                self._firing = True
            self._over("")
            self._studio.fire(wish.session, str(running.line.position), retake=wish.retake, wait=False)
        except Exception as error:
            if getattr(error, "exit_code", None) is None:
                log.exception("the fire of %s failed", running.take)
            self._refuse(error)
        finally:
            with self._wake:
                self._firing = False
            self._changed()

    def _count(self, running: _Running, may_go_on: Callable[[], str]) -> str:
        """Until its end (""), or why it ended before. What stands in the way is looked at to the last moment."""
        while True:
            why = may_go_on()
            if not why and running.seconds and self._studio.open_session() != running.wish.session:
                why = "the session is not open any more"
            with self._wake:
                if why or self._ended:
                    return why or self._ended
                left = running.end - time.monotonic()
                if left <= 0:
                    return ""
                self._wake.wait(min(left, STEP_S))

    def _over(self, refusal: str) -> None:
        with self._wake:
            self._running = None
        if refusal:
            self._refuse(SessionError(refusal))
        self._changed()

    def _refuse(self, error: Exception) -> None:
        with self._wake:
            self._refusal = {"at": utc_now().isoformat(), "text": str(error)}
        self._changed()


def _section(running: _Running) -> dict[str, Any] | None:
    """For the page; nothing for a fire at once."""
    if running.seconds == 0:
        return None
    return {
        "id": running.id,
        "expression": running.line.name,
        "position": running.line.position,
        "seconds": running.seconds,
        "ends_in_ms": max(0, round(1000 * (running.end - time.monotonic()))),
        "by": running.by,
    }
