"""Erasures of subjects: how far they have come, and that they happened."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Sha256, sha256_constraint


class Erasure(Base):
    """A subject's photographs and artefacts go for good."""

    __tablename__ = "erasure"

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), index=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    files: Mapped[int]  # removed so far
    bytes: Mapped[int] = mapped_column(BigInteger)  # ... and what they weighed
    shared: Mapped[int]  # kept, because another subject's rows refer to equal bytes
    # not there, in a store that proved to be the right one
    absent: Mapped[int] = mapped_column(server_default=text("0"), default=0)


class ErasureFile(Base):
    """A file that still has to go. The row goes with the file, so that no hash of it remains."""

    __tablename__ = "erasure_file"
    __table_args__ = (sha256_constraint("sha256"),)

    erasure_id: Mapped[int] = mapped_column(ForeignKey("erasure.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(Sha256, primary_key=True)
