"""The studio: all that an operator does with it, put together; the HTTP API and the commands ask it alone.

with Studio(load_settings(home)) as studio:
    studio.wait_for_cameras(timeout_s=30)
    session = studio.start_session("S012")
    result = studio.fire(session, "neutral")
    if result.kept:
        studio.accept(session, result.take)
"""

from collections.abc import Collection, Mapping
from concurrent.futures import Future

from common.take_codes import TakeCode
from controller.errors import SessionError
from controller.firing.firing_lock import FIRING
from controller.preflight.start_requirements import lacking, look, require_decision
from controller.rig_file import DEFAULT_PROFILE
from controller.rig_operations import RigOperations
from controller.sessions.farm_handoff import FarmHandoff, hand_over
from controller.sessions.operator_decisions import ReassignedTake
from controller.sessions.session_queries import SessionSummary
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from controller.side_processes.preview_scan import PreviewScan
from controller.takes.incomplete_takes import accept_take
from controller.takes.take_progress import TakeProgress
from controller.takes.take_result import TakeResult
from controller.takes.take_under_way import TakeUnderWay
from db.engine import reading
from db.models import SessionState
from db.takes.decision_undo import Undone
from db.takes.farm_handoff import HandOff
from db.takes.late_calibration import CalibratedTakes
from db.takes.shown_photographs import may_show_sheet
from db.takes.take_reviews import TakeReviewData, count_advice, last_whole


