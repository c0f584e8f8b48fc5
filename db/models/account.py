"""Who may use the console: accounts, passkeys, sessions of signed-in browsers, links that work once.

Nothing here opens anything by itself: of tokens the SHA-256 alone is kept, of passwords an argon2id hash, of passkeys
the public key.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint


class ConsoleRole(StrEnum):
    """What a person may do in the console; each role may do all that the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    MANAGER = "manager"
    SCREEN = "screen"  # no person's: the subject's screen, which sees its own page and may stop


class LinkKind(StrEnum):
    """What a link that works once is for."""

    FIRST = "first"  # the first account of a studio
    ACCOUNT = "account"  # a person chooses a password, at first or anew
    SCREEN = "screen"  # the subject's screen


class Account(Base):
    """A person of the studio. Accounts are disabled, never removed: the audit log names them."""

    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("name"),
        UniqueConstraint("handle"),
        CheckConstraint("role <> 'screen'", name="a_persons_role"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))  # lower case; db.accounts.accounts says what may be one
    role: Mapped[ConsoleRole] = mapped_column(checked(ConsoleRole))
    password: Mapped[str | None] = mapped_column(String(255))  # argon2id, with its salt and parameters
    handle: Mapped[str] = mapped_column(String(64))  # chance alone: what authenticators know the account by
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]

    passkeys: Mapped[list["Passkey"]] = relationship(back_populates="account", order_by="Passkey.id")


class Passkey(Base):
    """A passkey of an account, for the name that the console was opened under."""

    __tablename__ = "passkey"
    __table_args__ = (UniqueConstraint("credential"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    credential: Mapped[str] = mapped_column(String(1400))  # its identifier, base64url
    public_key: Mapped[bytes] = mapped_column(LargeBinary)  # COSE
    sign_count: Mapped[int] = mapped_column(BigInteger)
    host: Mapped[str] = mapped_column(String(253))  # as in localhost
    label: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]

    account: Mapped[Account] = relationship(back_populates="passkeys")


class ConsoleSession(Base):
    """A browser that is signed in, as a person or as the subject's screen."""

    __tablename__ = "console_session"
    __table_args__ = (UniqueConstraint("token_sha256"), sha256_constraint("token_sha256"))

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)  # NULL: a screen
    opened_by: Mapped[str] = mapped_column(String(100))  # the person; of a screen who let it in
    token_sha256: Mapped[str] = mapped_column(Sha256)  # of the cookie's token, which is nowhere else
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    ends_at: Mapped[datetime]  # whatever is done in it
    idle_s: Mapped[int]  # it ends earlier when nothing is done in it for so long
    ended_at: Mapped[datetime | None]

    account: Mapped[Account | None] = relationship()


class OneTimeLink(Base):
    """A link that opens one thing once."""

    __tablename__ = "one_time_link"
    __table_args__ = (UniqueConstraint("token_sha256"), sha256_constraint("token_sha256"))

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(Sha256)
    kind: Mapped[LinkKind] = mapped_column(checked(LinkKind))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    role: Mapped[ConsoleRole] = mapped_column(checked(ConsoleRole))
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]  # or taken back

    account: Mapped[Account | None] = relationship()
