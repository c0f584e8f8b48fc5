"""Looking at a studio: all that is judged, gathered at one moment; the records apart, which cost more to read."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from common.computer import computer_id
from controller.node_links.control_channel import ControlLink
from controller.node_links.node_registry import LastSeen, NodeState
from controller.readiness.places import computer_of
from controller.readiness.studio_view import CameraView, LastTake, SessionView, StudioView, TakeStage
from controller.readiness.take_reasons import told_faults
from controller.rig.cameras_aside import aside_text
from controller.rig.roster import Discrepancy
from controller.rig_file import DEFAULT_PROFILE
from controller.sessions.session_state import SessionStateMachine, TakeLine
from controller.studio import Studio
from db import session_rules as rules
from db.engine import utc_now
from db.models import SessionState, TakeState
from db.takes.take_reviews import TakeReviewData


@dataclass(frozen=True)
class RecordsView:
    """What the judgement needs of the records; it changes when somebody writes them."""

    state: SessionStateMachine | None  # the session that is open
    last: LastTake | None  # its last take, unless that is under way
    paused: tuple[str, ...]  # codes of sessions that are paused
    calibration: tuple[int | None, datetime | None]  # version and time of the newest
    trouble: str = ""  # why they cannot be read now, and are as they were; "" when they can


def read_records(studio: Studio) -> RecordsView:
    """The records as they are now. Raises RecordError while they cannot be read."""
    code = studio.open_session()
    state = studio.state_of(code) if code is not None else None
    waits = state is not None and bool(state.takes) and state.takes[-1].state is TakeState.CAPTURED
    review = studio.review(state.takes[-1].code) if state is not None and waits else None
    paused = [line.session for line in studio.sessions(SessionState.PAUSED)] if state is None else []
    return records_view(studio, state, review, paused, studio.records.newest_calibration())


def records_view(
    studio: Studio,
    state: SessionStateMachine | None,
    review: TakeReviewData | None,
    paused: Sequence[str],
    calibration: tuple[int | None, datetime | None],
    trouble: str = "",
) -> RecordsView:
    """The same for who has read the records already.

    state: the open session. review: of its last take, where that waits to be decided about; of another it is passed
    over. trouble: why the records are not newer than this; "" when they are.
    """
    last = _last_take(studio, state, review) if state is not None else None
    return RecordsView(state, last, tuple(paused), calibration, trouble)


def look_at(
    studio: Studio, records: RecordsView, aside_broken: tuple[str, ...] = (), countdown: int | None = None
) -> StudioView:
    """The studio now. aside_broken: rules that the cameras aside break. countdown: seconds until a fire, when one is
    near. Nothing here reads the records or waits for anybody."""
    recoveries = studio.maintenance.recoveries
    profile = records.state.profile if records.state is not None else DEFAULT_PROFILE
    preflight = studio.last_preflight
    roster = studio.link.roster()
    known = {camera.name for camera in studio.rig.cameras}
    return StudioView(
        rig=studio.rig,
        now=utc_now(),
        now_ns=time.monotonic_ns(),
        cameras=_cameras(studio, {item.camera: item for item in roster.discrepancies}, profile),
        here=computer_id(),
        strangers={item.camera: item.text for item in roster.discrepancies if item.camera not in known},
        aside_broken=aside_broken,
        session=_session(records),
        paused=records.paused,
        take=_take_stage(studio, records.state),
        countdown=countdown,
        busy=studio.firing.beside,
        recovering=recoveries.under_way(),
        stopped="" if studio.link.running else "the thread that speaks with the nodes",
        filing_trouble=studio.ingest.trouble or records.trouble,
        lights_trouble=studio.lights.trouble,
        studio_free_bytes=_free_bytes(studio),
        calibration_at=records.calibration[1],
        preflight_at=preflight.at if preflight is not None else None,
        late=tuple(studio.late.messages),
        often=recoveries.often(),
    )


def _free_bytes(studio: Studio) -> int | None:
    """Room on the fullest disk that photographs are filed on; None while one cannot be looked at, or is elsewhere."""
    records = studio.settings.records
    places = [records.home, records.ingest, *([studio.store.folder] if studio.store.folder else [])]
    try:
        return min(shutil.disk_usage(place).free for place in places)
    except OSError:
        return None


# --- cameras ---


def _cameras(studio: Studio, different: Mapping[str, Discrepancy], profile: str) -> tuple[CameraView, ...]:
    link, nodes, seen = studio.link, studio.link.nodes(), studio.link.last_seen()
    aside = {name: aside_text(one) for name, one in studio.cameras_aside().items()}
    there = profile == DEFAULT_PROFILE or profile in studio.rig.profiles  # one that is not is told of elsewhere
    measured = studio.lag_store.used(profile) if there else {}
    return tuple(
        _camera(link, entry.name, nodes.get(entry.name), seen.get(entry.name), different.get(entry.name),
                aside.get(entry.name, ""), bool(entry.lag_ms) or entry.name in measured)
        for entry in studio.rig.cameras
    )  # fmt: skip


def _camera(
    link: ControlLink,
    name: str,
    node: NodeState | None,
    seen: LastSeen | None,
    different: Discrepancy | None,
    aside: str,
    lag_known: bool,
) -> CameraView:
    status = node.status if node is not None else None
    return CameraView(
        name=name,
        discrepancy=different,
        heard=node is not None,
        state=status.state if status is not None else "",
        computer=computer_of(seen.disk, seen.node) if seen is not None else "",
        node=seen.node if seen is not None else "",
        url=seen.url if seen is not None else "",
        disk=seen.disk if seen is not None else "",
        clock_uncertainty_ns=status.clock_uncertainty_ns if status is not None else None,
        battery_percent=status.battery_percent if status is not None else None,
        photos_left=status.photos_left if status is not None else None,
        free_bytes=status.free_bytes if status is not None else None,
        unresolved=status.unresolved if status is not None else "",
        strays=status.strays if status is not None else 0,
        lag_known=lag_known or (node is not None and bool(node.hello.lag_ns)),
        came_ns=seen.came_ns if seen is not None else 0,
        arming=link.armings.get(name),
        aside=aside,
    )


# --- session and takes ---


def _session(records: RecordsView) -> SessionView | None:
    state = records.state
    if state is None:
        return None
    following = state.next_expression()
    to_fire = [
        line for line in state.expressions
        if not state.done(line.position) and not rules.occupying(state.takes_of(line.position))
    ]  # fmt: skip
    return SessionView(
        code=state.session,
        subject=state.subject,
        profile=state.profile,
        consent=state.consent,
        consent_later=state.consent_later is not None,
        without=tuple(state.without),
        remaining=len(to_fire),
        expressions=len(state.expressions),
        next=following.name if following is not None else "",
        undecided=tuple(take.code for take in state.undecided()),
        last=records.last,
    )


def _last_take(studio: Studio, state: SessionStateMachine, review: TakeReviewData | None) -> LastTake | None:
    if not state.takes or state.takes[-1].state in rules.UNDER_WAY:
        return None
    take = state.takes[-1]
    reference = state.reference(take.position)
    expression = next(line.name for line in state.expressions if line.position == take.position)
    if take.state is TakeState.FAILED and not state.done(take.position):
        return LastTake(
            take.code, reference, expression, "failed", faults=_faults_of(studio, take), problem=take.problem or ""
        )
    if take.state is not TakeState.CAPTURED:
        return LastTake(take.code, reference, expression, "decided")
    if review is not None and review.take != take.code:
        review = None
    advice = review.advice if review is not None else ()
    looks = [f"{check.camera}: {check.reason}" if check.camera else check.reason for check in advice]
    return LastTake(
        take.code, reference, expression, "undecided", problem=take.problem or "",
        looks=len(looks) if review is not None else None, advice=looks[0] if looks else "",
    )  # fmt: skip


def _faults_of(studio: Studio, take: TakeLine) -> Mapping[str, str]:
    told = studio.last_take
    return told.faults if told is not None and told.take == take.code else told_faults(take.problem or "")


def _take_stage(studio: Studio, state: SessionStateMachine | None) -> TakeStage | None:
    """The newest take that is under way: being fired, or coming in, also one that an earlier studio fired."""
    fired = studio.under_way
    if fired is not None and studio.firing.held and not studio.firing.beside and not fired.progress.called_off:
        progress = fired.progress
        if not progress.safe | progress.faults.keys() >= set(progress.cameras):
            return TakeStage(fired.code, "hold", len(progress.cameras), len(progress.frames), tuple(progress.faults))
    codes = [take.code for take in state.takes if take.state in rules.UNDER_WAY] if state is not None else []
    codes = [*studio.completion.takes, *codes]
    coming = studio.events.progress_of(codes[-1]) if codes else None
    if coming is None or coming.called_off:
        return None
    return TakeStage(coming.take, "coming", len(coming.cameras), len(coming.frames), tuple(coming.faults))
