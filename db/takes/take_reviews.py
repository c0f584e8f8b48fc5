"""Reviews of takes: measures and checks are written together; baselines and neutral scores come from kept takes."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from common.take_codes import NEUTRAL
from db.captures import get_take
from db.engine import utc_now
from db.models import (
    Camera,
    CaptureSession,
    CheckState,
    Frame,
    FrameMeasure,
    ProtocolExpression,
    Rig,
    SessionState,
    Take,
    TakeCheck,
    TakeReview,
)
from db.session_rules import KEPT

# Checks that come from beside, some seconds after a review: one that is made anew leaves them as they are.
FROM_BESIDE = ("place",)


@dataclass(frozen=True)
class PhotographMeasure:
    """One photograph's figures, as db.models.review.FrameMeasure keeps them."""

    sharpness: float | None  # finest detail beside the next coarser, no unit
    brightness: float  # mean, 0-255
    clipped_percent: float  # of the pixels
    face: bool | None = None  # whether one was found; None where none was looked for


@dataclass(frozen=True)
class CheckResult:
    """One result of a check, as db.models.review.TakeCheck keeps it."""

    name: str
    state: CheckState
    reason: str
    camera: str = ""  # empty for the take as a whole
    measured: float | None = None  # in the unit that the reason names
    bound: float | None = None  # the threshold that it was held against


@dataclass(frozen=True)
class TakeReviewData:
    """A second look at a take."""

    take: str
    seconds: float  # from its last photograph to this result
    checks: tuple[CheckResult, ...]
    sheet: str | None = None  # SHA-256 of its contact sheet in the store
    scores: Mapping[str, float] = field(default_factory=dict)  # of the face by blendshape, 0-1
    reviewed_at: datetime | None = None

    @property
    def advice(self) -> tuple[CheckResult, ...]:
        """The results that the operator should look at."""
        return tuple(check for check in self.checks if check.state is CheckState.ADVICE)


@dataclass(frozen=True)
class Baseline:
    """What one camera usually measures: medians over its last kept takes, and over this session's alone."""

    takes: int = 0  # how many there were to measure
    sharpness: float | None = None
    brightness: float | None = None
    clipped_percent: float | None = None
    face_share: float | None = None  # in how many of those where a face was looked for, one was found
    session_brightness: float | None = None
    session_clipped_percent: float | None = None


def save_review(tx: Session, review: TakeReviewData, measures: Mapping[str, PhotographMeasure]) -> None:
    """Write a review and its measures (by camera); what an earlier review of the take said is replaced.

    Raises NotFound. Measures of cameras that have no photograph in the take are left out.
    """
    take = get_take(tx, review.take)
    frames = {
        name: (frame, camera)
        for name, frame, camera in tx.execute(
            select(Camera.name, Frame.id, Camera.id)
            .join(Frame, Frame.camera_id == Camera.id)
            .where(Frame.take_id == take.id)
        )
    }
    ids = [frame for frame, _ in frames.values()]
    tx.execute(delete(FrameMeasure).where(FrameMeasure.frame_id.in_(ids)))
    tx.execute(delete(TakeCheck).where(TakeCheck.take_id == take.id, TakeCheck.name.not_in(FROM_BESIDE)))
    tx.execute(delete(TakeReview).where(TakeReview.take_id == take.id))
    rows = [
        {
            "frame_id": frames[camera][0],
            "sharpness": found.sharpness,
            "brightness": found.brightness,
            "clipped_percent": found.clipped_percent,
            "face": found.face,
        }
        for camera, found in measures.items()
        if camera in frames
    ]
    if rows:
        tx.execute(insert(FrameMeasure), rows)
    tx.add(
        TakeReview(
            take_id=take.id,
            reviewed_at=utc_now(),
            seconds=review.seconds,
            sheet=review.sheet,
            scores=dict(review.scores),
        )
    )
    _add(tx, take.id, review.checks, {camera: ids[1] for camera, ids in frames.items()})


def add_checks(tx: Session, take: str, name: str, checks: Sequence[CheckResult]) -> None:
    """Write what the check `name`, one of FROM_BESIDE, found, in place of what it found before. Raises NotFound."""
    row = get_take(tx, take)
    cameras = select(Camera.name, Camera.id).join(Frame, Frame.camera_id == Camera.id).where(Frame.take_id == row.id)
    tx.execute(delete(TakeCheck).where(TakeCheck.take_id == row.id, TakeCheck.name == name))
    _add(tx, row.id, checks, dict(tx.execute(cameras).all()))


def _add(tx: Session, take_id: int, checks: Sequence[CheckResult], cameras: Mapping[str, int]) -> None:
    tx.add_all(
        TakeCheck(
            take_id=take_id,
            camera_id=cameras.get(check.camera),
            name=check.name,
            state=check.state,
            measured=check.measured,
            bound=check.bound,
            reason=check.reason,
        )
        for check in checks
    )


