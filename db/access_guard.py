"""A studio that is there, and closed: its home, database and store are for the account that runs it, and nobody else's.

Key files have always been refused when others may read them; photographs and records of people are no less. What an
earlier version or another umask left open is closed by `mien db upgrade`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from common.guarding.file_modes import close, open_mode
from db.errors import NoStudio, OpenToOthers
from db.settings import Settings


def require_studio(settings: Settings) -> None:
    """Raise NoStudio where reading would make a home or a database, OpenToOthers where others may read them."""
    database = database_file(settings)
    if database is not None and not (database.is_file() and database.stat().st_size):
        home = settings.home
        if database == home / "studio.sqlite":
            raise NoStudio(f"There is no studio at {home}; is it spelt right? mien db upgrade --home {home} makes one")
        raise NoStudio(f"There is no database {database}; is it spelt right? mien db upgrade makes one there")
    require_closed(settings)


def require_home(settings: Settings) -> None:
    """Raise NoStudio where the home is not there: for commands that write into one and do not make it."""
    if not settings.home.is_dir():
        home = settings.home
        raise NoStudio(f"There is no studio at {home}; is it spelt right? mien db upgrade --home {home} makes one")


def require_closed(settings: Settings) -> None:
    """Raise OpenToOthers with everything of the studio that others may read, and what to type."""
    found = [
        (path, mode)
        for path in _held(settings)
        if (mode := open_mode(path)) is not None and not (path == settings.home and _bare(settings, mode))
    ]
    if found:
        told = "\n".join(
            f"  {path} is open to other users (mode {mode:o}): chmod go-rwx {path}" for path, mode in found
        )
        raise OpenToOthers(
            f"Photographs and records of people are for the studio's own account:\n{told}\n"
            f"Or close them all:  mien db upgrade --home {settings.home}"
        )


def close_studio(settings: Settings) -> list[Path]:
    """Close what others may read of a studio: home, database, store with its files. What had been open."""
    store = _store(settings)
    was_open = [path for path in _held(settings) if close(path)]
    if store is not None and store in was_open:
        for place, folders, files in os.walk(store):
            for name in (*folders, *files):
                close(Path(place, name))
    return was_open


def database_file(settings: Settings) -> Path | None:
    """The SQLite file; None for a server. Raises nothing: a malformed address is told of where it is opened."""
    try:
        url = make_url(settings.database)
    except Exception:
        return None
    return Path(url.database).absolute() if url.get_backend_name() == "sqlite" and url.database else None


def _store(settings: Settings) -> Path | None:
    return Path(settings.store) if "://" not in settings.store else None


def _bare(settings: Settings, mode: int) -> bool:
    """Whether a home that others may look into, not write to, holds a database alone, which is closed by itself: a copy
    in somebody's folder gives nothing away."""
    theirs = (settings.keys, settings.ingest, settings.home / "store", settings.home / "studio.toml")
    return not mode & 0o022 and not any(path.exists() for path in theirs)


def _held(settings: Settings) -> Iterator[Path]:
    yield settings.home
    database = database_file(settings)
    if database is not None:
        yield from (Path(f"{database}{ending}") for ending in ("", "-wal", "-shm"))
    store = _store(settings)
    if store is not None:
        yield store
