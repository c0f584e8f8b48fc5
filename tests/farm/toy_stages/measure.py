"""A stage as small as can be: the size of a take's photographs. Its control folder injects faults."""

import json
import os
import signal
import time
from pathlib import Path

from processing.errors import DataError
from processing.stages.base import TAKE, Inputs, Stage, StageParams


class Measure(Stage):
    name, version = "measure", 1
    needs = {"take": TAKE}  # noqa: RUF012
    makes = {"size": "json"}  # noqa: RUF012

    class Params(StageParams):
        control: str = ""

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        name = inputs["take"].name
        photographs = sorted(inputs["take"].glob("*.jpg"))
        if params.control:
            obey(Path(params.control), name)
        size = sum(p.stat().st_size for p in photographs)
        (out / "size.json").write_text(json.dumps({"take": name, "bytes": size}))


def obey(control: Path, name: str) -> None:
    """Log this run, then do what the control folder's files say."""
    with (control / "runs.log").open("a") as log:
        log.write(f"{name}\n")
    (control / f"reached-{name}").touch()
    if (control / f"poison-{name}").exists():
        raise DataError(f"{name} is poisoned")
    if (control / f"crash-{name}").exists():
        (control / f"crash-{name}").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if (control / f"stumble-{name}").exists():
        raise ValueError(f"{name} stumbled")
    while (control / f"hold-{name}").exists():
        time.sleep(0.02)
