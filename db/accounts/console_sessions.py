"""Sessions of browsers that are signed in: opened with a new token, found by its hash, ended.

A session ends when it is signed out, when its account is disabled or gets another password, twelve hours after the
sign-in, and when nobody has done anything in it for a while.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from db.accounts.secret_tokens import new_token, token_hash
from db.engine import changed, utc_now
from db.models import Account, ConsoleRole, ConsoleSession

LONGEST = timedelta(hours=12)  # a long day at the rig
IDLE = {
    ConsoleRole.VIEWER: LONGEST,  # a screen on the wall, which can change nothing
    ConsoleRole.OPERATOR: timedelta(minutes=60),
    ConsoleRole.MANAGER: timedelta(minutes=60),
    ConsoleRole.SCREEN: LONGEST,  # nobody types at it
}
KEPT = timedelta(days=30)  # rows of sessions that ended; what was done in them is in the audit log


@dataclass(frozen=True)
class SessionFacts:
    """A session as a server needs it."""

    session_id: int
    person: str  # the account's name; of a screen, which one it is
    role: ConsoleRole
    account_id: int | None
    last_seen_at: datetime
    ends_at: datetime
    idle: timedelta

    def stands(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return now < self.ends_at and now < self.last_seen_at + self.idle


def open_session(tx: Session, account: Account | None, opened_by: str) -> tuple[str, ConsoleSession]:
    """A new session and its cookie's token; rows of those long over are removed. account: None for a screen."""
    now, token = utc_now(), new_token()
    role = ConsoleRole.SCREEN if account is None else account.role
    tx.execute(delete(ConsoleSession).where(ConsoleSession.ends_at < now - KEPT))
    made = ConsoleSession(
        account_id=None if account is None else account.id,
        opened_by=opened_by[:100],
        token_sha256=token_hash(token),
        created_at=now,
        last_seen_at=now,
        ends_at=now + LONGEST,
        idle_s=int(IDLE[role].total_seconds()),
    )
    tx.add(made)
    tx.flush()
    return token, made


def find_session(tx: Session, token_sha256: str) -> SessionFacts | None:
    """A session that stands, by its token's hash; None for one that has ended, or whose account is disabled."""
    query = select(ConsoleSession, Account).outerjoin(Account, Account.id == ConsoleSession.account_id)
    found = tx.execute(query.where(ConsoleSession.token_sha256 == token_sha256)).one_or_none()
    if found is None:
        return None
    session, account = found[0], found[1]
    if session.ended_at is not None or (account is not None and account.disabled_at is not None):
        return None
    facts = SessionFacts(
        session.id,
        f"screen {session.id} of {session.opened_by}" if account is None else account.name,
        ConsoleRole.SCREEN if account is None else account.role,
        session.account_id,
        session.last_seen_at,
        session.ends_at,
        timedelta(seconds=session.idle_s),
    )
    return facts if facts.stands(utc_now()) else None


def note_seen(tx: Session, session_id: int) -> None:
    """Somebody did something in it just now."""
    tx.execute(update(ConsoleSession).where(ConsoleSession.id == session_id).values(last_seen_at=utc_now()))


def end_session(tx: Session, session_id: int) -> bool:
    """Whether it was still open."""
    statement = update(ConsoleSession).where(ConsoleSession.id == session_id, ConsoleSession.ended_at.is_(None))
    return changed(tx, statement.values(ended_at=utc_now())) == 1


def end_sessions_of(tx: Session, account: Account) -> int:
    """All of an account, and the screens that it let in; how many stood."""
    its = or_(
        ConsoleSession.account_id == account.id,
        ConsoleSession.account_id.is_(None) & (ConsoleSession.opened_by == account.name),
    )
    statement = update(ConsoleSession).where(its, ConsoleSession.ended_at.is_(None))
    return changed(tx, statement.values(ended_at=utc_now()))
