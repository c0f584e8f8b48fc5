"""The whole database into another one: from SQLite to PostgreSQL, back, or into a backup.

One snapshot of the source, one transaction of the target: it has every row or none. Rows are compared afterwards by a
digest of each table, and the audit log's chain is followed in the copy.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError

from common.progress import CountProgress
from db.audit.audit_log import verify_chain
from db.engine import reading
from db.errors import AlreadyThere, RecordError
from db.migrations import current, require_current, upgrade
from db.transfer.table_rows import (
    Reader,
    Row,
    TableDigest,
    TableHasher,
    set_sequences,
    snapshot,
    tables,
    unknown_tables,
    write_rows,
)


@dataclass(frozen=True)
class CopyReport:
    """What was copied: each table's rows and digest, equal on both sides."""

    tables: dict[str, TableDigest] = field(default_factory=dict)
    audit_entries: int = 0
    head: str = ""  # of the audit log, in the copy

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables.values())


def copy_database(
    source: Engine, target: Engine, told: CountProgress = lambda _done, _all: None, *, compare: bool = True
) -> CopyReport:
    """Copy every table of `source` into `target`, which must be empty; its schema is made.

    told: called with how many rows are written, of how many.  compare: read the copy back.
    Raises SchemaOutdated when the source has another schema than this program, AlreadyThere when the target is not
    empty, RecordError for rows that the target does not take or that differ afterwards.
    """
    require_current(source)
    strangers = unknown_tables(source)
    if strangers:
        raise RecordError(
            f"The database {source.url.render_as_string()} has tables that this Mien does not know and would leave "
            f"behind: {', '.join(strangers)}"
        )
    require_empty(target)
    with snapshot(source) as read:
        upgrade(target)
        report = CopyReport(_copy(read, target, told))
    if not compare:
        return report
    with snapshot(target) as written:
        differing = [t.name for t in tables() if written.digest(t) != report.tables[t.name]]
    if differing:
        raise RecordError(f"The copy differs from the source in {', '.join(differing)}; do not use it")
    with reading(target) as tx:
        chain = verify_chain(tx)
    if chain.broken is not None:
        raise RecordError(f"In the copy the audit log breaks at entry {chain.broken.entry}: {chain.broken.problem}")
    return CopyReport(report.tables, chain.entries, chain.head)


def require_empty(target: Engine) -> None:
    """Raise AlreadyThere when there is any row of anything in `target`; an empty schema of ours may be there."""
    where = target.url.render_as_string()
    if current(target) is None:
        others = inspect(target).get_table_names()
        if others:
            raise AlreadyThere(f"{where} is not empty: it has the table {others[0]}; make a new database for the copy")
        return
    require_current(target)
    with snapshot(target) as read:
        filled = [table.name for table in tables() if read.count(table)]
    if filled:
        raise AlreadyThere(f"{where} is not empty: it has rows in {', '.join(filled[:5])}; make a new database")


def _copy(read: Reader, target: Engine, told: CountProgress) -> dict[str, TableDigest]:
    counts = {table.name: read.count(table) for table in tables()}
    total, done = sum(counts.values()), 0
    digests: dict[str, TableDigest] = {}

    def passing(name: str, chunks: Iterator[list[Row]]) -> Iterator[list[Row]]:
        nonlocal done
        hasher = TableHasher()
        for chunk in chunks:
            hasher.add(chunk)
            yield chunk
            done += len(chunk)
            told(done, total)
        digests[name] = hasher.digest()

    sqlite = target.dialect.name == "sqlite"
    with target.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        if sqlite:
            driver.execute("PRAGMA foreign_keys = OFF")  # rows of one table may refer to later ones; checked below
        try:
            with connection.begin():
                for table in tables():
                    write_rows(connection, table, passing(table.name, read.rows(table)))
                set_sequences(connection)
                if sqlite and (broken := driver.execute("PRAGMA foreign_key_check").fetchone()):
                    raise RecordError(f"Table {broken[0]} refers to rows that are not there; nothing was copied")
        except DBAPIError as error:
            raise RecordError(
                f"{target.url.render_as_string()} stopped taking rows ({type(error.orig).__name__}); nothing was copied"
            ) from error
        finally:
            if sqlite:
                with suppress(Exception):
                    driver.execute("PRAGMA foreign_keys = ON")
    return digests
