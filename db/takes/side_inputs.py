"""What a look beside a session may see of a take: its photographs and calibration, while its subject consents.

Such a look writes checks, and nothing that is handed on.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.consents.capture_consent import CaptureConsent, consenting, later_of
from db.consents.withdrawals import take_withdrawn
from db.models import (
    Calibration,
    Camera,
    CameraTier,
    CaptureSession,
    CheckState,
    Frame,
    ProtocolExpression,
    Take,
    TakeCheck,
)
from db.session_rules import KEPT, WHOLE
from db.takes.missing_photographs import absent_views


@dataclass(frozen=True)
class SideInputs:
    """A take's photographs, by the views' numbers."""

    take: str  # its code
    photographs: Mapping[int, str]  # SHA-256
    cameras: Mapping[int, str]  # names
    frontal: Collection[int]  # views of cameras that look at the face
    absent: Mapping[int, str]  # why there is no photograph of a view, where that was decided
    calibration: Mapping[str, Any] | None  # FaceScape's params.json keys; None without one


def seen_takes(tx: Session, takes: Collection[str]) -> set[str]:
    """Those of these takes that are whole and may be looked at: their subjects consent, or somebody let that wait."""
    query = (
        select(Take.code, CaptureSession.subject_id, CaptureSession.id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(Take.code.in_(takes), Take.state.in_(WHOLE), ~take_withdrawn(Take.id))
    )
    rows = list(tx.execute(query))
    standing = {subject: consenting(tx, subject) for subject in {row[1] for row in rows}}
    return {
        code
        for code, subject, session in rows
        if standing[subject] is CaptureConsent.GIVEN
        or (standing[subject] is not CaptureConsent.WITHDRAWN and later_of(tx, session) is not None)
    }


def side_inputs(tx: Session, take: str) -> SideInputs | None:
    """What may be looked at of a take; None when nothing may."""
    if not seen_takes(tx, [take]):
        return None
    row = tx.execute(
        select(Take.id, CaptureSession.rig_id, func.coalesce(Take.calibration_id, CaptureSession.calibration_id))
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(Take.code == take)
    ).one()
    take_id, rig_id, calibration_id = row
    cameras = list(tx.execute(select(Camera.view_index, Camera.name, Camera.tier).where(Camera.rig_id == rig_id)))
    photographs = (
        select(Camera.view_index, Frame.sha256)
        .join(Frame, Frame.camera_id == Camera.id)
        .where(Frame.take_id == take_id)
        .order_by(Camera.view_index)
    )
    calibration = tx.get(Calibration, calibration_id) if calibration_id is not None else None
    return SideInputs(
        take=take,
        photographs=dict(tx.execute(photographs).all()),
        cameras={view: name for view, name, _ in cameras},
        frontal={view for view, _, tier in cameras if tier is CameraTier.FRONTAL},
        absent={view: str(kind) for view, kind in absent_views(tx, [take_id]).get(take_id, {}).items()},
        calibration=None if calibration is None else calibration.data,
    )


def last_well(tx: Session, take: str, name: str) -> dict[str, str]:
    """By camera, the last take before this one, on the same rig and calibration, that check `name` found it well in.

    A camera counts as well where the check answered for the take and said nothing of the camera. Cameras that were
    never well are left out.
    """
    this = tx.execute(
        select(Take.id, CaptureSession.rig_id, func.coalesce(Take.calibration_id, CaptureSession.calibration_id))
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(Take.code == take)
    ).one()
    judged = select(TakeCheck.take_id).where(
        TakeCheck.name == name, TakeCheck.camera_id.is_(None), TakeCheck.state != CheckState.NOT_DONE
    )
    told = (
        select(TakeCheck.id)
        .where(TakeCheck.take_id == Take.id, TakeCheck.name == name, TakeCheck.camera_id == Camera.id)
        .exists()
    )
    newest = (
        select(Camera.name, func.max(Take.id).label("take_id"))
        .join(Frame, Frame.camera_id == Camera.id)
        .join(Take, Take.id == Frame.take_id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(CaptureSession.rig_id == this[1], Take.id < this[0], Take.id.in_(judged), ~told)
        .where(func.coalesce(Take.calibration_id, CaptureSession.calibration_id) == this[2])
        .group_by(Camera.name)
        .subquery()
    )
    codes = select(newest.c.name, Take.code).join(Take, Take.id == newest.c.take_id)
    return dict(tx.execute(codes).all())


def earlier_neutrals(tx: Session, take: str, neutral: str, most: int) -> list[str]:
    """Codes of accepted takes of the expression `neutral` in other sessions of a take's subject, the newest first.

    One a session at most. Empty where nothing of the subject may be looked at.
    """
    row = tx.execute(
        select(Take.session_id, CaptureSession.subject_id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(Take.code == take)
    ).one()
    if consenting(tx, row[1]) is not CaptureConsent.GIVEN:
        return []
    newest = (
        select(func.max(Take.id))
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .join(ProtocolExpression, ProtocolExpression.id == Take.expression_id)
        .where(CaptureSession.subject_id == row[1], CaptureSession.id != row[0], Take.state.in_(KEPT))
        .where(ProtocolExpression.name == neutral, ~take_withdrawn(Take.id))
        .group_by(CaptureSession.id)
    )
    query = select(Take.code).where(Take.id.in_(newest)).order_by(Take.id.desc()).limit(most)
    return list(tx.scalars(query))
