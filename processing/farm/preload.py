"""Loaded into each worker process of the local cluster."""

import contextlib
import signal
from typing import Any


def dask_setup(_worker: Any) -> None:
    """Leave Ctrl-C to the daemon, which gives the jobs back; a terminal sends it to every process of the group."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
