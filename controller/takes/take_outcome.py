"""Settlement of a take that was fired: whole, or failed with every reason, written down and said."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from common.take_codes import TakeCode
from common.terminal.phrases import by_reason
from controller.errors import describe_failure
from controller.firing.fire_timing import Skew, worst_cameras
from controller.rig.cameras_aside import CamerasAside, aside_summary
from controller.rig_file import Rig
from controller.sessions.late_photographs import LatePhotographs
from controller.sessions.session_store import SessionStore
from controller.take_checks.take_reviewer import TakeReviewer
from controller.takes.incomplete_takes import offer
from controller.takes.take_progress import TakeProgress
from controller.takes.take_result import TakeResult
from controller.takes.take_under_way import TakeUnderWay
from db.models import TakeState

log = logging.getLogger(__name__)


class TakeSettlement:
    """Settles takes in the records. settled: how often a take became what, since the studio was started."""

    def __init__(
        self,
        rig: Rig,
        records: SessionStore,
        asides: CamerasAside,
        reviewer: TakeReviewer,
        late: LatePhotographs,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """changed: told when there is another last result."""
        self._rig = rig
        self._records = records
        self._asides = asides
        self._reviewer = reviewer
        self._late = late
        self._last: TakeResult | None = None
        self.settled: Counter[str] = Counter()
        self._changed = changed

    @property
    def last(self) -> TakeResult | None:
        """The result that was told last."""
        return self._last

    def _tell(self, result: TakeResult) -> TakeResult:
        self._last = result
        self._changed()
        return result

    def coming_in(self, take: TakeUnderWay, trouble: str) -> TakeResult:
        """The take so far. trouble: why photographs cannot be filed, on this side; "" for nothing."""
        held = f" Photographs cannot be filed: {trouble}" if trouble else ""
        found = _result(take, TakeState.FIRED, take.progress.skew(), take.progress.faults, "")
        came = f"{found.frames} of {found.cameras} photographs are here"
        return self._tell(replace(found, message=f"Take {take.code} is coming in: {came}.{held}"))

    def settle(self, take: TakeUnderWay, *, fired: bool = True) -> TakeResult:
        """Write what became of the take: captured when every camera is settled well, else failed with every reason.

        fired: False when not every camera could be armed, so that there is no photograph to wait for.
        """
        progress = take.progress
        if fired:
            for camera in progress.missing():
                quiet = self._rig.transfer.frame_timeout_s
                progress.add_fault(camera, f"its photograph did not come; nothing came in for {quiet:g} s")
        faults = dict(progress.faults)
        skew = progress.skew() if faults or progress.fully_stamped() else Skew()
        flags: tuple[str, ...] = ()
        if fired:
            measured = skew.flags(self._rig.sync, worst_cameras(progress.stamps))
            flags = (*measured, *by_reason(self._records.deviations(take.code)))
        if faults:
            state, message = self._fail(take, faults, skew, fired)
        else:
            state, message = self._keep(take, skew, flags)
        advice = {} if faults else dict(progress.notes)
        self.settled[state.value] += 1
        log.info("%s is %s", take.code, state.value, extra={"take": take.code})
        for camera, reason in faults.items():
            log.warning("%s: %s: %s", take.code, camera, reason, extra={"take": take.code, "camera": camera})
        return self._tell(_result(take, state, skew, faults, message, flags, advice))

    def settle_late(self, progress: TakeProgress) -> str:
        """Settle a take that an earlier controller fired, once all that can come of it is in; what is to be told."""
        code = TakeCode.parse(progress.take)
        state = self._records.state_of(str(code.session))
        take = TakeUnderWay(state, state.find(str(code.expression)), code.attempt, progress, state.profile)
        return self.settle(take).message

    def _fail(self, take: TakeUnderWay, faults: Mapping[str, str], skew: Skew, fired: bool) -> tuple[TakeState, str]:
        """Record a failure; captured after all where the last photograph came at that very moment."""
        progress = take.progress
        lacking = progress.lacking() if fired else []
        keep = offer(self._asides, progress.aside, lacking, take.reference)
        verb = "kept" if fired else "fired"
        message = describe_failure(take.code, len(progress.cameras), faults, _retake(take), verb, keep)
        self._reviewer.drop(take.code)
        self._records.failed(take.code, message, skew)
        late = self._records.look_again(take.code, lacking) if lacking else None
        if late is not None:
            return late.after, f"{message}\n{self._late.arrived(late)}"
        return TakeState.FAILED, message

    def _keep(self, take: TakeUnderWay, skew: Skew, flags: tuple[str, ...]) -> tuple[TakeState, str]:
        progress, cameras = take.progress, len(take.progress.cameras)
        self._records.captured(take.code, skew, flags, progress.stamps)
        self._reviewer.finish(take.code)
        aside = f", {aside_summary(progress.aside)}" if progress.aside else ""
        message = f"Take {take.code} is whole: {cameras} of {cameras} photographs{aside}."
        standing = take.session_state.accepted(take.expression.position)
        if standing is not None:
            message += f" {standing.code} stays accepted unless you accept this one."
        if flags:
            message += f" But {'; '.join(flags)}.\nTo take it again:  {_retake(take)}"
        return TakeState.CAPTURED, message


def _retake(take: TakeUnderWay) -> str:
    return f"mien session retake {take.reference}"


def _result(
    take: TakeUnderWay,
    state: TakeState,
    skew: Skew,
    faults: Mapping[str, str],
    message: str,
    flags: tuple[str, ...] = (),
    advice: Mapping[str, str] | None = None,
) -> TakeResult:
    progress = take.progress
    return TakeResult(
        take=take.code,
        session=take.session_state.session,
        expression=take.expression.name,
        position=take.expression.position,
        attempt=take.attempt,
        state=state.value,
        frames=len(progress.frames),
        cameras=len(progress.cameras),
        skew=skew,
        faults=faults,
        flags=flags,
        advice=advice or {},
        warnings=progress.warnings,
        message=message,
        aside=progress.aside,
    )
