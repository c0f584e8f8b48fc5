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
    """All that one node needs; the keys of its TOML file.  Endpoints are ZeroMQ's ("tcp://studio:5700")."""

    # the rig's name of the camera
    camera: str
    # the camera's address, see camera_nodes.backends
    url: str
    # the studio's control endpoint
    control: str
    # the studio's endpoint for photographs
    bulk: str
    # folder of key files
    keys: Path
    # folder of photographs that the studio has not stored yet
    spool: Path
    # name under which the node's key is enrolled, by default the camera's
    node: str = ""
    # the controller's public key, by default the content of <keys>/controller.pub
    controller_key: str = ""
    # the camera's shutter lag, told to the controller
    lag_ms: float | None = None
    # what releases the shutter ("gpio:/dev/gpiochip0?shutter=27"), the camera itself when empty
    release: str = ""
    # a file of camera models to lay over Mien's own table, none when empty
    models: str = ""
    # with less free on the spool's disk no photograph is taken
    min_free_mb: int = 200
    # the scheduler's real-time class in the window, where it is permitted
    realtime: bool = True
    # so long before the moment the loop stops sleeping, microseconds
    spin_us: int = 100
    # a release that would be later than this is not made
    max_late_ms: float = 4.0
    # photographs are proven whole here in idle time, so that the studio need not when they come in
    prove: bool = True

    def __post_init__(self) -> None:
        """Raises BadSettings."""
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
