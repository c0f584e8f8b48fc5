"""Stage runs and what they made. A job is a stage run; its key is the hash of all that determines its result."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint


class JobState(StrEnum):
    """queued -> leased -> done; leased -> queued (failed attempt, lost lease); leased -> failed -> queued (retry);
    any unfinished -> parked (kept from running) -> queued."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    PARKED = "parked"


class Job(Base):
    """A stage run. `subject` and `take` are the first that asked for it; JobTake lists every take it serves.

    A run of a subject has no take, a run of a study neither: JobSubject lists whom they are of.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_claim", "state", "priority", "id"),
        Index("ix_job_stage_state", "stage", "state"),
        sha256_constraint("key"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(Sha256, unique=True)
    stage: Mapped[str] = mapped_column(String(48))
    version: Mapped[int]
    params: Mapped[Mapping[str, Any]]
    subject_id: Mapped[int | None] = mapped_column(ForeignKey("subject.id"), index=True)
    take_id: Mapped[int | None] = mapped_column(ForeignKey("take.id"), index=True)
    priority: Mapped[int]  # the lowest runs first
    state: Mapped[JobState] = mapped_column(checked(JobState))
    worker: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]  # back-off after a failed attempt
    attempts: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    inputs: Mapped[list["JobInput"]] = relationship(
        back_populates="job", order_by="JobInput.id", foreign_keys="JobInput.job_id"
    )
    artefacts: Mapped[list["Artefact"]] = relationship(back_populates="job", order_by="Artefact.id")


class JobTake(Base):
    """A take served by a job. Two takes of equal photographs share one job, because its key is equal."""

    __tablename__ = "job_take"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"), primary_key=True, index=True)


class JobSubject(Base):
    """Whom a run over several takes is of: a subject's rig is of its subject, a model of every member.

    Two subjects of equal photographs share the runs of a subject, as takes do.
    """

    __tablename__ = "job_subject"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), primary_key=True, index=True)


class JobInput(Base):
    """What a job reads: a file by hash, or a named output of another job."""

    __tablename__ = "job_input"
    __table_args__ = (
        UniqueConstraint("job_id", "name", "label"),
        CheckConstraint(
            "sha256 IS NOT NULL OR (from_job_id IS NOT NULL AND from_output IS NOT NULL)", name="has_source"
        ),
        sha256_constraint("sha256"),
        Index(
            "ix_job_input_sha256",
            "sha256",
            sqlite_where=text("sha256 IS NOT NULL"),
            postgresql_where=text("sha256 IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    name: Mapped[str] = mapped_column(String(64))
    # Of many under one name: the take's label, or the subject's code; in order of id.
    label: Mapped[str] = mapped_column(String(80), server_default=text("''"), default="")
    sha256: Mapped[str | None] = mapped_column(Sha256)
    from_job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), index=True)
    from_output: Mapped[str | None] = mapped_column(String(64))

    job: Mapped[Job] = relationship(back_populates="inputs", foreign_keys=[job_id])


class Artefact(Base):
    """A file that a job made, filed in the store under its hash."""

    __tablename__ = "artefact"
    __table_args__ = (
        UniqueConstraint("job_id", "output"),
        CheckConstraint("bytes >= 0", name="size"),
        sha256_constraint("sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    output: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(Sha256, index=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    media: Mapped[str] = mapped_column(String(80))
    made_at: Mapped[datetime]

    job: Mapped[Job] = relationship(back_populates="artefacts")


class ArtefactParent(Base):
    """Lineage: what an artefact was made from, another artefact or a photograph."""

    __tablename__ = "artefact_parent"
    __table_args__ = (
        UniqueConstraint("artefact_id", "parent_id"),
        UniqueConstraint("artefact_id", "frame_id"),
        CheckConstraint("(parent_id IS NULL) <> (frame_id IS NULL)", name="one_parent"),
        CheckConstraint("parent_id <> artefact_id", name="not_itself"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    artefact_id: Mapped[int] = mapped_column(ForeignKey("artefact.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("artefact.id"), index=True)
    frame_id: Mapped[int | None] = mapped_column(ForeignKey("frame.id"), index=True)
