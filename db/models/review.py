"""What a second look at a take found: measures of each photograph, and the checks with their reasons."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint
from db.models.capture import Frame, Take
from db.models.rig import Camera


class CheckState(StrEnum):
    """ok, advice (look at it, a person decides), or not_done (with the reason why it could not be judged)."""

    OK = "ok"
    ADVICE = "advice"
    NOT_DONE = "not_done"


class FrameMeasure(Base):
    """What was measured in one photograph. A camera's baseline is made of its measures in takes that were kept."""

    __tablename__ = "frame_measure"
    __table_args__ = (
        CheckConstraint("brightness >= 0 and brightness <= 255", name="brightness_in_range"),
        CheckConstraint("clipped_percent >= 0 and clipped_percent <= 100", name="clipped_in_range"),
    )

    frame_id: Mapped[int] = mapped_column(ForeignKey("frame.id"), primary_key=True)
    sharpness: Mapped[float | None]  # finest detail beside the next coarser, no unit
    brightness: Mapped[float]  # mean, 0-255
    clipped_percent: Mapped[float]  # of the pixels
    face: Mapped[bool | None]  # whether one was found; NULL where none was looked for

    frame: Mapped[Frame] = relationship()


class TakeReview(Base):
    """One a take: when it was looked at, how long after its last photograph, and its contact sheet in the store."""

    __tablename__ = "take_review"
    __table_args__ = (sha256_constraint("sheet"), Index("ix_take_review_sheet", "sheet"))

    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"), primary_key=True)
    reviewed_at: Mapped[datetime]
    seconds: Mapped[float]
    sheet: Mapped[str | None] = mapped_column(Sha256)
    scores: Mapped[Mapping[str, Any]]  # medians of the face's blendshape scores over the frontal views, 0-1 by name

    take: Mapped[Take] = relationship()


class TakeCheck(Base):
    """One result: of the take as a whole (no camera), or of one camera that deserves a look."""

    __tablename__ = "take_check"
    __table_args__ = (Index("ix_take_check_take_id", "take_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"))
    camera_id: Mapped[int | None] = mapped_column(ForeignKey("camera.id"))
    name: Mapped[str] = mapped_column(String(24))
    state: Mapped[CheckState] = mapped_column(checked(CheckState))
    measured: Mapped[float | None]  # in the unit that the reason names
    bound: Mapped[float | None]  # the threshold that it was held against
    reason: Mapped[str] = mapped_column(Text)

    take: Mapped[Take] = relationship()
    camera: Mapped[Camera | None] = relationship()
