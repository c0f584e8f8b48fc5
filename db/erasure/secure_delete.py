"""What was deleted goes from the database's own pages too: its free ones, and its log.

A deleted row's bytes stay where they were until something else is written there. SQLite is told to overwrite them
(secure_delete), but copies remain in pages from before that, in gaps that a page's rebuilding leaves, and in the
write-ahead log; PostgreSQL keeps dead rows until a vacuum rewrites their table.
"""

import sqlite3
from collections.abc import Sequence

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from db.engine import reading
from db.models import (
    Artefact,
    ArtefactParent,
    Base,
    CameraAside,
    CaptureSession,
    ErasureFile,
    Frame,
    FrameMeasure,
    Job,
    JobInput,
    JobSubject,
    JobTake,
    Personal,
    RawFile,
    RunReview,
    SessionState,
    SkippedExpression,
    Subject,
    Take,
    TakeAbsence,
    TakeCheck,
    TakeReview,
)

PATIENCE_MS = 10_000
LARGE_BYTES = 200_000_000  # rewritten in some seconds: a session that is open would wait for it
# What an erasure deletes from or blanks.
TOUCHED: tuple[type[Base], ...] = (
    ErasureFile, Frame, RawFile, FrameMeasure, TakeCheck, TakeReview, Artefact, ArtefactParent, RunReview, JobInput,
    JobTake, JobSubject, Job, SkippedExpression, CameraAside, TakeAbsence, Take, Personal, Subject,
)  # fmt: skip


def purge_free_pages(engine: Engine) -> str:
    """Rewrite what may hold deleted rows, and empty the log; what is still to be done and why, empty when all is.

    Others may go on reading and writing; while it runs, writers wait.
    """
    if engine.dialect.name == "sqlite":
        return _wipe_sqlite(engine)
    return _wipe_postgresql(engine)


def _wipe_sqlite(engine: Engine) -> str:
    with engine.connect() as outer:
        driver = outer.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        size = pages * driver.execute("PRAGMA page_size").fetchone()[0]
        if size > LARGE_BYTES and (session := _open_session(engine)):
            return f"session {session} is open, and rewriting the database ({size / 1e9:.1f} GB) would make it wait"
        before = driver.execute("PRAGMA busy_timeout").fetchone()[0]
        try:
            driver.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
            try:
                driver.execute("VACUUM")
            except sqlite3.Error as error:
                return f"the database could not be rewritten ({error})"
            busy, left, _done = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            driver.execute(f"PRAGMA busy_timeout = {before}")
    if busy or left > 0:
        return "somebody reads the database and keeps its write-ahead log (close other programs on it)"
    return ""


def _wipe_postgresql(engine: Engine) -> str:
    if session := _open_session(engine):
        return f"session {session} is open, and VACUUM FULL of its tables would make it wait"
    failed: list[str] = []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"SET lock_timeout = {PATIENCE_MS}")
        try:
            for name in _names(TOUCHED):
                try:
                    connection.exec_driver_sql(f'VACUUM (FULL) "{name}"')
                except DBAPIError as error:
                    failed.append(f"{name} ({type(error.orig).__name__})")
        finally:
            connection.exec_driver_sql("RESET lock_timeout")
    return f"VACUUM FULL did not come through for {', '.join(failed)}" if failed else ""


def _names(tables: Sequence[type[Base]]) -> list[str]:
    return [table.__tablename__ for table in tables]


def _open_session(engine: Engine) -> str | None:
    with reading(engine) as tx:
        query = select(CaptureSession.code).where(CaptureSession.state == SessionState.OPEN).limit(1)
        return tx.scalar(query)
