"""What the studio's server needs to know, from the home's studio.toml, its [studio] table and rig.toml."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import ConfigurationError
from controller.rig_file import Rig, read_rig
from db.settings import Settings, check_keys

CONTROL = "tcp://127.0.0.1:5701"
BULK = "tcp://127.0.0.1:5702"
CONSOLE_PORT = 5780


@dataclass(frozen=True)
class StudioSettings:
    """Everything a Studio needs. Addresses are ZeroMQ's to bind; port `*` takes a free one.

    The defaults listen on this machine only: a studio with camera computers sets its own network's address.
    """

    records: Settings
    rig: Rig
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
    source = f"{records.home / 'studio.toml'} [studio]"
    table: Mapping[str, Any] = records.sections.get("studio", {})
    check_keys(table, ("rig", "control", "bulk", "console_port"), source)
    for key, value in table.items():
        wanted = int if key == "console_port" else str
        if type(value) is not wanted:
            raise ConfigurationError(f"{source}: {key!r} must be {wanted.__name__}, not {value!r}")
    path = rig_file or records.home / table.get("rig", "rig.toml")
    if not path.exists():
        raise ConfigurationError(
            f"{path}: no rig file; write one (docs/operators.md has an example) or pass --rig FILE"
        )
    return StudioSettings(
        records=records,
        rig=read_rig(path),
        control=table.get("control", CONTROL),
        bulk=table.get("bulk", BULK),
        console_port=table.get("console_port", CONSOLE_PORT),
    )
