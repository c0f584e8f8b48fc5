"""Subjects and what they consented to. A subject is a code; what it says of itself is voluntary."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint


class Gender(StrEnum):
    """As the subject says; absent means that it was not said."""

    FEMALE = "female"
    MALE = "male"
    OTHER = "other"


class ConsentScope(StrEnum):
    """What may be done with a subject's data."""

    RESEARCH_RELEASE = "research_release"  # scans, meshes, textures and relief to researchers under licence
    PUBLICATION = "publication"  # the photographs too, and pictures in papers, talks and on web pages
    EYES_MOSAICKED = "eyes_mosaicked"  # a condition on publication: pictures only with the eyes mosaicked
    STATISTICAL_MODEL = "statistical_model"  # may be part of a statistical model of faces, which is given on


class Subject(Base):
    """A participant, known by a code alone."""

    __tablename__ = "subject"
    __table_args__ = (CheckConstraint("age between 0 and 120", name="age_range"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(16), unique=True)
    age: Mapped[int | None]
    gender: Mapped[Gender | None] = mapped_column(checked(Gender))
    job: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]  # photographs, artefacts and what it said of itself are gone for good

    consents: Mapped[list["Consent"]] = relationship(back_populates="subject", order_by="Consent.id")


class Consent(Base):
    """One signed scope. A withdrawal closes the row; a new consent is a new row."""

    __tablename__ = "consent"
    __table_args__ = (
        Index(
            "uq_consent_open",
            "subject_id",
            "scope",
            unique=True,
            sqlite_where=text("withdrawn_at IS NULL"),
            postgresql_where=text("withdrawn_at IS NULL"),
        ),
        sha256_constraint("document_sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), index=True)
    scope: Mapped[ConsentScope] = mapped_column(checked(ConsentScope))
    document_sha256: Mapped[str | None] = mapped_column(Sha256)  # of the signed form; the form itself is not kept here
    form_version: Mapped[str | None] = mapped_column(String(32))  # which text was signed
    given_on: Mapped[date]
    recorded_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    guardian: Mapped[bool] = mapped_column(server_default=false(), default=False)  # a guardian signed for the subject
    shared_reason: Mapped[str | None] = mapped_column(String(200))  # why others' consents name the same signed form

    subject: Mapped[Subject] = relationship(back_populates="consents")

    def valid_on(self, day: date) -> bool:
        """Given on or before `day`, and not withdrawn: a withdrawal closes a consent for good, whatever the day."""
        return consent_counts(self.given_on, self.withdrawn_at, day)


class SubjectChange(Base):
    """What a subject had said of itself before it was put right. Rows are only added, and go with an erasure."""

    __tablename__ = "subject_change"
    __table_args__ = (CheckConstraint("field in ('age', 'gender', 'job')", name="known_field"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), index=True)
    field: Mapped[str] = mapped_column(String(16))
    before: Mapped[str | None] = mapped_column(String(100))  # as text; None where nothing had been said
    changed_at: Mapped[datetime]


class TakeWithdrawal(Base):
    """A take whose subject wants it in no release any more."""

    __tablename__ = "take_withdrawal"

    take_id: Mapped[int] = mapped_column(ForeignKey("take.id"), primary_key=True)
    withdrawn_at: Mapped[datetime]
    erasure_id: Mapped[int | None] = mapped_column(ForeignKey("erasure.id"))  # its files were to go for good as well


class RetentionTerm(Base):
    """Until when a subject's data is kept under a scope, in place of the studio's own term. The newest row counts."""

    __tablename__ = "retention_term"

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), index=True)
    scope: Mapped[ConsentScope] = mapped_column(checked(ConsentScope))
    until: Mapped[date]
    reason: Mapped[str] = mapped_column(Text)
    set_at: Mapped[datetime]


def consent_counts(given_on: date, withdrawn_at: datetime | None, day: date) -> bool:
    """Whether a consent counts on `day`: see Consent.valid_on."""
    return withdrawn_at is None and given_on <= day
