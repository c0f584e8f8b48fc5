"""A studio opened: its settings, database and store together."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from db.access_guard import require_studio
from db.audit.restore_journal import keep_journal, place
from db.engine import open_database
from db.migrations import require_current
from db.settings import Settings
from db.store import Store


@dataclass(frozen=True)
class StudioRecords:
    """What a command needs to work on a studio's records. As a context manager it closes its connections at the end."""

    settings: Settings
    engine: Engine
    store: Store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        self.engine.dispose()


def open_studio(home: Path | None = None, database: str | None = None) -> StudioRecords:
    """Settings, database and store of the studio at `home`, as db.settings resolves them; nothing is made.

    Raises SettingsError (NoStudio, OpenToOthers), DatabaseUnavailable, and SchemaOutdated when `mien db upgrade` has
    not been run.
    """
    settings = Settings.load(home, database)
    return StudioRecords(settings, open_records(settings), Store(settings.store, cache=settings.home / "cache"))


def open_records(settings: Settings) -> Engine:
    """The database of a studio that is there, closed to others and current. Raises as open_studio does."""
    require_studio(settings)
    engine = open_database(settings.database)
    try:
        require_current(engine)
    except BaseException:
        engine.dispose()
        raise
    keep_journal(engine, place(settings.store, settings.home))
    return engine
