"""Whether a store and a database belong together, and are of the same day.

Both carry the studio's name. The store also notes how far the records had come: the audit log's head and length, how
many takes and frames. A database whose log lacks that head is an older copy, or has gone another way since; a store
whose note is before the one that the database knows of is an older copy itself. Whoever destroys anything asks here
first; a session, a farm and reading commands go on meanwhile.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.engine import reading, transaction, utc_now
from db.errors import IdentityError, StoreError
from db.models import AuditEvent, Erasure, Frame, StudioIdentity, Take
from db.store import SHARDS, Store
from db.store_parts import store_identity_notes
from db.store_parts.store_identity_notes import StoreNote
from db.store_parts.store_references import referenced

MANY = 100_000  # files: more than that are compared by samples
ADOPT = "mien db adopt-store"


class IdentityStanding(StrEnum):
    """How a store and a database stand to each other. Only with the first may anything be destroyed."""

    SAME = "same"
    NEW = "new"  # one of them carries no identity yet, and what is in them agrees
    AWAY = "away"  # the store's folder is not there, or empty
    UNKNOWN = "unknown"  # one of them carries no identity, and what is in them does not agree
    OTHER = "other"  # another studio's
    OLDER_DATABASE = "older database"
    OTHER_LINE = "other line"  # the database went another way after a copy of it was restored
    OLDER_STORE = "older store"


@dataclass(frozen=True)
class Verdict:
    """How they stand, and what to say of it: what, which, what to do."""

    standing: IdentityStanding
    message: str = ""

    @property
    def same(self) -> bool:
        """Whether they belong together as they are."""
        return self.standing is IdentityStanding.SAME


@dataclass(frozen=True)
class DatabaseIdentity:
    """What the database carries."""

    studio: str
    noting: int  # the last note to the store that was begun
    noted: int  # the last of which it is known that the store has it


@dataclass(frozen=True)
class Agreement:
    """What the records name and the store holds. Of samples alone where there are many: see `sampled`."""

    named: int  # files that the records name
    there: int  # of these, in the store
    unnamed: int  # files in the store that no row names
    sampled: bool = False

    @property
    def missing(self) -> int:
        """Files that the records name and the store lacks."""
        return self.named - self.there

    @property
    def enough(self) -> bool:
        """Whether one may be taken for the other's: hardly any is missing, and hardly any is nobody's."""
        if self.named == 0:
            return self.unnamed == 0
        few = max(2, self.named // 20)
        return self.missing <= few and 2 * self.there >= self.named and self.unnamed <= max(3, self.named // 5)

    def __str__(self) -> str:
        part = "of a sixteenth of them: " if self.sampled else ""
        return (
            f"{part}the records name {self.named} files, {self.there} of them are there;"
            f" {self.unnamed} files are there that no record names"
        )


def read(tx: Session) -> DatabaseIdentity | None:
    """The identity that the database carries; None when it has none yet."""
    row = tx.get(StudioIdentity, 1)
    return None if row is None else DatabaseIdentity(row.studio, row.noting, row.noted)


def check(engine: Engine, store: Store) -> Verdict:
    """Hold both identities against each other; changes nothing. Raises StoreError when the store does not answer.

    Others may note meanwhile. The note is read before the records, which are told of a note first, so these are never
    behind it; and when the store has another note afterwards, what was found belongs to no one moment and is looked at
    again.
    """
    if away := store.absence():
        return Verdict(IdentityStanding.AWAY, f"The store {store.root} is away: {away}. Mount it, then run this again.")
    note = store.identity()
    while True:
        verdict = _held_against(engine, store, note)
        if verdict.same or (later := store.identity()) == note:
            return verdict
        note = later


def _held_against(engine: Engine, store: Store, note: StoreNote | None) -> Verdict:
    """The database as it is now beside a note that was read before."""
    with reading(engine) as tx:
        own = read(tx)
        if own is not None and note is not None and own.studio != note.studio:
            return Verdict(
                IdentityStanding.OTHER,
                f"The store {store.root} is another studio's ({note.studio[:8]}; this database is of {own.studio[:8]})."
                f" Name the right --database or `store` in studio.toml, or look at what is there: {ADOPT}",
            )
        if note is not None:
            behind = _behind(tx, own, note, store)
            if behind is not None:
                return behind
    if own is not None and note is not None:
        if note.number < own.noted:
            return Verdict(
                IdentityStanding.OLDER_STORE,
                f"The store {store.root} is an older copy: its note is number {note.number} ({note.noted_at[:10]}), the"
                f" database knows of number {own.noted}. Restore what is missing, then confirm it: {ADOPT}",
            )
        return Verdict(IdentityStanding.SAME)
    if note is not None:  # the database lost its identity, and holds all that the store knows of
        return Verdict(IdentityStanding.NEW)
    return _unmarked(engine, store, own)


def require(engine: Engine, store: Store) -> None:
    """Pass when store and database belong together; those that carry no identity yet and agree are given one.

    Raises IdentityError otherwise, StoreError when the store does not answer. Nothing else is changed.
    """
    verdict = check(engine, store)
    if verdict.standing is IdentityStanding.NEW:
        _mark(engine, store)
        verdict = check(engine, store)
    if not verdict.same:
        raise IdentityError(f"{verdict.message}\nNothing was changed.")


def note(engine: Engine, store: Store) -> Verdict:
    """Tell the store how far the records have come: after a session, an erasure, a mending; before a backup is taken.

    Only a store that belongs to the database is told; another verdict is returned and nothing is written. Raises
    StoreError when the store does not answer.
    """
    verdict = check(engine, store)
    if verdict.standing is IdentityStanding.NEW:
        _mark(engine, store)
        return check(engine, store)
    if verdict.same:
        _tell(engine, store)
    return verdict


def still(engine: Engine, store: Store) -> None:
    """A quick look, between two files, that the store is still there and this studio's. Raises IdentityError."""
    with reading(engine) as tx:
        own = read(tx)
    found = None if store.absence() else store.identity()
    if own is None or found is None or found.studio != own.studio:
        raise IdentityError(
            f"The store {store.root} went away, or was exchanged, in the middle of this. What was done until then is"
            " recorded; bring the store back and run the same command again."
        )


