"""Statistical face models: each version, of which selection it was made, who is in it, and who left."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint
from db.models.farm import Job
from db.models.people import Subject


class Leaving(StrEnum):
    """Why a model may no longer be used for a member's sake."""

    CONSENT = "consent"  # the consent to be part of a statistical model was withdrawn
    TAKE = "take"  # a take that is in the member's rig was withdrawn


class FaceModel(Base):
    """A version of a model. The next version of its name supersedes it; its file is an artefact of its job."""

    __tablename__ = "face_model"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        CheckConstraint("version >= 1", name="version_from_1"),
        sha256_constraint("key"),
        sha256_constraint("selection_sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    key: Mapped[str] = mapped_column(Sha256)  # of the stage run that made it
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)  # NULL: erased with a member
    selection_sha256: Mapped[str] = mapped_column(Sha256)  # of the file that said who is in it
    selection: Mapped[Mapping[str, Any]]  # what it was built of: codes of subjects, parameters
    created_at: Mapped[datetime]
    marked_at: Mapped[datetime | None]  # since when a member has left it: neither shown nor released any more

    job: Mapped[Job | None] = relationship()
    members: Mapped[list["FaceModelMember"]] = relationship(
        back_populates="model", order_by="FaceModelMember.subject_id"
    )


class FaceModelMember(Base):
    """A subject whose rig is in a version, and when it left."""

    __tablename__ = "face_model_member"

    model_id: Mapped[int] = mapped_column(ForeignKey("face_model.id"), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), primary_key=True, index=True)
    left_at: Mapped[datetime | None]
    why: Mapped[Leaving | None] = mapped_column(checked(Leaving))

    model: Mapped[FaceModel] = relationship(back_populates="members")
    subject: Mapped[Subject] = relationship()
