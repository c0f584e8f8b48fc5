"""Schema revisions. Run from Python, on the engine the program already has: there is no alembic.ini."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from db.engine import shown
from db.errors import DatabaseUnavailable, RecordError, SchemaOutdated

# Any constant will do, as long as all Mien programs take the same lock.
_ADVISORY_LOCK = 0x4D69656E


def head() -> str:
    """The newest revision this program knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def current(engine: Engine) -> str | None:
    """The database's revision; None when it is empty."""
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:  # away, a wrong password, an option that the server does not know, no database at all
        raise DatabaseUnavailable(f"The database {shown(engine)} does not answer: {error.orig}") from error


def require_current(engine: Engine) -> None:
    """Raise SchemaOutdated unless the database has exactly this program's schema."""
    found = current(engine)
    if found == head():
        return
    url = shown(engine)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaOutdated(f"{url} was made by a newer Mien (revision {found}); install that version here too")
    raise SchemaOutdated(f"{url} has revision {found or 'none'}, this program needs {head()}; run: mien db upgrade")


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`, in one transaction; two programs at once do it one after the other."""
    _run(engine, revision, up=True)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to `revision` ('base' empties the database)."""
    _run(engine, revision, up=False)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _run(engine: Engine, revision: str, *, up: bool) -> None:
    config = _config()
    try:
        with engine.connect() as connection:
            _foreign_keys(connection, on=False)
            try:
                with connection.begin():
                    if connection.dialect.name == "postgresql":
                        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
                    config.attributes["connection"] = connection
                    (command.upgrade if up else command.downgrade)(config, revision)
                    _check_references(connection)
            finally:
                _foreign_keys(connection, on=True)
    except OperationalError as error:
        raise DatabaseUnavailable(f"The database {shown(engine)} does not answer: {error.orig}") from error


def _foreign_keys(connection: Connection, *, on: bool) -> None:
    # SQLite changes a table by copying it, which foreign keys would refuse. The pragma works outside transactions only,
    # so it goes to the driver's connection.
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(f"PRAGMA foreign_keys = {'ON' if on else 'OFF'}")


def _check_references(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise RecordError(
                f"the migration would leave {len(broken)} broken references, first in table {broken[0][0]}"
            )
