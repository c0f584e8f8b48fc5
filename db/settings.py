"""Where a studio keeps its things: home folder, database URL, store.

A home holds `studio.toml` (optional), `studio.sqlite` (the default database), `store/`, `keys/` (0700), `ingest/` and,
once there are any, `rig-shots/` (photographs without a subject).
Order of precedence: argument, environment (MIEN_HOME, MIEN_DATABASE), studio.toml, default.

    database = "postgresql://mien@db.studio.example/mien"
    store = "s3://studio-bucket/store"      # or a folder, relative to the home

    [studio]    # read by the controller
    [farm]      # read by the farm
    [release]   # read by the release
    [records]   # read by db.consents.study_settings
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from common.bounded.json_toml import read_toml
from common.configuration.loader import from_table
from common.guarding.file_modes import open_mode
from common.guarding.secret_masking import holds_password
from db.errors import OpenToOthers, SettingsError

DEFAULT_HOME = Path("mien-studio")
SECTIONS = ("studio", "farm", "release", "records")


@dataclass(frozen=True)
class _StudioFile:
    """studio.toml as it is written; who owns a section checks it."""

    database: str = ""
    store: str = "store"
    studio: Mapping[str, Any] | None = None
    farm: Mapping[str, Any] | None = None
    release: Mapping[str, Any] | None = None
    records: Mapping[str, Any] | None = None


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
        url = database or os.environ.get("MIEN_DATABASE") or written.database
        store = written.store
        _check_secrets(home / "studio.toml", written.database, store)
        if "://" not in store:
            store = str(home / store)
        tables = {name: getattr(written, name) for name in SECTIONS}
        sections = {name: table for name, table in tables.items() if table is not None}
        return cls(home=home, database=url or f"sqlite:///{home / 'studio.sqlite'}", store=store, sections=sections)

    @property
    def keys(self) -> Path:
        """The folder of the keys by which nodes and studio know each other."""
        return self.home / "keys"

    @property
    def ingest(self) -> Path:
        """The folder of photographs that are coming in."""
        return self.home / "ingest"

    def make_home(self) -> None:
        """Create the home with its folders, for the owner alone; what is there stays as it is (see db.access_guard)."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ingest.mkdir(mode=0o700, exist_ok=True)
        self.keys.mkdir(mode=0o700, exist_ok=True)
        if "://" not in self.store:
            try:
                Path(self.store).mkdir(mode=0o700, parents=True, exist_ok=True)
            except FileExistsError as error:  # a file, or a link to what is not there
                raise SettingsError(f"The store {self.store} is no folder, nor a link to one that is there") from error


def _check_secrets(path: Path, database: str, store: str) -> None:
    """Refuse keys in the store's address, and a password in a file that others may read."""
    if store.startswith("s3:") and "@" in store:
        raise SettingsError(
            f"{path}: the store's address holds keys; write s3://BUCKET/PREFIX, and give the keys by AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY or ~/.aws/credentials"
        )
    mode = open_mode(path)
    if mode is not None and (holds_password(database) or holds_password(store)):
        raise OpenToOthers(f"{path} holds a password and is open to other users (mode {mode:o}): chmod 600 {path}")


def _read(path: Path) -> _StudioFile:
    try:
        written = read_toml(path)
    except FileNotFoundError:
        return _StudioFile()
    except ValueError as error:
        raise SettingsError(f"{path}: not a TOML file: {error}") from error
    return from_table(_StudioFile, written, str(path), SettingsError)
