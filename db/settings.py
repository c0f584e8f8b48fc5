"""Where a studio keeps its things: home folder, database URL, store.

A home holds `studio.toml` (optional), `studio.sqlite` (the default database), `store/`, `keys/` (0700) and `ingest/`.
Order of precedence: argument, environment (MIEN_HOME, MIEN_DATABASE), studio.toml, default.

    database = "postgresql://mien@db.studio.example/mien"
    store = "s3://studio-bucket/store"      # or a folder, relative to the home

    [studio]    # read by the controller
    [farm]      # read by the farm
    [release]   # read by the release
"""

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bounded.text import read_toml
from db.errors import SettingsError

DEFAULT_HOME = Path("mien-studio")
KEYS = ("database", "store")
SECTIONS = ("studio", "farm", "release")


def check_keys(found: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Refuse a key that nobody reads, naming the place, the key and the likely meant one.

    Raises SettingsError.  `where` is the file and table, as in "studio.toml [farm]".
    """
    names = sorted(allowed)
    for key in found:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(names)}"
            raise SettingsError(f"{where}: unknown key '{key}'; {hint}")


@dataclass(frozen=True)
class Settings:
    """A studio's home and what it points at. `sections` are the owners' tables of studio.toml, unchecked."""

    home: Path
    database: str
    store: str
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, home: Path | None = None, database: str | None = None) -> Self:
        """Settings from arguments, environment, studio.toml and defaults; creates nothing.

        Raises SettingsError for a studio.toml that is not TOML, or that has an unknown key or a value of a wrong type.
        """
        home = (home or Path(os.environ.get("MIEN_HOME") or DEFAULT_HOME)).absolute()
        written = _read(home / "studio.toml")
        url = database or os.environ.get("MIEN_DATABASE") or written.get("database")
        store = written.get("store", "store")
        if "://" not in store:
            store = str(home / store)
        sections = {name: written[name] for name in SECTIONS if name in written}
        return cls(home=home, database=url or f"sqlite:///{home / 'studio.sqlite'}", store=store, sections=sections)

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def ingest(self) -> Path:
        return self.home / "ingest"

    def make_home(self) -> None:
        """Create the home with its folders; keys are for the owner alone."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.ingest.mkdir(exist_ok=True)
        self.keys.mkdir(mode=0o700, exist_ok=True)
        if "://" not in self.store:
            Path(self.store).mkdir(parents=True, exist_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        written = read_toml(path)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from error
    check_keys(written, (*KEYS, *SECTIONS), str(path))
    for key in KEYS:
        if key in written and not isinstance(written[key], str):
            raise SettingsError(f"{path}: '{key}' must be a string, not {written[key]!r}")
    for name in SECTIONS:
        if name in written and not isinstance(written[name], dict):
            raise SettingsError(f"{path}: '{name}' must be a table: write [{name}]")
    return written
