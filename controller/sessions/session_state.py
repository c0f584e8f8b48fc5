"""A session as a state machine over its protocol's expressions: what may be fired, accepted, taken again, closed.

SQL holds the truth; this is one reading of it, and says what the operator may do next or why not. What follows from
which states is in db.session_rules.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.take_codes import ExpressionCode, SessionCode, TakeCode, TakeLabel, TakeReference
from controller.errors import SessionError
from controller.rig_file import DEFAULT_PROFILE
from db import session_rules as rules
from db.consents.capture_consent import DownstreamUse
from db.models.capture import AbsenceKind, SessionState, TakeState
from db.takes.missing_photographs import Absence


@dataclass(frozen=True)
class ExpressionState:
    """One expression of the protocol."""

    position: int  # in the protocol, from 1
    name: str  # as in "smile"
    instruction: str = ""  # what the subject is told


@dataclass(frozen=True)
class TakeLine:
    """One take of one expression, as the database has it."""

    code: str  # as in "S012-1-E07-2"
    position: int  # of its expression
    attempt: int  # counts from 1
    state: TakeState  # as recorded
    problem: str | None = None  # why it failed; of a take that is whole, why it is flagged
    command_skew_ms: float | None = (
        None  # latest minus earliest error of the command; None was not measured, in all three
    )
    clock_uncertainty_ms: float | None = None  # the worst camera's
    exposure_skew_ms: float | None = None  # latest minus earliest true exposure
    exposure_source: str = "not_measured"  # where the exposure moments are from
    frames: int = 0  # photographs that are filed
    profile: str = DEFAULT_PROFILE  # the settings profile that it was fired with
    setup: Mapping[str, Any] | None = None  # what was sent for it, exposure settings and lights
    absent: tuple[Absence, ...] = ()  # the cameras without which it is whole, and why
    dropped: bool = False  # whole, and nobody wants it
    former: tuple[str, ...] = ()  # codes that it had before it was given to this expression

    @property
    def standing(self) -> str:
        """Its state in words."""
        return "dropped" if self.dropped else str(self.state)

    @property
    def aside(self) -> tuple[str, ...]:
        """The cameras that were aside when it was planned."""
        return tuple(absence.camera for absence in self.absent if absence.kind is AbsenceKind.ASIDE)

    @property
    def flagged(self) -> bool:
        """Whole, but something is to be said of it, as a number over its limit: the operator should look at it."""
        return self.problem is not None and self.state is not TakeState.FAILED


@dataclass(frozen=True)
class SessionStateMachine:
    """A session: its expressions in order and all its takes."""

    session: str  # its code
    subject: str  # the subject's code
    state: SessionState  # open, paused or closed
    expressions: tuple[ExpressionState, ...]  # in the protocol's order
    takes: tuple[TakeLine, ...] = field(default=())  # in the order in which they were planned
    profile: str = DEFAULT_PROFILE  # the settings profile of its takes
    skipped: Mapping[int, str] = field(default_factory=dict)  # position -> why
    # position -> the highest attempt of takes that are of another expression now
    given_away: Mapping[int, int] = field(default_factory=dict)
    consent: str = "given"  # how the subject stands, see db.consents.capture_consent.CaptureConsent
    consent_later: DownstreamUse | None = None  # who let it begin before a consent was recorded, and when
    without: Mapping[str, str] = field(default_factory=dict)  # what it began without -> what was lacking

    def takes_of(self, position: int) -> Sequence[TakeLine]:
        return sorted((take for take in self.takes if take.position == position), key=lambda take: take.attempt)

    def kept(self, position: int) -> TakeLine | None:
        """The whole take that is shown for the expression: the latest that waits to be decided, else the accepted."""
        return rules.kept(self.takes_of(position))

    def shown(self, position: int) -> TakeLine | None:
        """The take that is shown for the expression, and that its name means; the last one where none is whole."""
        return rules.shown(self.takes_of(position))

    def accepted(self, position: int) -> TakeLine | None:
        return rules.accepted(self.takes_of(position))

    def done(self, position: int) -> bool:
        """Accepted, or skipped."""
        return rules.done(self._states(position), skipped=position in self.skipped)

    def undecided(self) -> list[TakeLine]:
        """Whole takes that nobody has accepted or dropped, by expression and attempt."""
        waiting = [take for take in self.takes if take.state is TakeState.CAPTURED]
        return sorted(waiting, key=lambda take: (take.position, take.attempt))

    def next_expression(self) -> ExpressionState | None:
        """What is next, wherever it is shown, and what a fire without a name fires: the one rule.

        The first expression that is neither accepted nor skipped and has no take to wait for or to decide on.
        """
        for line in self.expressions:
            if rules.waits_to_be_fired(self._states(line.position), skipped=line.position in self.skipped):
                return line
        return None

    def check_next(self, shown: str | None = None) -> ExpressionState:
        """What is next. Raises SessionError when nothing is, or when the operator was shown another one."""
        self._check_open()
        found = self.next_expression()
        if shown is not None and (found is None or self.find(shown) != found):
            now = "nothing is" if found is None else f"{found.name} is"
            raise SessionError(f"{self.find(shown).name} was shown as next, and {now} next by now: look again")
        if found is not None:
            return found
        if waiting := self.undecided():
            listed = "\n".join(f"  mien session accept {take.code}" for take in waiting)
            raise SessionError(f"Nothing is left to fire in {self.session}; these wait to be decided:\n{listed}")
        if coming := [take.code for take in self.takes if take.state in rules.UNDER_WAY]:
            raise SessionError(f"{', '.join(coming)} is still coming in; wait until its photographs are here")
        raise SessionError(
            f"Every expression of {self.session} is accepted or skipped. To end it:  mien session close {self.session}"
        )

    def find_take(self, wanted: str) -> TakeLine | None:
        """The take of this code ("S012-1-E07-2", "E07-2"), also by one that it had; None when it is no take's code.

        Raises SessionError for the code of a take that does not exist.
        """
        found = TakeReference.find(wanted)
        if found is None or found.attempt is None or found.session not in (None, self.session):
            return None
        code = str(TakeCode.of(self.session, found.position, found.attempt))
        for take in self.takes:
            if take.code == code:
                return take
        for take in self.takes:
            if code in take.former:
                raise SessionError(f"{code} was given to another expression; it is {take.code} now")
        raise SessionError(f"There is no take {code}; see: mien session show {self.session}")

    def find(self, wanted: str) -> ExpressionState:
        """An expression by name, position, label ("2_smile"), reference ("S012-E02") or take ("S012-E02-1")."""
        label, reference = TakeLabel.find(wanted), TakeReference.find(wanted)
        position = int(wanted) if wanted.isdecimal() else None
        if reference is not None and reference.session in (None, self.session):
            position = reference.position
        for line in self.expressions:
            if wanted == line.name or position == line.position or label == TakeLabel(line.position, line.name):
                return line
        names = ", ".join(line.name for line in self.expressions)
        raise SessionError(f"session {self.session} has no expression {wanted!r}; it has {names}")

    def attempt(self, position: int) -> int:
        taken = max((take.attempt for take in self.takes_of(position)), default=0)
        return max(taken, self.given_away.get(position, 0)) + 1

    def reference(self, position: int) -> str:
        """How commands name the expression of this session, as in "S012-E07"."""
        return str(ExpressionCode(SessionCode.parse(self.session), position))

    def take_code(self, position: int) -> str:
        """The code of the take that would be fired next, as in "S012-E07-1"."""
        return str(TakeCode.of(self.session, position, self.attempt(position)))

    def check_fire(self, position: int, retake: bool = False) -> None:
        """Raise SessionError when the expression may not be fired now (again, with `retake`)."""
        self._check_open()
        self._check_settled(position)
        standing = self.kept(position)
        if standing is not None and not retake:
            raise SessionError(
                f"{standing.code} is already {standing.state.value}. To take it again beside it:  "
                f"mien session retake {self.reference(position)}"
            )
        if retake and not self.takes_of(position):
            raise SessionError(
                f"{self.reference(position)} has no take yet. First:  mien session fire {self.reference(position)}"
            )

    def check_accept(self, position: int) -> TakeLine:
        """The take that an accept of an expression means: the one that is shown. Raises SessionError without one."""
        self._check_open()
        standing = self.kept(position)
        if standing is None:
            takes = self.takes_of(position)
            told = f"its last take, {takes[-1].code}, is {takes[-1].standing}" if takes else "it has no take yet"
            verb = "retake" if takes else "fire"
            raise SessionError(
                f"Nothing to accept for {self.reference(position)}: {told}. First:  "
                f"mien session {verb} {self.reference(position)}"
            )
        return standing

    def check_accept_take(self, take: TakeLine) -> TakeLine:
        """Exactly this take may be accepted. Raises SessionError saying its state."""
        self._check_open()
        if take.state in rules.KEPT:
            return take
        reference = self.reference(take.position)
        told = f"{take.code} is not accepted: it is {take.standing}"
        if take.state is TakeState.SUPERSEDED:
            stands = self.accepted(take.position)
            other = f", and {stands.code} stands for {reference}" if stands else ""
            raise SessionError(f"{told}{other}. To have it after all:  mien session choose {take.code}")
        if take.state in rules.UNDER_WAY:
            raise SessionError(f"{told}; wait until its photographs are here")
        raise SessionError(f"{told}. To take it again:  mien session retake {reference}")

    def check_keep(self, position: int, attempt: int | None = None) -> TakeLine:
        """The failed take that may be kept without a photograph, the last by default.

        Raises SessionError when there is none, or when a later attempt stands.
        """
        self._check_open()
        reference = self.reference(position)
        takes = self.takes_of(position)
        if not takes:
            raise SessionError(f"{reference} has no take yet. First:  mien session fire {reference}")
        last = takes[-1] if attempt is None else next((take for take in takes if take.attempt == attempt), None)
        if last is None:
            raise SessionError(f"{reference} has no attempt {attempt}; see: mien session show")
        standing = next((take for take in takes if take.attempt > last.attempt and take.state in rules.KEPT), None)
        if standing is not None:
            raise SessionError(f"{last.code} is not kept: {standing.code} is {standing.state.value} and stands for it")
        if last.state in rules.UNDER_WAY:
            raise SessionError(f"{last.code} is still coming in; wait until its photographs are here")
        if last.state is not TakeState.FAILED:
            raise SessionError(
                f"{last.code} is {last.state.value} and lacks no photograph. To accept it:  "
                f"mien session accept {reference}"
            )
        return last

    def check_skip(self, position: int, reason: str) -> None:
        """Raise SessionError when the expression may not be skipped now."""
        self._check_open()
        reference = self.reference(position)
        if not reason.strip():
            raise SessionError(f"Say why {reference} is skipped:  mien session skip {reference} --reason '...'")
        standing = rules.occupying(self.takes_of(position))
        if standing is not None:
            raise SessionError(f"{reference} is not skipped: {standing.code} is {standing.state.value}")

    def check_close(self, incomplete: bool = False, kept: Collection[int] = ()) -> None:
        """Raise SessionError while a take is under way, or an expression is neither accepted nor skipped.

        The latter is allowed with `incomplete`. kept: positions of which a take is accepted by closing. A paused
        session may be closed too.
        """
        if self.state is not SessionState.PAUSED:
            self._check_open()
        self._check_settled()
        open_lines = [line for line in self.expressions if not self.done(line.position) and line.position not in kept]
        if open_lines and not incomplete:
            whole = {line.position: f"  ({t.code} waits to be accepted)" for line in open_lines
                     if (t := self.kept(line.position)) is not None}  # fmt: skip
            listed = "\n".join(
                f"  {self.reference(line.position)}  {line.name}{whole.get(line.position, '')}" for line in open_lines
            )
            raise SessionError(
                f"Session {self.session} cannot be closed: {len(open_lines)} of {len(self.expressions)} expressions "
                f"have no accepted take and are not skipped.\n{listed}\n"
                f"To close it without them:  mien session close {self.session} --incomplete"
            )

    def _states(self, position: int) -> list[TakeState]:
        return [take.state for take in self.takes if take.position == position]

    def _check_open(self) -> None:
        if self.state is SessionState.PAUSED:
            raise SessionError(f"Session {self.session} is paused. To go on:  mien session resume {self.session}")
        if self.state is not SessionState.OPEN:
            raise SessionError(
                f"Session {self.session} is {self.state.value}; nothing more can be fired or decided in it. Until the "
                f"farm has begun with it:  mien session reopen {self.session}"
            )

    def _check_settled(self, position: int | None = None) -> None:
        """No take under way; with a position, one of another expression may still be coming in."""
        for take in self.takes:
            if rules.blocks_fire(take.state, same_expression=position in (None, take.position)):
                raise SessionError(f"{take.code} is still coming in; wait until its photographs are here")
