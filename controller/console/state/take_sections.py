"""Sections of the take that was told of last, or is under way: its phase, each camera's, photographs and review."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.console.state.known_values import known, rounded, without_none
from controller.sessions.session_state import SessionStateMachine, TakeLine
from controller.studio import Studio
from controller.takes.take_progress import TakeProgress
from db.consents.capture_consent import CaptureConsent
from db.models import TakeState
from db.takes.take_reviews import TakeReviewData

DECIDED = (TakeState.ACCEPTED, TakeState.SUPERSEDED)


@dataclass(frozen=True)
class SeenTake:
    """What other sections use of the take shown, by camera name."""

    take: str = ""  # its code; "" without one
    phases: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)  # hashes of its photographs
    checks: Mapping[str, str] = field(default_factory=dict)  # ok or look
    lateness_ms: Mapping[str, float] = field(default_factory=dict)  # of the command


def shown_take(studio: Studio, state: SessionStateMachine | None) -> str | None:
    """The code of the take to show: the one planned last since the start, else the session's last."""
    under_way = studio.under_way
    if under_way is not None and state is not None and under_way.session_state.session == state.session:
        # It may have another code by now: it was given to another expression.
        return next((t.code for t in state.takes if under_way.code in (t.code, *t.former)), under_way.code)
    return state.takes[-1].code if state is not None and state.takes else None


def take_sections(studio: Studio, state: SessionStateMachine | None) -> tuple[dict[str, Any] | None, SeenTake]:
    """The take's section, and what the cameras' section takes from it."""
    code = shown_take(studio, state)
    if state is None or code is None:
        return None, SeenTake()
    line = next((take for take in state.takes if take.code == code), None)
    progress = studio.events.progress_of(code) or TakeProgress(code, (c.name for c in studio.rig.cameras))
    review = (
        studio.review(code) if line is not None and line.state not in (TakeState.PLANNED, TakeState.FIRED) else None
    )
    pictures = dict(progress.hashes)
    if line is not None and len(pictures) < line.frames:
        pictures = studio.records.photographs(code)
    if state.consent == CaptureConsent.WITHDRAWN:
        pictures = {}
    phases = _camera_phases(progress, line, pictures, review)
    looked = {check.camera for check in review.advice if check.camera} if review else set()
    seen = SeenTake(
        take=code,
        phases=phases,
        pictures=pictures,
        checks={name: "look" if name in looked else "ok" for name in pictures} if review else {},
        lateness_ms={
            name: (stamp.released_at_ns - stamp.commanded_at_ns) / 1e6
            for name, stamp in progress.stamps.items()
            if stamp.released_at_ns is not None
        },
    )
    return _section(studio, state, line, progress, seen, review), seen


def _section(
    studio: Studio,
    state: SessionStateMachine,
    line: TakeLine | None,
    progress: TakeProgress,
    seen: SeenTake,
    review: TakeReviewData | None,
) -> dict[str, Any]:
    last = studio.last_take if studio.last_take is not None and studio.last_take.take == seen.take else None
    position = line.position if line is not None else 0
    expression = next((e.name for e in state.expressions if e.position == position), "")
    came = seen.pictures.keys() | progress.frames
    faults = dict(last.faults) if last is not None else dict(progress.faults)
    skew = last.skew if last is not None else None
    return known(
        code=seen.take,
        expression=expression,
        position=position,
        attempt=line.attempt if line is not None else 0,
        phase=take_phase(progress, line, review),
        cameras=len(progress.cameras),
        safe=len(progress.safe | came),
        **{"in": len(came)},
        missing=[name for name in progress.cameras if name not in came]
        if line and line.state is TakeState.FAILED
        else [],
        faults=faults,
        flags=list(last.flags) if last is not None else [line.problem] if line is not None and line.flagged else [],
        advice=dict(last.advice) if last is not None else {},
        message=last.message if last is not None else (line.problem or "") if line is not None else "",
        skew=known(
            command_skew_ms=rounded(skew.command_skew_ms if skew else line.command_skew_ms if line else None),
            clock_uncertainty_ms=rounded(
                skew.clock_uncertainty_ms if skew else line.clock_uncertainty_ms if line else None
            ),
            exposure_skew_ms=rounded(skew.exposure_skew_ms if skew else line.exposure_skew_ms if line else None),
            exposure_source=skew.exposure_source if skew else line.exposure_source if line else None,
        ),
        pictures={name: {"thumbnail": sha, "photograph": sha} for name, sha in seen.pictures.items()},
        review=review_value(review) if review is not None else None,
    )


def review_value(review: TakeReviewData) -> dict[str, Any]:
    """What the checks said; `camera` is left out where a check speaks of the take."""
    found = {
        "sheet": review.sheet,
        "checks": [
            {"check": c.name, "camera": c.camera or None, "state": c.state.value, "reason": c.reason}
            for c in review.checks
        ],
    }
    return dict(without_none(found))


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

    def phase(name: str) -> str:
        if name in came:
            return "checked" if review is not None else "in"
        if name in faults or over:
            return "failed"
        if name in safe:
            return "safe"
        return "fired" if name in stamps or progress.fired else "armed"

    return {name: phase(name) for name in progress.cameras}
