"""Rigs, their cameras, and calibrations of them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, checked


class CameraTier(StrEnum):
    """Frontal cameras have the higher resolution (8K against 4K in the reference studio)."""

    FRONTAL = "frontal"
    SIDE = "side"


class Rig(Base):
    """A fixed arrangement of cameras."""

    __tablename__ = "rig"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)

    cameras: Mapped[list["Camera"]] = relationship(back_populates="rig", order_by="Camera.view_index")


class Camera(Base):
    """A place in a rig; view 0 is the file 0.jpg of a take."""

    __tablename__ = "camera"
    __table_args__ = (
        UniqueConstraint("rig_id", "view_index"),
        UniqueConstraint("rig_id", "name"),
        CheckConstraint("view_index >= 0", name="view_from_0"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    rig_id: Mapped[int] = mapped_column(ForeignKey("rig.id"))
    view_index: Mapped[int]
    name: Mapped[str] = mapped_column(String(48))
    serial: Mapped[str | None] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(String(500))
    tier: Mapped[CameraTier] = mapped_column(checked(CameraTier))

    rig: Mapped[Rig] = relationship(back_populates="cameras")


class Calibration(Base):
    """Cameras of all views at a time: FaceScape's params.json keys ('<v>_K', '<v>_Rt', ...), millimetres."""

    __tablename__ = "calibration"
    __table_args__ = (UniqueConstraint("rig_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    rig_id: Mapped[int] = mapped_column(ForeignKey("rig.id"))
    version: Mapped[int]
    method: Mapped[str] = mapped_column(String(64))
    data: Mapped[Mapping[str, Any]]
    made_at: Mapped[datetime]


class ShutterLag(Base):
    """One camera's time from command to exposure under one settings profile, from `shots` repeated exposures.

    Rows are only added; the newest of a camera and profile counts, as long as the profile still has these settings.
    `measured_by` is the source of the exposure moments: hot_shoe or simulated.
    """

    __tablename__ = "shutter_lag"
    __table_args__ = (
        Index("ix_shutter_lag_camera_profile", "camera_id", "profile"),
        CheckConstraint("shots >= 2", name="repeated"),
        CheckConstraint("sigma_ms >= 0", name="sigma_from_0"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    camera_id: Mapped[int] = mapped_column(ForeignKey("camera.id"))
    profile: Mapped[str] = mapped_column(String(32))
    settings: Mapped[str] = mapped_column(String(300))
    shots: Mapped[int]
    mean_ms: Mapped[float]
    sigma_ms: Mapped[float]
    measured_by: Mapped[str] = mapped_column(String(24))
    measured_at: Mapped[datetime]

    camera: Mapped[Camera] = relationship()
