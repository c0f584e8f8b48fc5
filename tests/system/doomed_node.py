"""A real node process that kills itself with SIGKILL at a named moment, so that a fault happens exactly there.

    python doomed_node.py SETTINGS.json MOMENT

SETTINGS.json: keyword arguments of AgentSettings. MOMENT: one of MOMENTS, or "never" for an honest node.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camera_nodes import agent, camera, transport, wire
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.camera_control import exposure_control
from camera_nodes.photo_transfer import spool


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, condition: Callable[..., bool] = lambda *_, **__: True) -> None:
    real = getattr(owner, name)

    def call(*given: Any, **named: Any) -> Any:
        if condition(*given, **named):
            die()
        return real(*given, **named)

    setattr(owner, name, call)


def after(owner: Any, name: str, condition: Callable[..., bool] = lambda *_, **__: True) -> None:
    real = getattr(owner, name)

    def call(*given: Any, **named: Any) -> Any:
        answer = real(*given, **named)
        if condition(*given, **named):
            die()
        return answer

    setattr(owner, name, call)


def is_first_chunk(_socket: Any, message: Any, **_: Any) -> bool:
    return isinstance(message, wire.Chunk)


MOMENTS: dict[str, Callable[[], None]] = {
    "fire has come": lambda: before(exposure_control.ExposureController, "fire"),
    "shutter not released": lambda: before(camera.CameraBase, "expose"),
    "shutter released": lambda: after(camera.CameraBase, "expose"),
    "photograph half written": lambda: after(spool, "_write"),
    "photograph spooled": lambda: after(spool.Spool, "put"),
    "photograph half sent": lambda: after(transport, "send", is_first_chunk),
    "photograph stored": lambda: before(spool.Spool, "remove"),
}


def main() -> None:
    file, moment = sys.argv[1:]
    values = json.loads(Path(file).read_text())
    if moment != "never":
        MOMENTS[moment]()
    agent.run(AgentSettings(**values | {name: Path(values[name]) for name in ("keys", "spool")}))


if __name__ == "__main__":
    main()
