"""Opening the database, and short transactions on it.

SQLite runs in WAL mode with foreign keys on. A writing transaction begins IMMEDIATE, so that two writers queue for the
lock (busy_timeout) instead of failing when both hold a read snapshot. PostgreSQL runs READ COMMITTED: every change of
state in this package is one guarded update, which is safe at that level. Values stay out of errors and logs
(hide_parameters).
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, Engine, Executable, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.orm import Session

from common.guarding.secret_masking import masked
from db.errors import DatabaseUnavailable, SettingsError

BUSY_TIMEOUT_MS = 30_000
READ_ONLY = "mien_read_only"
T = TypeVar("T")
_told: "WeakKeyDictionary[Engine, Callable[[], None]]" = WeakKeyDictionary()


def utc_now() -> datetime:
    """The records' clock: aware UTC."""
    return datetime.now(UTC)


def open_database(url: str) -> Engine:
    """An engine for `sqlite:///path` or `postgresql://…`; connects on first use.

    The folder of a SQLite file is created; the schema is not: see db.migrations.upgrade.
    Raises SettingsError for a URL that is neither.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # neither its text nor its cause: a password may be in them
        raise SettingsError(
            "the database's address is no URL (it is not shown: it may hold a password); write "
            "sqlite:///studio.sqlite or postgresql://USER@HOST:PORT/NAME"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(url, parsed.database)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_recycle=1800,
            hide_parameters=True,
            connect_args={"application_name": "mien", "connect_timeout": 10},
        )
    raise SettingsError(
        f"'{parsed.get_backend_name()}' is not a database Mien knows; write sqlite:///… or postgresql://…"
    )


def shown(engine: Engine) -> str:
    """The database's address as messages show it: without passwords, wherever in it they are."""
    return masked(engine.url.render_as_string())


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """A short writing transaction: commits at the end, rolls back on any exception.

    Objects stay readable after it. Hold no transaction over file or network work.
    Raises DatabaseUnavailable when the server or the file cannot be reached.
    """
    with _named_failures(engine), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
    if (told := _told.get(engine)) is not None:
        told()


def tell_commits(engine: Engine, told: Callable[[], None]) -> None:
    """Have `told` called after each writing transaction of this engine, in the thread that wrote: return at once."""
    _told[engine] = told


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A reading transaction: one snapshot on SQLite, and never in a writer's way. Nothing is committed."""
    with (
        _named_failures(engine),
        Session(engine.execution_options(**{READ_ONLY: True}), expire_on_commit=False, autoflush=False) as session,
    ):
        yield session


def changed(tx: Session, statement: Executable, given: Mapping[str, Any] | None = None) -> int:
    """Execute a guarded update or delete and return how many rows it changed; zero: someone else acted.

    given: values of the statement's parameters.
    """
    result = tx.execute(statement, given, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)
    return int(result.rowcount)


def in_chunks(values: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """These values in their order, at most so many at once: by default what a statement takes as parameters."""
    left = iter(values)
    while chunk := list(islice(left, size)):
        yield chunk


@contextmanager
def _named_failures(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise DatabaseUnavailable(f"The database {shown(engine)} does not answer: {error.orig}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable(f"The connection to {shown(engine)} was lost") from error
        raise


def _open_sqlite(url: str, database: str | None) -> Engine:
    if not database or database == ":memory:":
        raise SettingsError("a SQLite database must be a file: other processes open it too")
    path = Path(database).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, hide_parameters=True)

    def connected(connection: sqlite3.Connection, record: object) -> None:
        if path.stat().st_size == 0:  # made this moment; its journals take its mode
            path.chmod(0o600)
        _set_pragmas(connection, record)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    # The driver must not begin transactions by itself: _begin does, so that DDL is transactional too.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "wal_autocheckpoint = 4000",  # pages: a checkpoint in every fortieth take's commit, not in every tenth
        "synchronous = FULL",
        "foreign_keys = ON",
        "cache_size = -65536",
        "temp_store = MEMORY",
        "secure_delete = ON",  # what is erased is overwritten
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
