"""A stage as small as can be: the size of a take's photographs. Its control folder injects faults."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processing.errors import DataError
from processing.farm.execution.run_journal import FolderRunJournal
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
        if params.control and (Path(params.control) / f"large-{name}").exists():
            (out / "large").write_bytes(bytes(3 << 20))
        if params.control:
            with (Path(params.control) / "ends.log").open("a") as log:
                log.write(f"{name}\n")


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
    if (control / f"crash-filed-{name}").exists():
        (control / f"crash-filed-{name}").unlink()
        FolderRunJournal.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    if (control / f"crash-noted-{name}").exists():
        (control / f"crash-noted-{name}").unlink()
        FolderRunJournal.write = die_after(FolderRunJournal.write)  # type: ignore[method-assign]
    while (control / f"hold-{name}").exists():
        time.sleep(0.02)


def die_after(write: Callable[..., None]) -> Callable[..., None]:
    """The same, and then this process is killed: what it made is filed and noted, and nobody hears of it."""

    def written(*given: Any) -> None:
        write(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    return written
