"""The audit log: who did what to which thing. Entries are only ever added, in the transaction of the act itself.

Each entry holds the hash of the one before it, so that a changed, removed or inserted entry breaks the chain at that
place. Entries wait in the session and are written as the last thing before it commits: the lock that keeps one chain is
then held for two statements, and is always the last lock that a transaction takes. After Schneier and Kelsey, "Secure
Audit Logs to Support Computer Forensics", 1999, without their per-entry keys: whoever may drop the triggers may also
write a whole new chain, which is why the head should be noted elsewhere (`mien db audit --known HEAD`).
"""

import getpass
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event, func, insert, select
from sqlalchemy.orm import Session

from common.json_values import map_leaves
from db.audit import restore_journal
from db.audit.acting_person import acting_person
from db.engine import utc_now
from db.models import AuditEvent

BEGINNING = "0" * 64  # what the first entry holds in place of a hash
_WAITING = "mien_audit_entries"
_ADVISORY_LOCK = 0x4D6961  # any constant, the same in every Mien program


def actor() -> str:
    """Who acts: the person whose request is answered, else MIEN_ACTOR, else the login name."""
    person = acting_person()
    if person is not None:
        return person
    try:
        return os.environ.get("MIEN_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def record(
    tx: Session,
    action: str,
    about_kind: str,
    about_id: str,
    detail: Mapping[str, Any] | None = None,
    *,
    by: str | None = None,
) -> None:
    """Add an entry, written when `tx` commits. `detail` holds no personal data: codes, scopes, hashes and counts only.

    Raises RuntimeError within a savepoint, whose rollback the entry would outlive, and for a `detail` that is not JSON.
    """
    if tx.in_nested_transaction():
        raise RuntimeError(f"audit entry {action} within a savepoint: record it in the transaction itself")
    try:
        plain = json.loads(json.dumps(dict(detail or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise RuntimeError(f"audit entry {action}: its detail is not JSON: {error}") from error
    entry = {
        "at": utc_now(),
        "actor": (by or actor())[:100],
        "action": action,
        "about_kind": about_kind,
        "about_id": about_id,
        "detail": plain,
    }
    if tx.get_transaction() is None:
        tx.begin()
    if not _waiting(tx):
        tx.info[_WAITING] = (tx.get_transaction(), [])
    _waiting(tx).append(entry)


@dataclass(frozen=True)
class Break:
    """The first entry at which the chain does not hold, and how."""

    entry: int
    at: datetime
    action: str
    problem: str


@dataclass(frozen=True)
class ChainReport:
    """What a look at the whole log found."""

    entries: int
    head: str  # the last entry's hash, worth noting somewhere else
    broken: Break | None = None
    known_found: bool | None = None  # whether the head noted earlier is in the log; None when none was given


def verify_chain(tx: Session, known: str | None = None) -> ChainReport:
    """Follow the chain from the first entry to the first break, or to its head.

    known: a head noted earlier. It must be in the log, else entries were cut off its end or the log was written anew.
    """
    previous, count = BEGINNING, 0
    known_found = None if known is None else known == BEGINNING
    query = select(AuditEvent).order_by(AuditEvent.id).execution_options(yield_per=1000)
    with closing(tx.scalars(query)) as entries:
        for entry in entries:
            problem = ""
            if entry.previous != previous:
                problem = "it does not follow the entry before it: an entry was removed, inserted or exchanged here"
            elif entry.sha256 != link(previous, _content(entry)):
                problem = "its content is not what was written"
            if problem:
                return ChainReport(count, previous, Break(entry.id, entry.at, entry.action, problem), known_found)
            previous, count = entry.sha256, count + 1
            known_found = known_found or (None if known is None else entry.sha256 == known)
    return ChainReport(count, previous, None, known_found)


def link(previous: str, content: Mapping[str, Any]) -> str:
    """SHA-256 of an entry's content with the hash of the entry before it, over sorted JSON without spaces in UTF-8."""
    whole = {
        **content,
        "previous": previous,
        "at": content["at"].astimezone(UTC).isoformat(timespec="microseconds"),
        "detail": map_leaves(content["detail"], _integral),
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _integral(value: object) -> object:
    """A number as every database gives it back: PostgreSQL returns 1e16 as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _content(entry: AuditEvent) -> dict[str, Any]:
    names = ("at", "actor", "action", "about_kind", "about_id", "detail")
    return {name: getattr(entry, name) for name in names}


@event.listens_for(Session, "before_commit")
def _write(tx: Session) -> None:
    if tx.in_nested_transaction():
        return
    waiting = _waiting(tx)
    if not waiting:
        return
    tx.info.pop(_WAITING)
    tx.flush()  # takes every other lock first
    if tx.get_bind().dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        tx.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    previous = tx.scalar(select(AuditEvent.sha256).order_by(AuditEvent.id.desc()).limit(1)) or BEGINNING
    rows = []
    for entry in waiting:
        sha256 = link(previous, entry)
        rows.append({**entry, "previous": previous, "sha256": sha256})
        previous = sha256
    tx.execute(insert(AuditEvent), rows)
    restore_journal.note(tx, rows)


def _waiting(tx: Session) -> list[dict[str, Any]]:
    """The entries recorded in the transaction that is under way; those of one that was rolled back are nobody's."""
    transaction, entries = tx.info.get(_WAITING, (None, []))
    return entries if transaction is not None and transaction is tx.get_transaction() else []
