"""Passkeys of accounts: public keys, and how often an authenticator has signed."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.accounts.accounts import KIND
from db.audit import audit_log
from db.engine import changed, utc_now
from db.errors import AlreadyThere, NotFound, StateConflict
from db.models import Account, Passkey

MOST = 10  # of one account


def add_passkey(tx: Session, account: Account, key: Passkey) -> None:
    """Keep a new passkey. Raises AlreadyThere when it is somebody's, StateConflict when there are too many."""
    if tx.scalar(select(Passkey.id).where(Passkey.credential == key.credential)) is not None:
        raise AlreadyThere("This passkey is kept already")
    if len(passkeys_of(tx, account)) >= MOST:
        raise StateConflict(f"{account.name} has {MOST} passkeys: remove one first")
    key.account_id, key.label = account.id, key.label.strip()[:60] or "passkey"
    tx.add(key)
    audit_log.record(tx, "account.passkey.add", KIND, account.name, {"host": key.host})


def passkeys_of(tx: Session, account: Account) -> Sequence[Passkey]:
    """Oldest first."""
    return tx.scalars(select(Passkey).where(Passkey.account_id == account.id).order_by(Passkey.id)).all()


def find_passkey(tx: Session, credential: str) -> Passkey | None:
    """By its identifier, base64url."""
    return tx.scalar(select(Passkey).where(Passkey.credential == credential))


def note_used(key: Passkey, sign_count: int) -> None:
    """It signed just now."""
    key.sign_count, key.last_used_at = sign_count, utc_now()


def remove_passkey(tx: Session, account: Account, number: int) -> None:
    """Raises NotFound for a passkey that the account has not."""
    if changed(tx, delete(Passkey).where(Passkey.id == number, Passkey.account_id == account.id)) != 1:
        raise NotFound(f"{account.name} has no passkey {number}")
    audit_log.record(tx, "account.passkey.remove", KIND, account.name)