class Studio(RigOperations):
    """A rig's sessions and takes, on top of RigOperations. Methods may be called from any thread; one fire at a time.

    A context manager, see StudioParts.
    """

    under_way: TakeUnderWay | None = None  # the take that was planned last; it may be settled by now

    # --- sessions ---

    def add_calibration(self, method: str, data: Mapping[str, object]) -> int:
        """Keep a calibration of this rig (FaceScape's params.json keys, millimetres) and return its version.

        Takes fired from now on refer to it; Decisions.calibrate gives it to those that have none.
        """
        return self.records.add_calibration(method, data)

    def begin_session(
        self,
        subject: str,
        protocol: str | None = None,
        version: int | None = None,
        profile: str = DEFAULT_PROFILE,
        *,
        without: Collection[str] = (),
        consent_later: bool = False,
    ) -> str:
        """start_session, once nothing lacks that a session needs but what the operator decided to do `without`.

        Raises NotPrepared, naming all that lacks.
        """
        decided = require_decision(subject, self.lacking(profile), without)
        return self.start_session(subject, protocol, version, profile, without=decided, consent_later=consent_later)

    def lacking(self, profile: str = DEFAULT_PROFILE) -> dict[str, str]:
        """What a session that began now would lack, by name. Raises ConfigurationError for an unknown profile."""
        self.rig.profile(profile)
        condition = self._condition()
        roster = self.link.roster().without(condition.aside)
        return lacking(look(self.rig, roster, self.link.nodes(), condition, set(self.lag_store.used(profile))))

    def start_session(
        self,
        subject: str,
        protocol: str | None = None,
        version: int | None = None,
        profile: str = DEFAULT_PROFILE,
        *,
        without: Mapping[str, str] | None = None,
        consent_later: bool = False,
    ) -> str:
        """Open a session of a subject (code) under a protocol (FaceScape's 20 expressions) and return its code.

        The rig is not looked at: see begin_session. without: what is recorded as lacking. consent_later: it begins
        before a consent is recorded. Raises ConsentError for a subject who does not consent.
        """
        if self.settings.setting_up:
            raise SessionError("This studio is being set up and records nothing; for sessions:  mien studio serve")
        self.rig.profile(profile)
        session = self.records.start_session(
            subject, protocol, version, profile, consent_later=consent_later, without=without
        )
        self.reviewer.warm_up()
        return session

    def resume_session(self, session: str) -> SessionStateMachine:
        """Go on with a paused session, where it stands. Raises StateConflict when another one is open."""
        self.records.resume(session)
        self.reviewer.warm_up()
        return self.records.state_of(session)

    def state_of(self, session: str) -> SessionStateMachine:
        """The session as it stands: expressions, takes, what comes next."""
        return self.records.state_of(session)

    def pause_session(self, session: str) -> None:
        """open -> paused: the rig is free for another session. Raises StateConflict, NotFound."""
        self.records.pause(session)

    def open_session(self) -> str | None:
        """The code of the session that is open on this rig."""
        return self.records.open_session()

    def sessions(self, *states: SessionState) -> list[SessionSummary]:
        """The rig's sessions in these states (all by default), newest first."""
        return self.records.sessions(*states)

    def hand_off(self, session: str) -> HandOff:
        """How the session's accepted takes stand for the farm."""
        return self.decisions.hand_off(session)

    def skip(self, session: str, expression: str, reason: str) -> None:
        """Do without an expression. Raises SessionError when it has a take that stands, or without a reason."""
        self.records.skip(self.state_of(session), expression, reason)

    def unskip(self, session: str, expression: str) -> bool:
        """Ask for a skipped expression after all; False when it was not skipped."""
        return self.records.unskip(self.state_of(session), expression)

    # --- takes ---

    def fire(
        self,
        session: str,
        expression: str | None = None,
        *,
        retake: bool = False,
        profile: str | None = None,
        wait: bool = True,
        shown: str | None = None,
    ) -> TakeResult:
        """Fire one take and wait until it is whole or known not to be; what is next by default.

        shown: what the operator was shown as next; when another one is next by now, nothing is fired.

        Another take may be fired, from another thread, as soon as every photograph of this one is safe on its node:
        the transfer goes on behind. wait=False returns then, with a result that is `coming_in`; so does a take whose
        photographs cannot be filed for a reason on this side.
        profile: settings and lights of this take; the session's by default. Raises SessionError when the session does
        not allow it, ConsentError when the subject has withdrawn, RigNotReady when a camera is not there and
        LightsFailed when the scene cannot be sent: nothing was fired then and no attempt is used up. A take that fails
        is returned as failed, not raised.
        """
        with self.firing.hold():
            try:
                take = self._plan_take(session, expression, retake, profile, shown)
                future = self._fire(take)
                if not future.done():
                    take.progress.wait_spooled(self.rig.transfer.frame_timeout_s)
            finally:
                self.lights.rest()
        result = self.completion.wait(future) if wait or future.done() else None
        return self.settlement.coming_in(take, self.ingest.trouble) if result is None else result

    def check_fire(
        self, session: str, expression: str | None = None, *, retake: bool = False, shown: str | None = None
    ) -> tuple[SessionStateMachine, ExpressionState]:
        """The session and the expression that fire() would fire now. Raises as it does; nothing is lit or written."""
        if self.firing.held:
            raise SessionError(FIRING)
        state, line, _ = self._may_fire(session, expression, retake, shown)
        return state, line

    def light_up(self, profile: str) -> None:
        """Light a profile's scene ahead of a fire. Raises LightsFailed."""
        if (scene := self.rig.scene_of(profile)) is not None:
            self.lights.show(scene)

    def lights_rest(self) -> None:
        """The lights between takes, where nothing is fired after all."""
        if not self.firing.held:
            self.lights.rest()

    def accept_unasked(self, take: str) -> TakeLine:
        """Accept a take that was captured, recorded as automatic. Raises StateConflict, ConsentError."""
        self.records.accept(take, automatic=True)
        return self.records.take(take)

    def retake(self, session: str, expression: str, profile: str | None = None) -> TakeResult:
        """Fire an expression again. The takes before stay what they are: of two whole ones the operator chooses."""
        return self.fire(session, expression, retake=True, profile=profile)

    def accept(
        self, session: str, wanted: str | None = None, *, without: Collection[str] = (), reason: str = ""
    ) -> TakeLine:
        """Accept a take: a code means exactly that one, an expression the one that is shown, None the one that waits.

        Other whole takes of the expression are put beside it: see choose(). without, reason: the last take, which
        failed, is kept although it lacks these cameras' photographs. Raises SessionError saying its state for a take
        that cannot be accepted, and AsideRefused when more would be missing than may.
        """
        state = self.records.state_of(session)
        code, _ = accept_take(self.records, self.asides, state, wanted, without, reason)
        if without:
            self.reviewer.finish(code)  # it failed, so nobody has judged it
        return self.records.take(code)

    def choose(self, session: str, take: str) -> TakeLine:
        """This whole take stands for its expression from now on, whatever was decided before. Raises SessionError."""
        found = self.records.state_of(session).find_take(take)
        if found is None:
            raise SessionError(f"Say which take, as in {session}-E02-1; see: mien session show {session}")
        self.records.accept(found.code, choose=True)
        return self.records.take(found.code)

    def close(
        self,
        session: str,
        *,
        incomplete: bool = False,
        keep: Collection[str] = (),
        drop: Collection[str] = (),
        keep_all: bool = False,
    ) -> FarmHandoff:
        """Close the session: the farm takes over.

        keep, drop, keep_all: what becomes of whole takes that nobody has accepted; DecisionNeeded is raised where that
        is not said. Raises SessionError, naming what is not accepted yet. Cameras that were aside until its end are
        back.
        """
        handed = hand_over(self.records, self.decisions, self.store, session, incomplete, keep, drop, keep_all)
        self.asides.lift_over()
        return handed

    def undo(self, session: str, take: str | None = None) -> Undone:
        """Take back the session's last decision, or the last about one take (its code)."""
        return self.decisions.undo(session, take)

    def reassign(self, session: str, take: str, expression: str) -> ReassignedTake:
        """Give a take to another expression of its session. Raises SessionError for one that does not exist."""
        return self.decisions.reassign(self.state_of(session), take, expression)

    def calibrate(self, session: str, take: str | None = None, version: int | None = None) -> list[CalibratedTakes]:
        """Give a calibration to a session's takes that have none, or to one take: the nearest in time by default."""
        return self.decisions.calibrate(session, take, version)

    def reopen(self, session: str) -> SessionState:
        """closed -> open, or paused when another one is open, until the farm has begun with it."""
        return self.decisions.reopen(session)

    @property
    def last_take(self) -> TakeResult | None:
        """The take that was told of last."""
        return self.settlement.last

    # --- reviews ---

    def review(self, take: str, wait_s: float = 0.0) -> TakeReviewData | None:
        """The checks of a take, waiting up to `wait_s` for those under way; None without a review. Raises NotFound."""
        return self.reviewer.result(take, wait_s)

    def review_again(self, take: str) -> None:
        """Look once more at a take that is whole. Raises NotFound; SessionError for a take that is not whole."""
        self.reviewer.again(take)

    def advice_counts(self, session: str) -> Mapping[str, int]:
        """By take of a session that was reviewed, how many results deserve a look."""
        with reading(self.engine) as tx:
            return count_advice(tx, session)

    def last_whole_take(self, session: str) -> str | None:
        """The code of the session's whole take that was fired last."""
        with reading(self.engine) as tx:
            return last_whole(tx, session)

    def is_contact_sheet(self, sha256: str) -> bool:
        """Whether a review has a contact sheet of this hash that may be shown: nobody has withdrawn."""
        with reading(self.engine) as tx:
            return may_show_sheet(tx, sha256)

    def contact_sheet(self, sha256: str) -> bytes:
        """A review's contact sheet, as JPEG."""
        with self.store.open(sha256) as file:
            return file.read()

    def preview_scan(self) -> PreviewScan | None:
        """How the coarse scan of the take that was whole last stands; None without one."""
        return self.side.scan()

    def scan_mesh(self, sha256: str) -> bytes | None:
        """The GLB of a preview scan; None when there is none of this hash, or its subject has withdrawn."""
        return self.side.mesh(sha256)

    def photographs_of(self, take: str) -> Mapping[str, str]:
        """A take's photographs: their hashes, by camera."""
        return self.records.photographs(take)

    def photograph(self, sha256: str) -> bytes:
        """A photograph's file. Whether it may be shown is for who asks to know."""
        with self.store.open(sha256) as file:
            return file.read()

    # --- one fire ---

    def _may_fire(
        self, session: str, expression: str | None, retake: bool, shown: str | None
    ) -> tuple[SessionStateMachine, ExpressionState, dict[str, str]]:
        """What is fired, and who is aside and why."""
        state = self.records.state_of(session)
        line = state.find(expression) if expression is not None else state.check_next(shown)
        state.check_fire(line.position, retake)
        self.decisions.require_consent(session)
        return state, line, self._require_rig()

    def _plan_take(
        self, session: str, expression: str | None, retake: bool, profile: str | None, shown: str | None
    ) -> TakeUnderWay:
        """Check, light and journal the take that is to be fired; from now on what comes in for it is counted."""
        state, line, aside = self._may_fire(session, expression, retake, shown)
        profile = profile or state.profile
        scene = self.rig.scene_of(profile)
        lit = self.lights.show(scene) if scene is not None else self.lights.show_held()
        code = self.records.plan(session, line.position, profile, aside)
        progress = TakeProgress(code, (camera.name for camera in self.rig.cameras), (), aside, self._moved)
        self.events.open(progress)
        self.under_way = TakeUnderWay(state, line, TakeCode.parse(code).attempt, progress, profile, lit)
        self._moved("")
        return self.under_way

    def _moved(self, camera: str) -> None:
        self.bell.ring("take", camera)

    def _fire(self, take: TakeUnderWay) -> "Future[TakeResult]":
        """Fire it; what becomes of it, when its photographs are in or known not to come."""
        if self.take_firing.fire(take):
            return self.completion.begin(take.progress, lambda: self.settlement.settle(take))
        nothing_fired: Future[TakeResult] = Future()
        nothing_fired.set_result(self.settlement.settle(take, fired=False))
        return nothing_fired
