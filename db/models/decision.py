"""What operators decided in a session, in order, with what is needed to take it back; and the former codes of takes."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, OptionalJson, checked
from db.models.capture import CaptureSession, Take


class ActKind(StrEnum):
    """What was decided."""

    CONSENT_LATER = "consent_later"  # the session began before the consent was recorded
    WITHOUT = "without"  # it began although something was lacking; detail says what
    FIRE = "fire"
    ACCEPT = "accept"
    DROP = "drop"
    SKIP = "skip"
    UNSKIP = "unskip"
    REASSIGN = "reassign"
    CALIBRATE = "calibrate"
    CLOSE = "close"


class SessionAct(Base):
    """One decision. Rows are only added; one that was taken back says when and by whom."""

    __tablename__ = "session_act"
    __table_args__ = (Index("ix_session_act_session_id", "session_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    take_id: Mapped[int | None] = mapped_column(ForeignKey("take.id"))
    kind: Mapped[ActKind] = mapped_column(checked(ActKind))
    # states before and after, by take, and the reason of a skip that it ended; emptied when the subject is erased,
    # for a reason may speak of the person
    detail: Mapped[Mapping[str, Any] | None] = mapped_column(OptionalJson)
    by: Mapped[str] = mapped_column(String(100))
    at: Mapped[datetime]
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None] = mapped_column(String(100))

    session: Mapped[CaptureSession] = relationship()
    take: Mapped[Take | None] = relationship()


class FormerTakeCode(Base):
    """A code that a take had before it was given to another expression. No other take ever gets it."""

    __tablename__ = "former_take_code"
    __table_args__ = (
        UniqueConstraint("code"),
        Index("ix_former_take_code_take_id", "take_id"),
        Index("ix_former_take_code_session_id_expression_id", "session_id", "expression_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"))
    code: Mapped[str] = mapped_column(String(40))
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    expression_id: Mapped[int] = mapped_column(ForeignKey("protocol_expression.id"))
    attempt: Mapped[int]
    until: Mapped[datetime]

    take: Mapped[Take] = relationship()
