"""Accounts of the studio's people: added, given another role, disabled; each change in the audit log under who did it.

A studio that has managers keeps one: the last that is not disabled can be neither disabled nor given another role.
"""

import re
import secrets
from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, selectinload

from db.accounts import console_sessions
from db.audit import audit_log
from db.engine import utc_now
from db.errors import AlreadyThere, NotFound, RecordError, StateConflict
from db.models import Account, ConsoleRole, OneTimeLink

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")
KIND = "account"


def account_name(text: str) -> str:
    """The name as it is kept. Raises RecordError for what can be none."""
    name = text.strip().lower()
    if NAME.fullmatch(name) is None:
        raise RecordError(
            f"{text.strip()[:41]!r} can be no account's name: up to 40 letters a-z, digits, '.', '-' and '_', "
            "with a letter or digit first and last"
        )
    return name


def person_role(text: str) -> ConsoleRole:
    """Raises RecordError for what is no role of a person."""
    try:
        role = ConsoleRole(text)
    except ValueError:
        role = ConsoleRole.SCREEN
    if role is ConsoleRole.SCREEN:
        raise RecordError(f"{text[:20]!r} is no role: viewer, operator or manager")
    return role


def add_account(tx: Session, name: str, role: ConsoleRole) -> Account:
    """A new account that nobody can sign in to yet. Raises RecordError, AlreadyThere."""
    name = account_name(name)
    if find_account(tx, name) is not None:
        raise AlreadyThere(f"There is an account {name} already; see: mien studio account list")
    made = Account(name=name, role=role, handle=secrets.token_hex(32), created_at=utc_now(), disabled_at=None)
    tx.add(made)
    tx.flush()
    audit_log.record(tx, "account.add", KIND, name, {"role": role.value})
    return made


def find_account(tx: Session, name: str) -> Account | None:
    """An account by its name, whatever case it is written in; disabled ones too."""
    return tx.scalar(select(Account).where(Account.name == name.strip().lower()))


def get_account(tx: Session, name: str) -> Account:
    """Raises NotFound."""
    found = find_account(tx, name)
    if found is None:
        raise NotFound(f"There is no account {name.strip()[:40]!r}; see: mien studio account list")
    return found


def list_accounts(tx: Session) -> Sequence[Account]:
    """All, by name, with their passkeys."""
    return tx.scalars(select(Account).order_by(Account.name).options(selectinload(Account.passkeys))).all()


def has_manager(tx: Session) -> bool:
    """Whether somebody can let others in."""
    return _managers(tx) > 0


def set_role(tx: Session, account: Account, role: ConsoleRole) -> None:
    """From now on, in sessions that are under way too. Raises StateConflict for the last manager."""
    if account.role is role:
        return
    if role is not ConsoleRole.MANAGER:
        _keep_a_manager(tx, account)
    was, account.role = account.role, role
    audit_log.record(tx, "account.role", KIND, account.name, {"was": was.value, "role": role.value})


def set_disabled(tx: Session, account: Account, disabled: bool) -> None:
    """Nobody signs in to it, its sessions end, its links open nothing; or it is in use again. Raises StateConflict."""
    if disabled == (account.disabled_at is not None):
        return
    if disabled:
        _keep_a_manager(tx, account)
        console_sessions.end_sessions_of(tx, account)
        waiting = update(OneTimeLink).where(OneTimeLink.account_id == account.id, OneTimeLink.used_at.is_(None))
        tx.execute(waiting.values(used_at=utc_now()))
    account.disabled_at = utc_now() if disabled else None
    audit_log.record(tx, "account.disable" if disabled else "account.enable", KIND, account.name)


def set_password(tx: Session, account: Account, hashed: str) -> None:
    """Another password. hashed: argon2id. Its sessions end: who knew the old one is out."""
    account.password = hashed
    console_sessions.end_sessions_of(tx, account)
    audit_log.record(tx, "account.password", KIND, account.name)


def _managers(tx: Session) -> int:
    query = select(func.count()).select_from(Account)
    return tx.scalar(query.where(Account.role == ConsoleRole.MANAGER, Account.disabled_at.is_(None))) or 0


def _keep_a_manager(tx: Session, account: Account) -> None:
    # The rows are locked, so that of two managers who disable each other one is refused.
    query = select(Account.id).where(Account.role == ConsoleRole.MANAGER, Account.disabled_at.is_(None))
    left = set(tx.scalars(query.with_for_update())) - {account.id}
    if account.role is ConsoleRole.MANAGER and account.disabled_at is None and not left:
        raise StateConflict(f"{account.name} is the only manager: make another account a manager first")
