"""The audit log: who did what to which thing. Events are only ever added, in the transaction of the act itself."""

import getpass
import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import utc_now
from db.models import AuditEvent


def actor() -> str:
    """Who acts: MIEN_ACTOR, else the login name."""
    try:
        return os.environ.get("MIEN_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def record(
    tx: Session,
    action: str,
    about_kind: str,
    about_id: str,
    detail: Mapping[str, Any] | None = None,
    *,
    by: str | None = None,
) -> AuditEvent:
    """Add an event. `detail` must hold no personal data: codes, scopes, hashes and counts only."""
    event = AuditEvent(
        at=utc_now(),
        actor=by or actor(),
        action=action,
        about_kind=about_kind,
        about_id=about_id,
        detail=dict(detail or {}),
    )
    tx.add(event)
    return event


def events_about(tx: Session, about_kind: str, about_id: str) -> list[AuditEvent]:
    """Events about one thing, oldest first."""
    query = select(AuditEvent).where(AuditEvent.about_kind == about_kind, AuditEvent.about_id == about_id)
    return list(tx.scalars(query.order_by(AuditEvent.id)))
