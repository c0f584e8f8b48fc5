"""What the studio's server needs to know, from the home's studio.toml, its [studio] table and rig.toml."""

from dataclasses import dataclass, replace
from pathlib import Path

from common.configuration.loader import from_table
from controller.errors import ConfigurationError
from controller.rig_file import Rig, read_rig
from db.settings import Settings

CONTROL = "tcp://127.0.0.1:5701"
BULK = "tcp://127.0.0.1:5702"
CONSOLE_PORT = 5780
SETTING_UP = "setting-up"  # name of a rig that has no file yet


@dataclass(frozen=True)
class StudioSettings:
    """Everything a Studio needs. Addresses are ZeroMQ's to bind; port `*` takes a free one.

    The defaults listen on this machine only: a studio with camera computers sets its own network's address.
    """

    # the home, the database and the store
    records: Settings
    # the cameras and their limits
    rig: Rig
    # where nodes connect for control
    control: str = CONTROL
    # where nodes connect with photographs
    bulk: str = BULK
    # of the console and the API, on this machine alone
    console_port: int = CONSOLE_PORT
    # any enrolled node may announce its camera, no session is begun; see set_up_settings
    setting_up: bool = False


@dataclass(frozen=True)
class _Section:
    """The [studio] table of studio.toml."""

    rig: str = "rig.toml"
    control: str = CONTROL
    bulk: str = BULK
    console_port: int = CONSOLE_PORT


def load_settings(
    home: Path | None = None, database: str | None = None, rig_file: Path | None = None
) -> StudioSettings:
    """Settings from arguments, environment, studio.toml and defaults.

        [studio]
        rig = "rig.toml"                  # relative to the home
        control = "tcp://10.0.0.1:5701"
        bulk = "tcp://10.0.0.1:5702"
        console_port = 5780

    Raises ConfigurationError or SettingsError, naming file and key.
    """
    records = Settings.load(home, database)
    written, path = _section(records, rig_file)
    if not path.exists():
        raise ConfigurationError(
            f"{path}: no rig file; begin one from the nodes that answer (mien studio serve --setup, then mien rig init)"
            " or pass --rig FILE"
        )
    return StudioSettings(
        records=records,
        rig=read_rig(path),
        control=written.control,
        bulk=written.bulk,
        console_port=written.console_port,
    )


def set_up_settings(folder: Path, home: Path | None = None, rig_file: Path | None = None) -> StudioSettings:
    """Settings of a studio that is set up: with the rig file as far as there is one, and no records of its own.

    folder: takes what such a studio would record, and is thrown away. Raises ConfigurationError or SettingsError.
    """
    records = Settings.load(home)
    written, path = _section(records, rig_file)
    rig = read_rig(path, setting_up=True) if path.exists() else Rig(SETTING_UP, ())
    apart = replace(records, database=f"sqlite:///{folder / 'studio.sqlite'}", store=str(folder / "store"))
    return StudioSettings(apart, rig, written.control, written.bulk, written.console_port, setting_up=True)


def rig_path(home: Path | None = None) -> Path:
    """Where the home's rig file is, or is to be."""
    return _section(Settings.load(home), None)[1]


def _section(records: Settings, rig_file: Path | None) -> tuple[_Section, Path]:
    source = f"{records.home / 'studio.toml'} [studio]"
    written = from_table(_Section, records.sections.get("studio", {}), source, ConfigurationError)
    return written, rig_file or records.home / written.rig
