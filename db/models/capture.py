"""Sessions, takes and frames, and the cameras without which a take is whole: what happened in the studio."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, OptionalJson, Sha256, checked, sha256_constraint
from db.models.people import Subject
from db.models.protocol import Protocol, ProtocolExpression
from db.models.rig import Calibration, Camera, Rig


class SessionState(StrEnum):
    """open <-> paused -> closed."""

    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"


class TakeState(StrEnum):
    """planned -> fired -> captured (whole, undecided) <-> accepted (chosen) <-> superseded (whole, not chosen).

    failed from planned, fired or captured. failed -> captured or superseded: by the last photograph, which came late,
    or by decision without it. Only somebody's decision moves a take out of accepted.
    """

    PLANNED = "planned"
    FIRED = "fired"
    CAPTURED = "captured"
    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class ExposureSource(StrEnum):
    """How the exposure skew was measured."""

    HOT_SHOE = "hot_shoe"
    OPTICAL = "optical"
    SIMULATED = "simulated"
    NOT_MEASURED = "not_measured"


class CaptureSession(Base):
    """One subject in the chair, under one protocol, rig and calibration. Table `session`."""

    __tablename__ = "session"
    __table_args__ = (Index("ix_session_state", "state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(24), unique=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), index=True)
    protocol_id: Mapped[int] = mapped_column(ForeignKey("protocol.id"))
    rig_id: Mapped[int] = mapped_column(ForeignKey("rig.id"))
    calibration_id: Mapped[int | None] = mapped_column(ForeignKey("calibration.id"))
    state: Mapped[SessionState] = mapped_column(checked(SessionState))
    # The settings profile of its takes, unless one is fired with another.
    profile: Mapped[str] = mapped_column(String(32), server_default="default", default="default")
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]

    subject: Mapped[Subject] = relationship()
    protocol: Mapped[Protocol] = relationship()
    rig: Mapped[Rig] = relationship()
    calibration: Mapped[Calibration | None] = relationship()
    takes: Mapped[list["Take"]] = relationship(back_populates="session", order_by="Take.id")
    skips: Mapped[list["SkippedExpression"]] = relationship(back_populates="session", order_by="SkippedExpression.id")


class SkippedExpression(Base):
    """An expression that a session does without, and why. A take of it makes the row go."""

    __tablename__ = "skipped_expression"
    __table_args__ = (
        UniqueConstraint("session_id", "expression_id"),
        CheckConstraint("length(reason) > 0", name="has_reason"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    expression_id: Mapped[int] = mapped_column(ForeignKey("protocol_expression.id"))
    reason: Mapped[str] = mapped_column(Text)
    skipped_at: Mapped[datetime]

    session: Mapped[CaptureSession] = relationship(back_populates="skips")
    expression: Mapped[ProtocolExpression] = relationship()


class Take(Base):
    """One firing of the rig at one expression. A retake is a new row; the old one stays as it is till one is chosen."""

    __tablename__ = "take"
    __table_args__ = (
        UniqueConstraint("session_id", "expression_id", "attempt"),
        Index(
            "uq_take_accepted",
            "session_id",
            "expression_id",
            unique=True,
            sqlite_where=text("state = 'accepted'"),
            postgresql_where=text("state = 'accepted'"),
        ),
        Index("ix_take_state", "state"),
        CheckConstraint("attempt >= 1", name="attempt_from_1"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(40), unique=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    expression_id: Mapped[int] = mapped_column(ForeignKey("protocol_expression.id"))
    attempt: Mapped[int]
    state: Mapped[TakeState] = mapped_column(checked(TakeState))
    planned_at: Mapped[datetime]
    fired_at: Mapped[datetime | None]
    command_skew_ms: Mapped[float | None]
    clock_uncertainty_ms: Mapped[float | None]
    exposure_skew_ms: Mapped[float | None]
    exposure_source: Mapped[ExposureSource] = mapped_column(checked(ExposureSource))
    problem: Mapped[str | None] = mapped_column(Text)
    profile: Mapped[str] = mapped_column(String(32), server_default="default", default="default")
    setup: Mapped[Mapping[str, Any] | None]  # what was sent for it: exposure settings, lights
    # The rig's newest when the take was planned: a session that goes on on another day may have been calibrated anew.
    calibration_id: Mapped[int | None] = mapped_column(ForeignKey("calibration.id"))
    dropped_at: Mapped[datetime | None]  # whole, and somebody decided against it; it stays all the same

    session: Mapped[CaptureSession] = relationship(back_populates="takes")
    expression: Mapped[ProtocolExpression] = relationship()
    frames: Mapped[list["Frame"]] = relationship(back_populates="take")
    absences: Mapped[list["TakeAbsence"]] = relationship(back_populates="take", order_by="TakeAbsence.camera_id")


class Frame(Base):
    """One photograph of a take, filed in the store under its hash."""

    __tablename__ = "frame"
    __table_args__ = (
        UniqueConstraint("take_id", "camera_id"),
        CheckConstraint("bytes > 0 and width > 0 and height > 0", name="not_empty"),
        sha256_constraint("sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"))
    camera_id: Mapped[int] = mapped_column(ForeignKey("camera.id"))
    sha256: Mapped[str] = mapped_column(Sha256, index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    exposed_at_ns: Mapped[int | None] = mapped_column(BigInteger)  # controller's monotonic clock
    command_error_ms: Mapped[float | None]
    clock_uncertainty_ms: Mapped[float | None]  # of this camera's node at the fire
    clock_source: Mapped[str | None] = mapped_column(String(8))  # pings, chrony or ptp
    clock_offset_ns: Mapped[int | None] = mapped_column(BigInteger)  # the controller's monotonic clock minus the node's
    clock_drift_ppb: Mapped[int | None]  # how fast that grows
    body_clock_error_ms: Mapped[int | None] = mapped_column(BigInteger)  # the body's own clock minus UTC, zone and all
    name: Mapped[str | None] = mapped_column(String(200))  # as the camera called it; identifies nothing
    exif: Mapped[Mapping[str, Any] | None] = mapped_column(
        OptionalJson
    )  # what the photograph says of itself: controller.image_files.photograph_reader.Exif

    take: Mapped[Take] = relationship(back_populates="frames")
    camera: Mapped[Camera] = relationship()
    raw: Mapped["RawFile | None"] = relationship(
        primaryjoin="and_(Frame.take_id == foreign(RawFile.take_id), Frame.camera_id == foreign(RawFile.camera_id))",
        uselist=False,
        viewonly=True,
    )


class RawFile(Base):
    """The raw file of an exposure, kept beside the photograph that the body made of it.

    It belongs to the frame of the same take and camera. It comes later, and it is kept also when the photograph was
    damaged and there is no such frame, so it names take and camera itself.
    """

    __tablename__ = "raw_file"
    __table_args__ = (
        UniqueConstraint("take_id", "camera_id"),
        CheckConstraint("bytes > 0", name="not_empty"),
        sha256_constraint("sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"))
    camera_id: Mapped[int] = mapped_column(ForeignKey("camera.id"))
    sha256: Mapped[str] = mapped_column(Sha256, index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str] = mapped_column(String(8))  # as controller.image_files.raw_file.FORMATS
    model: Mapped[str] = mapped_column(String(100))  # the body, as the header says; may be empty
    name: Mapped[str] = mapped_column(String(200))

    take: Mapped[Take] = relationship()
    camera: Mapped[Camera] = relationship()


class AbsenceKind(StrEnum):
    """Why a take is whole without a camera: it was aside when the take was planned, or somebody decided so after."""

    ASIDE = "aside"
    DECIDED = "decided"


class TakeAbsence(Base):
    """A camera without which a take is whole."""

    __tablename__ = "take_absence"
    __table_args__ = (
        UniqueConstraint("take_id", "camera_id"),
        CheckConstraint("length(reason) > 0", name="has_reason"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"))
    camera_id: Mapped[int] = mapped_column(ForeignKey("camera.id"))
    kind: Mapped[AbsenceKind] = mapped_column(checked(AbsenceKind))
    reason: Mapped[str] = mapped_column(Text)
    recorded_at: Mapped[datetime]
    came_at: Mapped[datetime | None]  # when its photograph came all the same

    take: Mapped[Take] = relationship(back_populates="absences")
    camera: Mapped[Camera] = relationship()
