"""What the studio's server needs to know, from the home's studio.toml, its [studio] table and rig.toml."""

from dataclasses import dataclass
from pathlib import Path

from common.configuration.loader import from_table
from common.guarding.log_fields import LogFormat
from controller.errors import ConfigurationError
from controller.rig_file import Rig, read_rig
from db.settings import Settings

CONTROL = "tcp://127.0.0.1:5701"
BULK = "tcp://127.0.0.1:5702"
CONSOLE_PORT = 5780


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
    # how log lines are written
    log_format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True)
class _Section:
    """The [studio] table of studio.toml."""

    rig: str = "rig.toml"
    control: str = CONTROL
    bulk: str = BULK
    console_port: int = CONSOLE_PORT
    log_format: LogFormat = LogFormat.TEXT


def load_settings(
    home: Path | None = None, database: str | None = None, rig_file: Path | None = None
) -> StudioSettings:
    """Settings from arguments, environment, studio.toml and defaults.

        [studio]
        rig = "rig.toml"                  # relative to the home
        control = "tcp://10.0.0.1:5701"
        bulk = "tcp://10.0.0.1:5702"
        console_port = 5780
        log_format = "text"               # or "json"

    Raises ConfigurationError or SettingsError, naming file and key.
    """
    records = Settings.load(home, database)
    source = f"{records.home / 'studio.toml'} [studio]"
    written = from_table(_Section, records.sections.get("studio", {}), source, ConfigurationError)
    path = rig_file or records.home / written.rig
    if not path.exists():
        raise ConfigurationError(
            f"{path}: no rig file; write one (docs/operators.md has an example) or pass --rig FILE"
        )
    return StudioSettings(
        records=records,
        rig=read_rig(path),
        control=written.control,
        bulk=written.bulk,
        console_port=written.console_port,
        log_format=written.log_format,
    )
