"""Links that open one thing once: a studio's first account, an account's password, the subject's screen."""

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.accounts.accounts import KIND, has_manager
from db.accounts.secret_tokens import new_token, token_hash
from db.audit import audit_log
from db.engine import changed, utc_now
from db.errors import NotFound, StateConflict
from db.models import Account, ConsoleRole, LinkKind, OneTimeLink

TERM = {
    LinkKind.FIRST: timedelta(hours=1),  # it is printed, and may be in a log
    LinkKind.ACCOUNT: timedelta(hours=24),
    LinkKind.SCREEN: timedelta(minutes=15),
}


def make_link(tx: Session, kind: LinkKind, account: Account | None = None) -> str:
    """A new link's token. Links of the same kind for the same account, made before and not used, open nothing more.

    account: for LinkKind.ACCOUNT. Raises StateConflict for one that is disabled, and for a first account where there
    is a manager.
    """
    if account is not None and account.disabled_at is not None:
        raise StateConflict(f"{account.name} is disabled: enable the account first")
    if kind is LinkKind.FIRST and has_manager(tx):
        raise StateConflict("This studio has a manager, who lets others in: mien studio account list")
    now, token = utc_now(), new_token()
    if kind is not LinkKind.SCREEN:
        account_id = None if account is None else account.id
        older = update(OneTimeLink).where(OneTimeLink.kind == kind, OneTimeLink.used_at.is_(None))
        tx.execute(older.where(OneTimeLink.account_id.is_not_distinct_from(account_id)).values(used_at=now))
    role = ConsoleRole.SCREEN if kind is LinkKind.SCREEN else account.role if account else ConsoleRole.MANAGER
    tx.add(
        OneTimeLink(
            token_sha256=token_hash(token),
            kind=kind,
            account_id=None if account is None else account.id,
            role=role,
            created_by=audit_log.actor()[:100],
            created_at=now,
            expires_at=now + TERM[kind],
        )
    )
    about = kind.value if account is None else account.name
    audit_log.record(tx, "account.link", KIND, about, {"kind": kind.value})
    return token


def look_at_link(tx: Session, token: str) -> OneTimeLink:
    """A link that would open something now. Raises NotFound for any other: which, is nobody's business."""
    found = tx.scalar(select(OneTimeLink).where(OneTimeLink.token_sha256 == token_hash(token)))
    disabled = found is not None and found.account is not None and found.account.disabled_at is not None
    late = found is not None and found.kind is LinkKind.FIRST and has_manager(tx)
    if found is None or found.used_at is not None or found.expires_at <= utc_now() or disabled or late:
        raise NotFound("This link opens nothing: it was used, it is too old, or it was cut short. Ask for a new one")
    return found


def use_link(tx: Session, token: str) -> OneTimeLink:
    """Open it, for the one and only time. Raises NotFound."""
    found = look_at_link(tx, token)
    won = update(OneTimeLink).where(OneTimeLink.id == found.id, OneTimeLink.used_at.is_(None))
    if changed(tx, won.values(used_at=utc_now())) != 1:
        raise NotFound("This link was used a moment ago. Ask for a new one")
    return found
