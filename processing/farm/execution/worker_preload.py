"""Loaded into each worker process."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from distributed.core import Status

from processing.farm.execution.scratch_folders import VARIABLE, sweep
from processing.farm.execution.task_execution import under_way
from processing.farm.scheduling.tasks import UNDER_WAY

FETCH_S = 30.0  # results that nobody fetches for so long are given up: the lease brings the run back


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C and SIGTERM to the process above, which drains this one; a terminal sends them to the group."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(number, signal.SIG_IGN)

    async def asked() -> str:
        return await drain(worker)

    worker.handlers["drain"] = asked
    worker.metrics[UNDER_WAY] = lambda _worker: under_way()
    if VARIABLE in os.environ:
        sweep(Path(os.environ[VARIABLE]))


async def drain(worker: Any) -> str:
    """Begin nothing more; return when what runs has ended and its results were fetched. What waits here goes elsewhere.

    Called by `mien farm worker` through Dask.
    """
    worker.status = Status.paused
    while worker.state.executing:
        await asyncio.sleep(0.1)
    end = time.monotonic() + FETCH_S
    while worker.data and time.monotonic() < end:
        await asyncio.sleep(0.1)
    return "drained"
