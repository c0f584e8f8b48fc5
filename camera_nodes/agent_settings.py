"""What one node is set to: its camera, where the studio is, where its keys and photographs lie."""

from dataclasses import dataclass
from pathlib import Path

from camera_nodes.errors import BadSettings


@dataclass(frozen=True)
class AgentSettings:
    """All that one node needs.  Raises BadSettings."""

    camera: str  # the rig's name of the camera
    url: str  # the camera's address: see backends.py
    control: str  # the controller's control socket, ZeroMQ's endpoint ("tcp://studio:5700")
    bulk: str  # ... and the one for photographs
    keys: Path  # folder of the keys
    spool: Path  # folder of the photographs that wait
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
