"""What the page shows of the records, read in one transaction: the open session, its takes, reviews and photographs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from common.take_codes import NEUTRAL
from controller.sessions.session_queries import SessionSummary, file_hashes, session_state, session_summaries
from controller.sessions.session_state import SessionStateMachine
from controller.studio import Studio
from db import captures
from db import session_rules as rules
from db.consents.capture_consent import CaptureConsent
from db.engine import reading
from db.models import AuditEvent, Frame, SessionState
from db.rigs import rig_records
from db.takes.shown_photographs import newest_frames
from db.takes.take_reviews import TakeReviewData, count_advice, get_review, sheets_of


@dataclass(frozen=True)
class NewestPhotograph:
    """The last photograph of a camera in the session."""

    sha256: str
    take: str  # its code


@dataclass(frozen=True)
class RecordFacts:
    """The records at one moment. Photographs are left out once the subject has withdrawn."""

    head: int = 0  # the newest entry of the audit log: another one means that something was decided
    state: SessionStateMachine | None = None  # the open session
    advice: Mapping[str, int] = field(default_factory=dict)  # take -> results to look at
    sheets: Mapping[str, str] = field(default_factory=dict)  # take -> hash of its contact sheet
    take: str = ""  # the code of the take to show; "" for none
    review: TakeReviewData | None = None  # of that take
    photographs: Mapping[str, str] = field(default_factory=dict)  # of that take: camera -> hash
    newest: Mapping[str, NewestPhotograph] = field(default_factory=dict)  # camera -> its last one in the session
    neutral: Mapping[str, str] = field(default_factory=dict)  # of the session's neutral: camera -> hash
    paused: tuple[SessionSummary, ...] = ()
    calibration: tuple[int | None, datetime | None] = (None, None)  # version and time of the rig's newest


def read_facts(studio: Studio) -> RecordFacts:
    """The records as they are now. Raises RecordError."""
    with reading(studio.engine) as tx:
        rig = rig_records.rig_row(tx, studio.rig.name)
        head = audit_head(tx)
        paused = tuple(session_summaries(tx, rig, SessionState.PAUSED))
        calibration = rig_records.newest_calibration_time(tx, rig)
        found = captures.open_session_of(tx, rig)
        if found is None:
            return RecordFacts(head=head, paused=paused, calibration=calibration)
        state = session_state(tx, found.code)
        code = shown_take(studio, state)
        line = next((take for take in state.takes if take.code == code), None)
        shows = state.consent != CaptureConsent.WITHDRAWN
        neutral = _neutral(state)
        return RecordFacts(
            head=head,
            state=state,
            advice=count_advice(tx, state.session),
            sheets=sheets_of(tx, state.session) if shows else {},
            take=code,
            review=get_review(tx, code) if line is not None and line.state in rules.WHOLE else None,
            photographs=file_hashes(tx, code, Frame) if shows and line is not None else {},
            newest={
                camera: NewestPhotograph(sha256, take) for camera, sha256, take in newest_frames(tx, found.id)
            } if shows else {},
            neutral=file_hashes(tx, neutral, Frame) if shows and neutral else {},
            paused=paused,
            calibration=calibration,
        )  # fmt: skip


def look_for_others(studio: Studio) -> int:
    """The newest entry of the audit log: what other processes decide is written there too."""
    with reading(studio.engine) as tx:
        return audit_head(tx)


def audit_head(tx: Session) -> int:
    return tx.scalar(select(func.max(AuditEvent.id))) or 0


def shown_take(studio: Studio, state: SessionStateMachine) -> str:
    """The code of the take to show: the one planned last since the start, else the session's last; "" for none."""
    under_way = studio.under_way
    if under_way is not None and under_way.session_state.session == state.session:
        # It may have another code by now: it was given to another expression.
        return next((t.code for t in state.takes if under_way.code in (t.code, *t.former)), under_way.code)
    return state.takes[-1].code if state.takes else ""


def _neutral(state: SessionStateMachine) -> str | None:
    """The take that stands for the neutral: the accepted one, else the newest whole one."""
    position = next((line.position for line in state.expressions if line.name == NEUTRAL), None)
    takes = state.takes_of(position) if position is not None else ()
    whole = [take for take in takes if take.state in rules.WHOLE]
    stands = rules.accepted(takes) or (whole[-1] if whole else None)
    return None if stands is None else stands.code