def agreement(engine: Engine, store: Store) -> Agreement:
    """Compare what the records name with what the store holds, by hashes alone."""
    with reading(engine) as tx:
        many = (tx.scalar(select(func.count()).select_from(Frame)) or 0) > MANY
    named = there = unnamed = 0
    for shard in _sample(many):
        filed = {file.sha256 for file in store.shard(shard)[0]}
        with reading(engine) as tx:
            rows = referenced(tx, shard)
        wanted = {sha256 for sha256, referred in rows.items() if referred.is_file}
        named += len(wanted)
        there += len(wanted & filed)
        unnamed += len(filed - rows.keys())
    return Agreement(named, there, unnamed, many)


def accept_as_current(engine: Engine, store: Store) -> None:
    """A person has confirmed that this database and this store are the truth from now on, whatever they carried.

    The audit log says so, and the store's note holds that entry: a database that was set aside for this one is
    recognised by it afterwards. Raises StoreError when the store is not there or does not answer.
    """
    if away := store.absence():
        raise StoreError(f"The store {store.root} is not there ({away}); mount it, or make it. Nothing was changed")
    found = _numbers(store)
    with transaction(engine) as tx:
        row = tx.get(StudioIdentity, 1)
        last = max([0, *found, *([row.noting] if row else [])])
        studio = row.studio if row else uuid.uuid4().hex
        if row is None:
            values = {"id": 1, "studio": studio, "made_at": utc_now(), "noting": last, "noted": 0}
            tx.execute(insert(StudioIdentity).values(values))
        tx.execute(update(StudioIdentity).values(noting=last))
        audit_log.record(tx, "store.adopt", "studio", studio[:32], {"note": last + 1})
    _tell(engine, store)


