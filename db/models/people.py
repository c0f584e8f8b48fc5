"""Subjects and what they consented to. A subject is a code; what it says of itself is voluntary."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, is_hash


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
        is_hash("document_sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), index=True)
    scope: Mapped[ConsentScope] = mapped_column(checked(ConsentScope))
    document_sha256: Mapped[str | None] = mapped_column(Sha256)  # of the signed form; the form itself is not kept here
    form_version: Mapped[str | None] = mapped_column(String(32))  # which text was signed
    given_on: Mapped[date]
    recorded_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]

    subject: Mapped[Subject] = relationship(back_populates="consents")

    def valid_on(self, day: date) -> bool:
        """Given on or before `day`, and not withdrawn: a withdrawal closes a consent for good, whatever the day."""
        return consent_counts(self.given_on, self.withdrawn_at, day)


def consent_counts(given_on: date, withdrawn_at: datetime | None, day: date) -> bool:
    """Whether a consent counts on `day`: see Consent.valid_on."""
    return withdrawn_at is None and given_on <= day
