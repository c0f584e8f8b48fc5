"""Qualifications of camera bodies: what `mien camera qualify` found, kept."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint
from db.models.rig import Camera


class BodyVerdict(StrEnum):
    """Whether the rig can rely on a body."""

    FIT = "fit"
    FIT_WITH_REMARKS = "fit_with_remarks"
    UNFIT = "unfit"


class CameraReport(Base):
    """One qualification of one body. Rows are only added."""

    __tablename__ = "camera_report"
    __table_args__ = (
        Index("ix_camera_report_camera_id", "camera_id"),
        Index("ix_camera_report_body", "model", "serial"),
        CheckConstraint("exposures >= 0", name="exposures_from_0"),
        sha256_constraint("sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    # the place in a rig that the body was qualified for, where there is one
    camera_id: Mapped[int | None] = mapped_column(ForeignKey("camera.id"))
    model: Mapped[str] = mapped_column(String(100))
    serial: Mapped[str] = mapped_column(String(64))
    firmware: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[datetime]  # by the computer that made it
    kept_at: Mapped[datetime]
    verdict: Mapped[BodyVerdict] = mapped_column(checked(BodyVerdict))
    exposures: Mapped[int]
    sha256: Mapped[str] = mapped_column(Sha256, unique=True)  # of its file, so that no report is kept twice
    report: Mapped[Mapping[str, Any]]  # the whole report as JSON

    camera: Mapped[Camera | None] = relationship()
