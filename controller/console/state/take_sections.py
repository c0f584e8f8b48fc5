"""The section of the take that was told of last, or is under way, and what the cameras' tiles show of it.

While a fire's quiet window is open it is composed from what is in memory alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.console.state.known_values import known, rounded
from controller.console.state.record_facts import RecordFacts
from controller.firing.fire_timing import NS_PER_MS, Skew
from controller.sessions.session_state import TakeLine
from controller.studio import Studio
from controller.takes.take_progress import TakeProgress
from controller.takes.take_result import TakeResult
from db import session_rules as rules
from db.consents.capture_consent import CaptureConsent
from db.models import ExposureSource, TakeState
from db.takes.take_reviews import TakeReviewData

DECIDED = (TakeState.ACCEPTED, TakeState.SUPERSEDED)


@dataclass(frozen=True)
class SeenTake:
    """The take shown. By camera name: how far each is, and what is known of it."""

    code: str = ""  # "" without one
    expression: str = ""
    position: int = 0
    attempt: int = 0
    phase: str = "failed"
    line: TakeLine | None = None  # as the records have it; None until they say so
    progress: TakeProgress = field(default_factory=lambda: TakeProgress("", ()))
    last: TakeResult | None = None  # what was told of it
    review: TakeReviewData | None = None
    phases: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)  # hashes of its photographs
    checks: Mapping[str, str] = field(default_factory=dict)  # ok or look
    lateness_ms: Mapping[str, float] = field(default_factory=dict)  # of the command


def see_take(studio: Studio, facts: RecordFacts) -> SeenTake:
    """The take to show, from the records as they were read last and from memory."""
    state, under_way = facts.state, studio.under_way
    if under_way is not None and state is not None and under_way.session_state.session != state.session:
        under_way = None  # of a session that is over
    code = facts.take
    line = next((take for take in state.takes if take.code == code), None) if state is not None else None
    known_by = (line.code, *line.former) if line is not None else ()
    if under_way is not None and under_way.code not in known_by:
        if line is not None or studio.firing.held:
            code, line = under_way.code, None  # the records were read before it was planned
        else:
            under_way = None
    if not code:
        return SeenTake()
    if under_way is not None and line is None:
        position, attempt, expression = under_way.expression.position, under_way.attempt, under_way.expression.name
    elif line is not None and state is not None:
        position, attempt = line.position, line.attempt
        expression = next((e.name for e in state.expressions if e.position == position), "")
    else:
        return SeenTake()
    fired_as = under_way.code if under_way is not None else code
    progress = studio.events.progress_of(fired_as)
    if progress is None:
        progress = TakeProgress(code, (c.name for c in studio.rig.cameras), facts.photographs)
    review = facts.review if facts.take == code else None
    shows = state is None or state.consent != CaptureConsent.WITHDRAWN
    pictures = {**(facts.photographs if facts.take == code else {}), **progress.hashes} if shows else {}
    looked = {check.camera for check in review.advice if check.camera} if review else set()
    last = studio.last_take
    return SeenTake(
        code=code,
        expression=expression,
        position=position,
        attempt=attempt,
        phase=take_phase(progress, line, review),
        line=line,
        progress=progress,
        last=last if last is not None and last.take in (code, fired_as) else None,
        review=review,
        phases=_camera_phases(progress, line, pictures, review),
        pictures=pictures,
        checks={name: "look" if name in looked else "ok" for name in pictures} if review else {},
        lateness_ms={
            name: (stamp.released_at_ns - stamp.commanded_at_ns) / NS_PER_MS
            for name, stamp in progress.stamps.items()
            if stamp.released_at_ns is not None
        },
    )


def take_section(seen: SeenTake) -> dict[str, Any] | None:
    """The take as the page shows it."""
    if not seen.code:
        return None
    line, progress, last, phase = seen.line, seen.progress, seen.last, seen.phase
    came = seen.pictures.keys() | progress.frames
    failed = phase == "failed"
    faults = dict(last.faults) if last is not None else dict(progress.faults)
    lacking = [name for name in progress.cameras if name not in came] if failed and progress.fired else []
    value = known(
        code=seen.code,
        expression=seen.expression,
        position=seen.position,
        attempt=seen.attempt,
        phase=phase,
        cameras=len(progress.cameras),
        safe=len(progress.safe | came),
        missing=lacking,
        faults=faults,
        flags=_flags(last, line),
        advice=dict(last.advice) if last is not None else {},
        message=last.message if last is not None else (line.problem or "") if line is not None else "",
        skew=_skew(last, line),
        pictures={name: {"thumbnail": sha, "photograph": sha} for name, sha in seen.pictures.items()},
        review=review_value(seen.review) if seen.review is not None else None,
    )
    return value | {"in": len(came)}


def _flags(last: TakeResult | None, line: TakeLine | None) -> list[str]:
    """Why a whole take deserves a look."""
    if last is not None:
        return list(last.flags)
    return [line.problem] if line is not None and line.flagged and line.problem else []


def _skew(last: TakeResult | None, line: TakeLine | None) -> dict[str, Any]:
    """The records' numbers, which an LED board may have measured since; else those that were told."""
    if line is not None and line.state not in rules.UNDER_WAY:
        found: Skew | TakeLine = line
    else:
        found = last.skew if last is not None else Skew()
    source = found.exposure_source
    return known(
        command_skew_ms=rounded(found.command_skew_ms),
        clock_uncertainty_ms=rounded(found.clock_uncertainty_ms, 3),
        exposure_skew_ms=rounded(found.exposure_skew_ms),
        exposure_source=source if source != ExposureSource.NOT_MEASURED.value else None,
    )


def review_value(review: TakeReviewData) -> dict[str, Any]:
    """What the checks said; `camera` is left out where a check speaks of the take."""
    checks = [known(check=c.name, camera=c.camera or None, state=c.state.value, reason=c.reason) for c in review.checks]
    return known(sheet=review.sheet, checks=checks)


def take_phase(progress: TakeProgress, line: TakeLine | None, review: TakeReviewData | None) -> str:
    """How far the take is: armed, fired, safe, coming_in, in, checked, decided or failed."""
    state = line.state if line is not None else TakeState.PLANNED
    if state is TakeState.FAILED:
        return "failed"
    if state in DECIDED:
        return "decided"
    if state is TakeState.CAPTURED:
        return "checked" if review is not None else "in"
    if not progress.fired:
        return "failed" if progress.called_off else "armed"
    settled = progress.safe | progress.faults.keys()
    if not settled >= set(progress.cameras):
        return "fired"
    return "coming_in" if progress.frames else "safe"


def _camera_phases(
    progress: TakeProgress, line: TakeLine | None, pictures: Mapping[str, str], review: TakeReviewData | None
) -> dict[str, str]:
    came, safe, stamps, faults = pictures.keys() | progress.frames, progress.safe, progress.stamps, progress.faults
    over = line is not None and line.state is TakeState.FAILED
    fired = progress.fired

    def phase(name: str) -> str:
        if name in came:
            return "checked" if review is not None else "in"
        if name in faults or over:
            return "failed"
        if name in safe:
            return "safe"
        return "fired" if name in stamps or fired else "armed"

    return {name: phase(name) for name in progress.cameras}
