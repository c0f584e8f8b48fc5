"""Which photographs may be shown to operators: those of takes and subjects that nobody has withdrawn."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from db.captures import get_session
from db.consents.capture_consent import CaptureConsent, consenting
from db.consents.withdrawals import take_withdrawn
from db.models import Camera, CameraTier, CaptureSession, Frame, Take, TakeReview


def may_show(tx: Session, sha256: str) -> bool:
    """Whether the file of this hash is a photograph of a take that stands, of a subject who has not withdrawn.

    A session that was begun before its subject's consent was recorded is shown: its operator has to see what comes.
    """
    return _stand(tx, _subjects().join(Frame, Frame.take_id == Take.id).where(Frame.sha256 == sha256))


def may_show_sheet(tx: Session, sha256: str) -> bool:
    """Likewise of the contact sheet of this hash."""
    return _stand(tx, _subjects().join(TakeReview, TakeReview.take_id == Take.id).where(TakeReview.sheet == sha256))


def _subjects() -> Select[int]:
    """The subjects of takes that nobody has withdrawn."""
    takes = select(CaptureSession.subject_id).join(Take, Take.session_id == CaptureSession.id)
    return takes.where(~take_withdrawn(Take.id)).distinct()


def _stand(tx: Session, subjects: Select[int]) -> bool:
    """Whether one of them has not withdrawn."""
    return any(consenting(tx, subject) is not CaptureConsent.WITHDRAWN for subject in tx.scalars(subjects))


def frontal_photographs(tx: Session, session: str) -> dict[str, dict[str, str]]:
    """take -> frontal camera -> SHA-256 of its photograph, in order of view; nothing of a subject who has withdrawn.

    Raises NotFound.
    """
    row = get_session(tx, session)
    if consenting(tx, row.subject_id) is CaptureConsent.WITHDRAWN:
        return {}
    query = (
        select(Take.code, Camera.name, Frame.sha256)
        .join(Frame, Frame.take_id == Take.id)
        .join(Camera, Camera.id == Frame.camera_id)
        .where(Take.session_id == row.id, Camera.tier == CameraTier.FRONTAL, ~take_withdrawn(Take.id))
        .order_by(Take.id, Camera.view_index)
    )
    found: dict[str, dict[str, str]] = {}
    for take, camera, sha256 in tx.execute(query):
        found.setdefault(take, {})[camera] = sha256
    return found


def newest_frames(tx: Session, session_id: int) -> list[tuple[str, str, str]]:
    """Each camera's last photograph in a session: camera, SHA-256, take; takes that were withdrawn are passed over."""
    newest = (
        select(func.max(Frame.id))
        .join(Take, Take.id == Frame.take_id)
        .where(Take.session_id == session_id, ~take_withdrawn(Take.id))
        .group_by(Frame.camera_id)
    )
    query = (
        select(Camera.name, Frame.sha256, Take.code)
        .join(Camera, Camera.id == Frame.camera_id)
        .join(Take, Take.id == Frame.take_id)
        .where(Frame.id.in_(newest))
        .order_by(Camera.view_index)
    )
    return [(name, sha256, take) for name, sha256, take in tx.execute(query)]
