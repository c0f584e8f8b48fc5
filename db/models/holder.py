"""Who holds a release: recipients, licences they signed, what they may fetch, what left, what they were told."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, OptionalJson, Sha256, checked, sha256_constraint


class Way(StrEnum):
    """How a version went to a recipient."""

    SERVER = "server"  # our server saw each byte
    LINKS = "links"  # links to an object store were handed out; what was fetched by them is not seen here
    HANDED = "handed"  # on a disk, or however else


class Recipient(Base):
    """Somebody outside who asked for a release: a code in logs, audit entries and file names, never a name.

    What says who it is can be removed, the row stays.
    """

    __tablename__ = "recipient"

    id: Mapped[int] = mapped_column(primary_key=True)
    institution: Mapped[str | None] = mapped_column(String(200))  # as it signed
    # a person, sealed by db.subject_data.personal_data
    contact: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    forgotten_at: Mapped[datetime | None]

    @property
    def code(self) -> str:
        return f"R{self.id:03d}"


class SignedLicence(Base):
    """A licence's text that a recipient signed, and who in the studio accepted the signed document."""

    __tablename__ = "signed_licence"
    __table_args__ = (
        UniqueConstraint("recipient_id", "release_name", "text_sha256"),
        sha256_constraint("text_sha256"),
        sha256_constraint("document_sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    recipient_id: Mapped[int] = mapped_column(ForeignKey("recipient.id"))
    release_name: Mapped[str] = mapped_column(String(64))
    text_sha256: Mapped[str] = mapped_column(Sha256)  # of LICENCE.txt, as the release has it
    text_version: Mapped[str] = mapped_column(String(32))
    document_sha256: Mapped[str] = mapped_column(Sha256)  # of the signed document, which is not kept here
    signed_on: Mapped[date]
    accepted_by: Mapped[str] = mapped_column(String(100))
    accepted_at: Mapped[datetime]


class Grant(Base):
    """What a recipient may fetch until when: versions first to last (NULL: and later) of a release, by kind of file.

    The token itself is nowhere, its hash alone.
    """

    __tablename__ = "release_grant"
    __table_args__ = (
        CheckConstraint("first_version >= 1", name="first_version_from_1"),
        CheckConstraint("last_version IS NULL OR last_version >= first_version", name="versions_in_order"),
        sha256_constraint("token_sha256"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    recipient_id: Mapped[int] = mapped_column(ForeignKey("recipient.id"), index=True)
    release_name: Mapped[str] = mapped_column(String(64))
    first_version: Mapped[int]
    last_version: Mapped[int | None]
    kinds: Mapped[str] = mapped_column(String(200))  # of files, comma-separated
    token_sha256: Mapped[str] = mapped_column(Sha256, unique=True)
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    recipient: Mapped[Recipient] = relationship()

    @property
    def code(self) -> str:
        return f"G{self.id:03d}"


class Fetch(Base):
    """A version that went to a recipient under a grant. The row is there before the first byte leaves."""

    __tablename__ = "release_fetch"
    __table_args__ = (UniqueConstraint("grant_id", "release_id", "way"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    grant_id: Mapped[int] = mapped_column(ForeignKey("release_grant.id"))
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id"), index=True)
    way: Mapped[Way] = mapped_column(checked(Way))
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    bytes_sent: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int] = mapped_column(Integer)  # delivered to their last byte
    files_wanted: Mapped[int] = mapped_column(Integer)  # ... of so many that the grant allows
    complete_at: Mapped[datetime | None]
    network: Mapped[str | None] = mapped_column(String(48))  # reduced, see db.release_records.release_holders
    agent: Mapped[str | None] = mapped_column(String(40))  # ... likewise
    delivered: Mapped[bytes | None] = mapped_column(LargeBinary)  # a bit a file in the order of the manifest
    # by a file's number the parts of it, [from, to), while it is not whole
    begun: Mapped[dict[str, Any] | None] = mapped_column(OptionalJson)

    grant: Mapped[Grant] = relationship()


class Notice(Base):
    """A recipient is told what to delete."""

    __tablename__ = "release_notice"
    __table_args__ = (UniqueConstraint("recipient_id", "release_name", "owed_sha256"), sha256_constraint("owed_sha256"))

    id: Mapped[int] = mapped_column(primary_key=True)
    recipient_id: Mapped[int] = mapped_column(ForeignKey("recipient.id"))
    release_name: Mapped[str] = mapped_column(String(64))
    owed_sha256: Mapped[str] = mapped_column(Sha256)  # of what the notice lists, so that more owed is a new notice
    written_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]

    recipient: Mapped[Recipient] = relationship()

    @property
    def code(self) -> str:
        return f"N{self.id:03d}"
