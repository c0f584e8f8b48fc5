"""A node's settings: a TOML file, over which flags of the command line go.

camera = "cam-07"
url = "gphoto2:port:1-1.2"
control = "tcp://10.0.0.1:5701"
bulk = "tcp://10.0.0.1:5702"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camera_nodes.errors import BadSettings
from common.bounded.json_toml import read_toml
from common.configuration.loader import Wording, values_from_table

_WORDING = Wording(known="known: {known}", value="{key} is {value!r}; wanted {wanted}")


@dataclass(frozen=True)
class AgentSettings:
    """All that one node needs.  Raises BadSettings."""

    camera: str  # the rig's name of the camera
    url: str  # the camera's address: see backends.py
    control: str  # the controller's control socket, ZeroMQ's endpoint ("tcp://studio:5700")
    bulk: str  # ... and the one for photographs
    keys: Path  # folder of the keys
    spool: Path  # folder of the photographs that wait
    computer: str = ""  # this computer's name as the studio shows it; its host name when empty
    node: str = ""  # name under which the node's key is enrolled; the camera's when empty
    controller_key: str = ""  # the controller's public key; the content of <keys>/controller.pub when empty
    lag_ms: float | None = None  # the camera's shutter lag, told to the controller
    release: str = ""  # what releases the shutter ("gpio:/dev/gpiochip0?shutter=27"); the camera itself when empty
    models: str = ""  # a file of camera models to lay over Mien's own table
    min_free_mb: int = 200  # left free on the spool's disk
    realtime: bool = True  # wait for the moment at real-time priority, where that is permitted
    spin_us: int = 100  # before the moment, the wait stops sleeping and spins
    max_late_ms: float = 4.0  # woken later than this after the moment, nothing is released
    prove: bool = True  # photographs are proven whole here in idle time, so that the studio need not

    def __post_init__(self) -> None:
        for name in ("camera", "url", "control", "bulk"):
            if not getattr(self, name):
                raise BadSettings(f"the node's setting {name!r} is empty")
        if not self.max_late_ms > 0 or self.spin_us < 0 or self.min_free_mb < 0:
            raise BadSettings("max_late_ms must be above 0, spin_us and min_free_mb at least 0")


def agent_settings(file: Path | None, overrides: Mapping[str, Any]) -> AgentSettings:
    """Settings from a TOML file and what goes before it.

    Folders in the file are relative to the file.  Raises BadSettings naming file, key and the likely meant key.
    """
    values: dict[str, Any] = {}
    where = str(file or "the node's settings")
    if file is not None:
        try:
            values = values_from_table(AgentSettings, read_toml(file), where, BadSettings, wording=_WORDING)
        except (OSError, ValueError) as error:
            raise BadSettings(f"{file} cannot be read: {error}") from None
        for name in ("keys", "spool", "models"):
            if values.get(name):
                path = file.parent / Path(values[name]).expanduser()
                values[name] = str(path) if name == "models" else path
    values |= overrides
    missing = [name for name in ("camera", "url", "control", "bulk") if name not in values]
    if missing:
        flags = ", ".join(f"--{name}" for name in missing)
        raise BadSettings(f"{where}: missing {', '.join(missing)} (in the file, or {flags})")
    values.setdefault("keys", Path("keys"))
    values.setdefault("spool", Path("spool") / str(values["camera"]))
    return AgentSettings(**values | {name: Path(values[name]).expanduser() for name in ("keys", "spool")})
