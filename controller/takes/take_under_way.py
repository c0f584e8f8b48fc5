"""A take under way: what belongs together from its journal entry until its result, passed on as one object."""

from dataclasses import dataclass

from controller.lighting.sacn_sender import LightingRecord
from controller.sessions.session_state import ExpressionState, SessionStateMachine
from controller.takes.take_progress import TakeProgress


@dataclass(frozen=True)
class TakeUnderWay:
    """One take between its plan and its settlement. Everything is fixed but what comes in, which is in `progress`."""

    session_state: SessionStateMachine  # its session, as it stood when the take was planned
    expression: ExpressionState  # that it is of
    attempt: int  # counts from 1
    progress: TakeProgress  # its stamps, photographs and faults; thread-safe
    profile: str  # the settings profile that it is fired with
    lit: LightingRecord | None = None  # the light scene that was sent for it; None without one

    @property
    def code(self) -> str:
        """The take's code, as in "S012-1-E07-2"."""
        return self.progress.take

    @property
    def reference(self) -> str:
        """How commands name its expression, as in "S012-1-E07"."""
        return self.session_state.reference(self.expression.position)
