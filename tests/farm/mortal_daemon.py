"""A daemon in a process of its own that dies where it is told to: python mortal_daemon.py JSON

fatal: "" (the test kills it), or "commit": it is killed when it has told the database of a result, before the commit.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from db.engine import open_database
from processing.farm import daemon
from processing.farm.settings import FarmSettings


def die(*_given: Any, **_more: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    told = json.loads(sys.argv[1])
    if told["fatal"] == "commit":
        finish = daemon.finish
        daemon.finish = lambda *given, **more: die(finish(*given, **more))  # type: ignore[assignment]
    settings = FarmSettings(**(told["settings"] | {"stages": tuple(told["settings"]["stages"])}))
    farm = daemon.FarmDaemon(open_database(told["url"]), told["store"], settings, Path(told["template"]))
    farm.run(until_idle=True)


if __name__ == "__main__":
    main()
