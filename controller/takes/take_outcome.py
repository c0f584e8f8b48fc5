"""What becomes of a take that was fired: whole, or failed with every reason, written down and said."""

from common.take_codes import TakeCode
from controller.errors import describe_failure
from controller.fault_text import by_reason
from controller.firing.fire_timing import Skew
from controller.rig.cameras_aside import CamerasAside, told_of
from controller.rig_file import Rig
from controller.sessions.late_photographs import LatePhotographs
from controller.sessions.session_state import ExpressionState, SessionStateMachine
from controller.sessions.session_store import SessionStore
from controller.take_checks.take_reviewer import TakeReviewer
from controller.takes.incomplete_takes import offer
from controller.takes.take_progress import TakeProgress
from controller.takes.take_result import TakeResult
from db.models import TakeState


class TakeSettlement:
    """Concludes takes. last: the take that was told of last."""

    def __init__(
        self, rig: Rig, records: SessionStore, asides: CamerasAside, reviewer: TakeReviewer, late: LatePhotographs
    ) -> None:
        self._rig = rig
        self._records = records
        self._asides = asides
        self._reviewer = reviewer
        self._late = late
        self.last: TakeResult | None = None

    def coming_in(
        self, script: SessionStateMachine, line: ExpressionState, attempt: int, tally: TakeProgress, trouble: str | None
    ) -> TakeResult:
        """The take so far. trouble: why photographs cannot be filed, on this side."""
        held = f" Photographs cannot be filed: {trouble}" if trouble else ""
        frames, cameras = len(tally.frames), len(tally.cameras)
        self.last = TakeResult(
            take=tally.take,
            session=script.session,
            expression=line.name,
            position=line.position,
            attempt=attempt,
            state=TakeState.FIRED.value,
            frames=frames,
            cameras=cameras,
            skew=tally.skew(),
            faults=tally.faults,
            warnings=tally.warnings,
            message=f"Take {tally.take} is coming in: {frames} of {cameras} photographs are here.{held}",
            aside=tally.aside,
        )
        return self.last

    def conclude(
        self, script: SessionStateMachine, line: ExpressionState, attempt: int, tally: TakeProgress, verb: str
    ) -> TakeResult:
        """Write what became of the take: captured when every camera is settled well, else failed with every reason."""
        if verb == "kept":
            for camera in tally.missing():
                quiet = self._rig.transfer.frame_timeout_s
                tally.add_fault(camera, f"its photograph did not come; nothing came in for {quiet:g} s")
        faults = dict(tally.faults)
        skew = tally.skew() if faults or tally.fully_stamped() else Skew()
        flags: list[str] = []
        if verb == "kept":
            flags = [*skew.flags(self._rig.sync), *by_reason(self._records.deviations(tally.take))]
        reference = f"mien session retake {script.reference(line.position)}"
        cameras = len(tally.cameras)
        state = TakeState.FAILED if faults else TakeState.CAPTURED
        if faults:
            lacking = tally.lacking() if verb == "kept" else []
            keep = offer(self._asides, tally.aside, lacking, script.reference(line.position))
            message = describe_failure(tally.take, cameras, faults, reference, verb, keep)
            self._reviewer.drop(tally.take)
            self._records.failed(tally.take, message, skew)
            late = self._records.look_again(tally.take, lacking) if lacking else None
            if late is not None:
                state, message = late.after, f"{message}\n{self._late.came(late)}"
        else:
            self._records.captured(tally.take, skew, flags, tally.stamps)
            self._reviewer.finish(tally.take)
            aside = f", {told_of(tally.aside)}" if tally.aside else ""
            message = f"Take {tally.take} is whole: {cameras} of {cameras} photographs{aside}."
            standing = script.accepted(line.position)
            if standing is not None:
                message += f" {standing.code} stays accepted unless you accept this one."
            if flags:
                message += f" But {'; '.join(flags)}.\nTo take it again:  {reference}"
        self.last = TakeResult(
            take=tally.take,
            session=script.session,
            expression=line.name,
            position=line.position,
            attempt=attempt,
            state=state.value,
            frames=len(tally.frames),
            cameras=cameras,
            skew=skew,
            faults=faults,
            flags=tuple(flags),
            advice={} if faults else dict(tally.notes),
            warnings=tally.warnings,
            message=message,
            aside=tally.aside,
        )
        return self.last

    def conclude_late(self, tally: TakeProgress) -> str:
        """A take that an earlier controller fired: all that can come of it is in."""
        code = TakeCode.parse(tally.take)
        script = self._records.script(str(code.session))
        line = script.find(str(code.expression))
        return self.conclude(script, line, code.attempt, tally, "kept").message
