"""Cameras that are set aside for a while."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base
from db.models.capture import CaptureSession
from db.models.rig import Camera

_OPEN = text("lifted_at IS NULL")


class CameraAside(Base):
    """A camera that takes no part in takes, since when, why and for how long. Rows are only added, and lifted once."""

    __tablename__ = "camera_aside"
    __table_args__ = (
        Index("uq_camera_aside_open", "camera_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        CheckConstraint("length(reason) > 0", name="has_reason"),
        CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted_for_a_reason"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    camera_id: Mapped[int] = mapped_column(ForeignKey("camera.id"))
    reason: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime]
    until: Mapped[datetime | None]  # it comes back at that time; where neither is said, when somebody brings it back
    # it comes back when that session is closed
    session_id: Mapped[int | None] = mapped_column(ForeignKey("session.id"))
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None] = mapped_column(String(16))  # what brought it back: back, time, session, changed

    camera: Mapped[Camera] = relationship()
    session: Mapped[CaptureSession | None] = relationship()
