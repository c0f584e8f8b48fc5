"""What the studio's server needs to know, from the home's studio.toml, its [studio] table and rig.toml."""

import ipaddress
import re
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from common.configuration.loader import from_table
from common.guarding.log_fields import LogFormat
from controller.client import CONSOLE_PORT
from controller.errors import ConfigurationError
from controller.rig_file import Rig, read_rig
from db.settings import Settings

CONTROL = "tcp://127.0.0.1:5701"
BULK = "tcp://127.0.0.1:5702"
HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
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
    # of the console and the API
    console_port: int = CONSOLE_PORT
    # where other devices of the network reach the console, by TLS; without one this machine alone does
    console_address: str = ""
    # further names of this machine in the network
    console_names: tuple[str, ...] = ()
    # how log lines are written
    log_format: LogFormat = LogFormat.TEXT
    # any enrolled node may announce its camera, no session is begun; see set_up_settings
    setting_up: bool = False

    def network_names(self) -> tuple[str, ...]:
        """Under which other devices may ask for the console: its address, this machine's name, further ones."""
        if not self.console_address:
            return ()
        own = socket.gethostname().lower()
        own_names = [name for name in (own, f"{own.partition('.')[0]}.local") if HOST_NAME.fullmatch(name)]
        return tuple(dict.fromkeys((self.console_address, *self.console_names, *own_names)))


@dataclass(frozen=True)
class _Section:
    """The [studio] table of studio.toml."""

    rig: str = "rig.toml"
    control: str = CONTROL
    bulk: str = BULK
    console_port: int = CONSOLE_PORT
    console_address: str = ""
    console_names: tuple[str, ...] = ()
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
        console_address = "10.0.0.1"      # for tablets of the studio's network, by TLS
        console_names = ["studio.lan"]
        log_format = "text"               # or "json"

    Raises ConfigurationError or SettingsError, naming file and key.
    """
    records = Settings.load(home, database)
    source = _source(records)
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
        console_address=_network_address(written.console_address, source),
        console_names=tuple(_host_name(name, source) for name in written.console_names),
        log_format=written.log_format,
    )


def _network_address(text: str, source: str) -> str:
    """An address of this machine. Raises ConfigurationError for a name, and for one that means all or none."""
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.is_unspecified or address.is_multicast or address.is_loopback:
        raise ConfigurationError(
            f"{source} console_address: {text!r} is no address of this machine in the studio's network; write one as "
            "in 10.0.0.1 (its names go into console_names)"
        )
    return str(address)


def _host_name(text: str, source: str) -> str:
    name = text.lower()
    if HOST_NAME.fullmatch(name) is None:
        raise ConfigurationError(f"{source} console_names: {text!r} is no host's name, as in studio.lan")
    return name


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
    written = from_table(_Section, records.sections.get("studio", {}), _source(records), ConfigurationError)
    return written, rig_file or records.home / written.rig


def _source(records: Settings) -> str:
    return f"{records.home / 'studio.toml'} [studio]"
