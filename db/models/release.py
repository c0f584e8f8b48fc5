"""Releases and the takes that left the studio in them."""

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint


class ReleaseState(StrEnum):
    """building -> complete | failed. A complete release never changes: a withdrawal makes the next version."""

    BUILDING = "building"
    COMPLETE = "complete"
    FAILED = "failed"


class Release(Base):
    """One immutable version of a dataset. A failed build frees its version number."""

    __tablename__ = "release"
    __table_args__ = (
        Index(
            "uq_release_name_version",
            "name",
            "version",
            unique=True,
            sqlite_where=text("state <> 'failed'"),
            postgresql_where=text("state <> 'failed'"),
        ),
        CheckConstraint("version >= 1", name="version_from_1"),
        CheckConstraint("state <> 'complete' OR manifest_sha256 IS NOT NULL", name="complete_has_manifest"),
        sha256_constraint("manifest_sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    state: Mapped[ReleaseState] = mapped_column(checked(ReleaseState))
    schema_version: Mapped[int]
    consent_day: Mapped[date]  # the day on which every consent was valid
    criteria: Mapped[Mapping[str, Any]]
    manifest_sha256: Mapped[str | None] = mapped_column(Sha256)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    problem: Mapped[str | None] = mapped_column(String(1000))

    items: Mapped[list["ReleaseItem"]] = relationship(back_populates="release", order_by="ReleaseItem.id")


class ReleaseItem(Base):
    """A take that a release contains, and whether its pictures may be published."""

    __tablename__ = "release_item"
    __table_args__ = (UniqueConstraint("release_id", "take_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"))
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), index=True)
    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"), index=True)
    photographs: Mapped[bool]
    publishable: Mapped[bool]
    withdrawn_at: Mapped[datetime | None]  # the consent under which it left was withdrawn, or narrowed
    mosaicked: Mapped[bool] = mapped_column(server_default=false(), default=False)  # the eyes, in all of its pictures
    label: Mapped[str | None] = mapped_column(String(80))  # '2_smile': its files' name there, whatever it is called now

    release: Mapped[Release] = relationship(back_populates="items")


class ReleaseModel(Base):
    """A version of a face model that a release holds."""

    __tablename__ = "release_model"

    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("face_model.id"), primary_key=True, index=True)
