"""What happened to the cameras of a rig beside their photographs, as entries of the audit log: faults, recoveries.

camera.fault      {"code", "text", "take"}                      its node's word, once for each kind of trouble
camera.recover    {"session", "steps", "answers"}               the body had to be recovered
camera.write_off  {"take", "reason"}                            an exposure's missing file was given up
camera.focus      {"drive", "step", "told"}                     its lens was moved from the studio
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.models import AuditEvent

Action = Literal["camera.fault", "camera.recover", "camera.write_off", "camera.focus"]
ABOUT = "camera"


@dataclass(frozen=True)
class CameraEvent:
    """One entry."""

    camera: str
    at: datetime
    detail: Mapping[str, Any]


def record_event(tx: Session, rig: str, camera: str, action: Action, detail: Mapping[str, Any]) -> None:
    """Add an entry about a rig's camera. `detail`: codes, counts and the node's words, no personal data."""
    audit_log.record(tx, action, ABOUT, camera[:64], dict(detail) | {"rig": rig, "camera": camera})


def events_of(
    tx: Session, rig: str, action: Action, since: datetime | None = None, most: int = 1000
) -> list[CameraEvent]:
    """The rig's entries of one kind, since a moment or ever, oldest first; of all rigs' newest `most` at the most."""
    query = select(AuditEvent).where(AuditEvent.action == action, AuditEvent.about_kind == ABOUT)
    if since is not None:
        query = query.where(AuditEvent.at >= since)
    entries = tx.scalars(query.order_by(AuditEvent.id.desc()).limit(most))
    found = [
        CameraEvent(str(entry.detail.get("camera", entry.about_id)), entry.at, entry.detail)
        for entry in entries
        if entry.detail.get("rig") == rig
    ]
    return found[::-1]
