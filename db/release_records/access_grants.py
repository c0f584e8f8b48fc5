"""What recipients may fetch: grants, whose token is known by its hash alone, and whether one admits a version now."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session, joinedload

from db.audit import audit_log
from db.engine import changed, utc_now
from db.errors import NotFound, RecordError, StateConflict
from db.models import Grant, Recipient, SignedLicence
from db.release_records.recipients import number_of

TOKEN_PREFIX = "mien_"  # recognised by those who search for secrets that got out


class GrantRefusal(StrEnum):
    """Why a token or a link does not open what was asked for."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    OTHER = "other"  # a release or version that the grant is not for, or that is not there
    LICENCE = "licence"  # nobody in the studio has accepted a signed licence of this version's text


@dataclass(frozen=True)
class GrantAccess:
    """A grant as a server needs it."""

    #: Its row.
    grant_id: int
    #: The release that it is for.
    release_name: str
    #: The first version that it opens.
    first_version: int
    #: The last; None: all later ones.
    last_version: int | None
    #: Of files.
    kinds: frozenset[str]
    #: UTC; from then on it opens nothing.
    expires_at: datetime
    #: UTC; None: it was not.
    revoked_at: datetime | None
    #: Who may fetch by it.
    recipient_id: int
    #: Hashes of the texts that the recipient signed for this release.
    licences: frozenset[str]

    def standing(self, now: datetime) -> GrantRefusal | None:
        """Whether it opens anything at all; None when it does."""
        if self.revoked_at is not None:
            return GrantRefusal.REVOKED
        return GrantRefusal.EXPIRED if now >= self.expires_at else None

    def refusal(self, name: str, version: int, text_sha256: str, now: datetime) -> GrantRefusal | None:
        """Why it does not open a version whose licence's text has this hash; None when it does."""
        standing = self.standing(now)
        if standing is not None:
            return standing
        last = self.last_version if self.last_version is not None else version
        if name != self.release_name or not self.first_version <= version <= last:
            return GrantRefusal.OTHER
        return None if text_sha256 in self.licences else GrantRefusal.LICENCE


def new_token() -> str:
    """256 bits of chance; for a header, a file, a message."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token. Plain SHA-256: there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()


def add_grant(
    tx: Session,
    recipient: Recipient,
    release_name: str,
    *,
    first_version: int,
    last_version: int | None,
    kinds: Collection[str],
    until: datetime,
    token: str,
) -> Grant:
    """last_version: None for 'and later'. Raises RecordError for a time that is over, StateConflict for the removed."""
    if until <= utc_now():
        raise RecordError(f"The grant would end on {until:%Y-%m-%d}, which is over: --until a later day")
    if recipient.forgotten_at is not None:
        raise StateConflict(f"{recipient.code} was removed; add it anew: mien release recipient add")
    grant = Grant(
        recipient_id=recipient.id,
        release_name=release_name,
        first_version=first_version,
        last_version=last_version,
        kinds=",".join(sorted(kinds)),
        token_sha256=token_hash(token),
        issued_at=utc_now(),
        expires_at=until,
    )
    tx.add(grant)
    tx.flush()
    detail = {
        "recipient": recipient.code, "release": release_name, "first": first_version, "last": last_version,
        "kinds": sorted(kinds), "until": until.date().isoformat(),
    }  # fmt: skip
    audit_log.record(tx, "grant.give", "grant", grant.code, detail)
    return grant


def get_grant(tx: Session, code: str) -> Grant:
    """Raises NotFound."""
    found = tx.scalar(select(Grant).where(Grant.id == number_of(code, "G")).options(joinedload(Grant.recipient)))
    if found is None:
        raise NotFound(f"No grant {code[:20]}; see: mien release holders")
    return found


def revoke_grant(tx: Session, grant: Grant) -> None:
    """From now on it opens nothing. Raises StateConflict when it was revoked before."""
    statement = update(Grant).where(Grant.id == grant.id, Grant.revoked_at.is_(None))
    won = changed(tx, statement.values(revoked_at=utc_now())) == 1
    tx.refresh(grant)
    if not won:
        raise StateConflict(f"{grant.code} was revoked on {grant.revoked_at:%Y-%m-%d %H:%M} UTC already")
    audit_log.record(tx, "grant.revoke", "grant", grant.code, {"release": grant.release_name})


def access_by_token(tx: Session, token: str) -> GrantAccess | None:
    """The grant that a token belongs to; None for a token of nobody."""
    return _access(tx, tx.scalar(select(Grant).where(Grant.token_sha256 == token_hash(token))))


def access_of(tx: Session, grant_id: int) -> GrantAccess | None:
    """A grant by its number, for links that were signed for it."""
    return _access(tx, tx.get(Grant, grant_id))


def _access(tx: Session, grant: Grant | None) -> GrantAccess | None:
    if grant is None:
        return None
    signed = select(SignedLicence.text_sha256).where(
        SignedLicence.recipient_id == grant.recipient_id, SignedLicence.release_name == grant.release_name
    )
    return GrantAccess(
        grant_id=grant.id,
        release_name=grant.release_name,
        first_version=grant.first_version,
        last_version=grant.last_version,
        kinds=frozenset(filter(None, grant.kinds.split(","))),
        expires_at=grant.expires_at,
        revoked_at=grant.revoked_at,
        recipient_id=grant.recipient_id,
        licences=frozenset(tx.scalars(signed)),
    )
