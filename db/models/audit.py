"""Who did what, when. Rows are added and never changed: triggers refuse it, and each row holds the last one's hash."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Sha256, sha256_constraint


class AuditEvent(Base):
    """One act on one thing; `detail` holds no personal data. Only db.audit.audit_log adds rows."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_about", "about_kind", "about_id"),
        sha256_constraint("previous"),
        sha256_constraint("sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(64))
    about_kind: Mapped[str] = mapped_column(String(32))
    about_id: Mapped[str] = mapped_column(String(64))
    detail: Mapped[Mapping[str, Any]]
    previous: Mapped[str] = mapped_column(Sha256, unique=True)  # of the entry before; two never follow the same one
    sha256: Mapped[str] = mapped_column(Sha256, unique=True)  # of this entry with `previous`; see db.audit.audit_log
