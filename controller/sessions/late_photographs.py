"""Late photographs, which come after their take was settled: what its record says of them, and the operator is told."""

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from sqlalchemy import Engine

from common.take_codes import TakeCode
from controller.firing.fire_timing import Skew
from controller.rig_file import SyncLimits
from db.captures import get_take
from db.engine import reading, utc_now
from db.errors import RecordError
from db.models import Take, TakeState
from db.takes.missing_photographs import LateArrival

log = logging.getLogger(__name__)

KEPT = 20  # photographs that are told of
TOLD_S = 600.0  # for so long
MOST = 2000  # characters of what was said before


class LatePhotographs:
    """Tells of photographs that came late, and has what is whole now looked at. Called from ingest threads."""

    def __init__(self, engine: Engine, look_at: Callable[[str], None]) -> None:
        self._engine = engine
        self._look_at = look_at
        self._told: deque[tuple[float, str]] = deque(maxlen=KEPT)  # monotonic s, and what was told

    @property
    def messages(self) -> list[str]:
        """What was told in the last ten minutes; what came before has been seen, or is of another subject."""
        oldest = time.monotonic() - TOLD_S
        return [message for at, message in list(self._told) if at >= oldest]

    def arrived(self, arrival: LateArrival) -> str:
        """What to tell the operator; the photograph and what it changes are recorded already."""
        message = f"{arrival.take}: the photograph of {arrival.camera} came late; see: mien session show"
        with suppress(RecordError), reading(self._engine) as tx:  # it is told in less words while the records are away
            take = get_take(tx, arrival.take)
            message = arrival_text(arrival, take, str(TakeCode.parse(take.code).expression), utc_now())
        log.info("%s", message, extra={"take": arrival.take, "camera": arrival.camera})
        self._told.append((time.monotonic(), message))
        if not arrival.lacking and arrival.after is not TakeState.SUPERSEDED:
            self._look_at(arrival.take)
        return message


def problem_with_arrival(arrival: LateArrival, take: Take, limits: SyncLimits, now: datetime) -> str:
    """What the take's row says from now on; what it said before is not lost."""
    before = (take.problem or "").strip()
    came = f"the photograph of {arrival.camera} came late, {since_fire(take.fired_at, now)}"
    if arrival.after is TakeState.FAILED:
        return f"{before}\n{came[0].upper()}{came[1:]}; still missing: {', '.join(arrival.lacking)}."
    if not arrival.completes:
        return f"{came}; before: {before}" if before else came
    said = [*flags_of(take, limits), f"{came}, and it is whole since"]
    if arrival.stands is not None:
        said.append(f"{arrival.stands} stands for the expression")
    faults = faults_summary(before)
    return "; ".join([*said, f"it had failed: {faults}"] if faults else said)


def arrival_text(arrival: LateArrival, take: Take, reference: str, now: datetime) -> str:
    """For the operator, with what may be done now. reference: the expression, as commands name it."""
    came = f"{arrival.take}: the photograph of {arrival.camera} came late, {since_fire(take.fired_at, now)}."
    if arrival.lacking:
        return f"{came} Still missing: {', '.join(arrival.lacking)}."
    if not arrival.completes:
        return f"{came} Nothing is missing of it any more; it is {arrival.after}."
    if arrival.after is TakeState.SUPERSEDED:
        return f"{came} It is whole now and kept; {arrival.stands} stands for the expression."
    stands = f" {arrival.stands} stays accepted unless you accept this one." if arrival.stands else ""
    return f"{came} It had failed and is whole now.{stands} To keep it:  mien session accept {reference}"


def since_fire(fired_at: datetime | None, now: datetime) -> str:
    """How long after the fire, roughly."""
    seconds = (now - fired_at).total_seconds() if fired_at is not None else 0.0
    if seconds < 120:
        return f"{seconds:.0f} s after the fire"
    return f"{seconds / 60:.0f} min after the fire" if seconds < 7200 else f"{seconds / 3600:.1f} h after the fire"


def flags_of(take: Take, limits: SyncLimits) -> list[str]:
    """Why the take is not good enough in sync, by its recorded numbers."""
    return Skew(take.command_skew_ms, take.clock_uncertainty_ms, take.exposure_skew_ms).flags(limits)


def faults_summary(problem: str, but: frozenset[str] = frozenset()) -> str:
    """The cameras and reasons of errors.describe_failure's text in one line, but for those cameras; "" for none."""
    lines = [line.split(None, 1) for line in problem.splitlines() if line.startswith("  ")]
    summary = "; ".join(": ".join(part.strip() for part in line) for line in lines if line and line[0] not in but)
    return summary[:MOST] if lines else problem[:MOST]
