"""Learned weights: of which release and face model they were trained, on whom, and who left."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint
from db.models.face_model import FaceModel, Leaving
from db.models.people import Subject
from db.models.release import Release


class LearnedKind(StrEnum):
    """What can be learned."""

    REGRESSOR = "regressor"
    DETAIL = "detail"
    AVATAR = "avatar"


class Learned(Base):
    """A file of weights, known by its hash. Its bytes lie where its makers put them, not in the store."""

    __tablename__ = "learned_weights"
    __table_args__ = (UniqueConstraint("sha256"), sha256_constraint("sha256"))

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[LearnedKind] = mapped_column(checked(LearnedKind))
    sha256: Mapped[str] = mapped_column(Sha256)
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"), index=True)  # learned from
    model_id: Mapped[int | None] = mapped_column(ForeignKey("face_model.id"), index=True)  # and from, where recorded
    card: Mapped[Mapping[str, Any]]  # as the file has it
    created_at: Mapped[datetime]
    marked_at: Mapped[datetime | None]  # since when somebody they were trained on has left: used and shown no more

    release: Mapped[Release] = relationship()
    model: Mapped[FaceModel | None] = relationship()
    subjects: Mapped[list["LearnedSubject"]] = relationship(
        back_populates="learned", order_by="LearnedSubject.subject_id"
    )


class LearnedSubject(Base):
    """A subject that weights were trained on, itself or as a member of their face model; and when it left."""

    __tablename__ = "learned_weights_subject"

    learned_id: Mapped[int] = mapped_column(ForeignKey("learned_weights.id"), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), primary_key=True, index=True)
    pictured: Mapped[bool]  # whether the file holds a picture of the subject, as a texture that completes others
    left_at: Mapped[datetime | None]
    why: Mapped[Leaving | None] = mapped_column(checked(Leaving))

    learned: Mapped[Learned] = relationship(back_populates="subjects")
    subject: Mapped[Subject] = relationship()