def _behind(tx: Session, own: DatabaseIdentity | None, note: StoreNote, store: Store) -> Verdict | None:
    """What the store knows of these records and they do not hold."""
    entries, takes, frames, erasures = _counts(tx)
    holds = note.head == audit_log.BEGINNING or _has_entry(tx, note.head)
    day = f"{note.noted_at[:16].replace('T', ' ')} UTC"
    compared = (("takes", note.takes, takes), ("audit entries", note.entries, entries))
    lost = [f"{was - now} {what}" for what, was, now in compared if was > now]
    if note.frames > frames and erasures <= note.erasures:
        lost.append(f"{note.frames - frames} photographs")
    newer = own is not None and note.number > own.noting
    unmarked = own is None and (note.entries == 0 or not holds)
    if not lost and not newer and holds and not unmarked:
        return None
    lacks = f", and this one lacks {', '.join(lost)} of them" if lost else ""
    if lost or newer or own is None:
        kind = "new, or another studio's" if own is None and entries == 0 else "an older copy, or another one"
        return Verdict(
            IdentityStanding.OLDER_DATABASE if own is not None else IdentityStanding.UNKNOWN,
            f"The database is {kind}: the store {store.root} has seen records up to {day}{lacks}. Use the newest"
            f" database, or restore a newer backup. If this one is the truth from now on, confirm it: {ADOPT}",
        )
    return Verdict(
        IdentityStanding.OTHER_LINE,
        f"The database went another way than the one that the store {store.root} belongs to: entry {note.entries} of"
        f" its audit log ({day}) is another. If this one is the truth from now on, confirm it: {ADOPT}",
    )


def _unmarked(engine: Engine, store: Store, own: DatabaseIdentity | None) -> Verdict:
    """The store carries no identity: it is new, from before there were any, away, or another's."""
    found = agreement(engine, store)
    known = own is not None and own.noted > 0
    empty = found.there == 0 and found.unnamed == 0
    if empty and (known or found.named):
        return Verdict(
            IdentityStanding.AWAY,
            f"The store {store.root} is empty and carries no identity, and the records name files: is its disk mounted?"
            f" Mount it, then run this again. If its files are lost and this is a new one: {ADOPT}",
        )
    if known or not found.enough:
        return Verdict(
            IdentityStanding.UNKNOWN,
            f"The store {store.root} does not say whose it is, and may be another's, or not wholly there: {found}."
            f" Look at it, and confirm that it is this database's: {ADOPT}",
        )
    return Verdict(IdentityStanding.NEW)


def _mark(engine: Engine, store: Store) -> None:
    """Give both one identity. Whoever is killed in between is given it by the next one."""
    note = store.identity()
    with transaction(engine) as tx:
        if tx.get(StudioIdentity, 1) is None:
            number = note.number if note else 0
            studio = note.studio if note else uuid.uuid4().hex
            values = {"id": 1, "studio": studio, "made_at": utc_now(), "noting": number, "noted": number}
            tx.execute(insert(StudioIdentity).values(values))
    _tell(engine, store)


def _tell(engine: Engine, store: Store) -> None:
    with transaction(engine) as tx:
        tx.execute(update(StudioIdentity).values(noting=StudioIdentity.noting + 1))
        own = read(tx)
        assert own is not None
        head = tx.scalar(select(AuditEvent.sha256).order_by(AuditEvent.id.desc()).limit(1)) or audit_log.BEGINNING
        entries, takes, frames, erasures = _counts(tx)
    store_identity_notes.write(
        store.fs, store.root,
        StoreNote(own.studio, own.noting, head, entries, takes, frames, erasures, utc_now().isoformat()),
    )  # fmt: skip
    with transaction(engine) as tx:
        later = update(StudioIdentity).where(StudioIdentity.noted < own.noting)
        tx.execute(later.values(noted=own.noting))


def _counts(tx: Session) -> tuple[int, int, int, int]:
    tables = (AuditEvent, Take, Frame, Erasure)
    entries, takes, frames, erasures = (tx.scalar(select(func.count()).select_from(table)) or 0 for table in tables)
    return entries, takes, frames, erasures


def _has_entry(tx: Session, sha256: str) -> bool:
    return tx.scalar(select(AuditEvent.id).where(AuditEvent.sha256 == sha256)) is not None


def _numbers(store: Store) -> list[int]:
    return store_identity_notes.numbers(store.fs, store.root)


def _sample(many: bool) -> Sequence[str]:
    return SHARDS[::16] if many else SHARDS


def described(store: Store) -> str:
    """The store's own account, for a person: whose, and how far."""
    try:
        note = store.identity()
    except StoreError as error:
        return str(error)
    if note is None:
        return "carries no identity"
    when = f"{note.noted_at[:16].replace('T', ' ')} UTC"
    return f"is of studio {note.studio[:8]}: note {note.number}, {when}, {note.takes} takes, {note.frames} photographs"
