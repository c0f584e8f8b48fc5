"""Acceptance by itself: a take of which every check is ok, with no flag and every photograph, once it is switched on.

It is recorded as automatic, by the person who switched it on. Each take is looked at once: what an operator undoes
stays undone. Where another take of the expression stands or waits, a person chooses.
"""

import contextvars
import logging
import threading
from collections.abc import Callable

from controller.change_bell import ChangeBell
from controller.sessions.session_state import SessionStateMachine, TakeLine
from controller.studio import Studio
from db.errors import RecordError
from db.models import CheckState, TakeState
from db.takes.take_reviews import TakeReviewData

log = logging.getLogger(__name__)

LOOK_S = 1.0


def accepts_itself(state: SessionStateMachine, take: TakeLine, review: TakeReviewData | None) -> bool:
    """Whether a take that waits to be decided needs nobody to look at it."""
    if take.state is not TakeState.CAPTURED or take.flagged or take.absent or review is None or not review.checks:
        return False
    others = [other for other in state.undecided() if other.position == take.position and other.code != take.code]
    if others or state.accepted(take.position) is not None:
        return False
    return all(check.state is CheckState.OK for check in review.checks)


class AutomaticAcceptance:
    """A thread that runs while it is switched on for a session. changed: told when there is something to show."""

    def __init__(self, studio: Studio, bell: ChangeBell, changed: Callable[[], None]) -> None:
        self._studio = studio
        self._bell = bell
        self._changed = changed
        self._lock = threading.Lock()
        self._session: str | None = None
        self._person = contextvars.copy_context()
        self._looked: set[str] = set()  # takes that are not looked at (again)
        self._thread: threading.Thread | None = None
        self._stopped = False

    def on(self, session: str) -> bool:
        """Whether it is switched on for this session."""
        with self._lock:
            return self._session == session

    def switch(self, session: str, on: bool) -> None:
        """Switch it for an open session; takes that wait by then are left to the operator. Raises NotFound."""
        state = self._studio.state_of(session)
        with self._lock:
            if on:
                self._looked |= {take.code for take in state.takes if take.state is not TakeState.FIRED}
                self._session, self._person = session, contextvars.copy_context()
                if self._thread is None and not self._stopped:
                    self._thread = threading.Thread(target=self._run, name="mien-automatic", daemon=True)
                    self._thread.start()
            elif self._session == session:
                self._session = None
        self._changed()

    def stop(self) -> None:
        """The studio ends."""
        with self._lock:
            self._stopped, self._session = True, None
        self._changed()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        seen = -1
        while True:
            with self._lock:
                session, person = self._session, self._person
                if session is None:
                    self._thread = None
                    return
            if self._bell.any_since(("records",), seen) and not self._bell.quiet:
                seen = self._bell.count
                try:
                    self._look(session, person)
                except RecordError as error:
                    log.warning("not accepted by itself: %s", error)
                except Exception:
                    log.exception("acceptance by itself failed")
            self._bell.wait(self._bell.count, LOOK_S)

    def _look(self, session: str, person: contextvars.Context) -> None:
        state = self._studio.state_of(session)
        for take in state.undecided():
            if take.code in self._looked or (review := self._studio.review(take.code)) is None:
                continue
            self._looked.add(take.code)
            if accepts_itself(state, take, review):
                person.run(self._studio.accept_unasked, take.code)
                log.info("%s is accepted by itself: all its checks are ok", take.code)
                state = self._studio.state_of(session)