def get_review(tx: Session, take: str) -> TakeReviewData | None:
    """The review of a take; None when it has none yet. Raises NotFound for an unknown take."""
    row = get_take(tx, take)
    review = tx.get(TakeReview, row.id)
    if review is None:
        return None
    query = (
        select(TakeCheck, Camera.name)
        .outerjoin(Camera, Camera.id == TakeCheck.camera_id)
        .where(TakeCheck.take_id == row.id)
        .order_by(TakeCheck.id)
    )
    checks = tuple(
        CheckResult(check.name, check.state, check.reason, camera or "", check.measured, check.bound)
        for check, camera in tx.execute(query)
    )
    return TakeReviewData(take, review.seconds, checks, review.sheet, dict(review.scores), review.reviewed_at)


def is_sheet(tx: Session, sha256: str) -> bool:
    """Whether a file of the store is the contact sheet of a take."""
    return tx.scalar(select(TakeReview.take_id).where(TakeReview.sheet == sha256).limit(1)) is not None


def count_advice(tx: Session, session: str) -> dict[str, int]:
    """By code, each reviewed take of a session: how many results are advice (a check or a camera of its own)."""
    query = (
        select(Take.code, func.count(TakeCheck.id))
        .join(TakeReview, TakeReview.take_id == Take.id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .outerjoin(TakeCheck, (TakeCheck.take_id == Take.id) & (TakeCheck.state == CheckState.ADVICE))
        .where(CaptureSession.code == session)
        .group_by(Take.code)
    )
    return dict(tx.execute(query).all())


def sheets_of(tx: Session, session: str) -> dict[str, str]:
    """By code, the contact sheets (SHA-256) of a session's reviewed takes."""
    query = (
        select(Take.code, TakeReview.sheet)
        .join(TakeReview, TakeReview.take_id == Take.id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(CaptureSession.code == session, TakeReview.sheet.is_not(None))
    )
    return {code: sheet for code, sheet in tx.execute(query) if sheet is not None}


def last_whole(tx: Session, session: str) -> str | None:
    """The code of the session's whole take that was planned last."""
    query = (
        select(Take.code)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(CaptureSession.code == session, Take.state.in_(KEPT))
        .order_by(Take.id.desc())
        .limit(1)
    )
    return tx.scalar(query)


def unreviewed(tx: Session, rig: str, most: int) -> list[str]:
    """The newest takes of open sessions on a rig that are whole and have no review: a controller stopped in between."""

    query = (
        select(Take.code)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(Rig, Rig.id == CaptureSession.rig_id)
        .outerjoin(TakeReview, TakeReview.take_id == Take.id)
        .where(Rig.name == rig, CaptureSession.state != SessionState.CLOSED, Take.state.in_(KEPT))
        .where(TakeReview.take_id.is_(None))
        .order_by(Take.id.desc())
        .limit(most)
    )
    return list(reversed(tx.scalars(query).all()))


def baselines(tx: Session, take: str, takes: int) -> dict[str, Baseline]:
    """By camera name, what the cameras of a take's rig measured in its last `takes` kept takes, this one left out."""
    row = get_take(tx, take)
    rig = select(CaptureSession.rig_id).where(CaptureSession.id == row.session_id).scalar_subquery()
    last = (
        select(Take.id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(TakeReview, TakeReview.take_id == Take.id)
        .where(CaptureSession.rig_id == rig, Take.state.in_(KEPT), Take.id != row.id)
        .order_by(Take.id.desc())
        .limit(takes)
        .subquery()
    )
    query = (
        select(
            Camera.name,
            Take.session_id,
            FrameMeasure.sharpness,
            FrameMeasure.brightness,
            FrameMeasure.clipped_percent,
            FrameMeasure.face,
        )
        .join(Frame, Frame.id == FrameMeasure.frame_id)
        .join(Camera, Camera.id == Frame.camera_id)
        .join(Take, Take.id == Frame.take_id)
        .where(Take.id.in_(select(last.c.id)))
    )
    found: dict[str, list[tuple[int, float | None, float, float, bool | None]]] = {}
    for name, *rest in tx.execute(query):
        found.setdefault(name, []).append(tuple(rest))  # type: ignore[arg-type]
    return {name: _baseline(rows, row.session_id) for name, rows in found.items()}


def neutral_scores(tx: Session, take: str) -> Mapping[str, float]:
    """The face's scores in the newest kept neutral take of the same session; empty when there is none."""
    row = get_take(tx, take)
    query = (
        select(TakeReview.scores)
        .join(Take, Take.id == TakeReview.take_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(
            Take.session_id == row.session_id,
            Take.id != row.id,
            Take.state.in_(KEPT),
            ProtocolExpression.name == NEUTRAL,
        )
        .order_by(Take.id.desc())
        .limit(1)
    )
    return dict(tx.scalar(query) or {})


def _baseline(rows: Sequence[tuple[int, float | None, float, float, bool | None]], session: int) -> Baseline:
    here = [row for row in rows if row[0] == session]
    faces = [row[4] for row in rows if row[4] is not None]
    return Baseline(
        takes=len(rows),
        sharpness=_median([row[1] for row in rows if row[1] is not None]),
        brightness=_median([row[2] for row in rows]),
        clipped_percent=_median([row[3] for row in rows]),
        face_share=sum(faces) / len(faces) if faces else None,
        session_brightness=_median([row[2] for row in here]),
        session_clipped_percent=_median([row[3] for row in here]),
    )


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
