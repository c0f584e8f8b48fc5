"""`mien farm scheduler` and `mien farm worker`: a farm of several machines, over Dask."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Nanny, Scheduler

from common.processors import usable_cpus
from db.errors import RecordError, SettingsError
from processing.farm.execution.dask_cluster import GPU, RAM, SchedulerUnreachable, dask_folder, environment
from processing.farm.execution.scratch_folders import VARIABLE
from processing.farm.scheduling.tasks import THREADS
from processing.farm.tls import address, credentials, is_here, security

AGAIN_S = 1.0
SHARE_OF_RAM = 0.8
Say = Callable[[str], None]


@dataclass(frozen=True)
class OfferedResources:
    """What a machine offers to a farm."""

    threads: int = 1  # stage runs at a time
    ram_gb: float | None = None  # for all of them; None: a share of the machine's memory
    gpus: int = 0  # how many of them may use a graphics processor
    name: str | None = None  # what the farm calls its worker; None: its address
    scratch: Path | None = None  # where runs work; None: beside the store, or the temporary folder

    def resources(self) -> dict[str, float]:
        ram = self.ram_gb if self.ram_gb is not None else SHARE_OF_RAM * float(psutil.virtual_memory().total) / 1e9
        return {RAM: round(ram, 3), GPU: float(self.gpus)}

    def processors(self) -> int:
        """How many processors one run may keep busy."""
        return max(1, usable_cpus() // self.threads)


def run_scheduler(host: str, port: int, tls: str | None, plain: bool, say: Say) -> None:
    """Pass tasks between daemons and workers until stopped.

    Raises SettingsError when others than this machine could reach it without certificates, and for a port in use.
    """
    here = is_here(host)
    if here and plain:
        raise SettingsError(
            "--plain is for the network of --host; on this machine alone TLS needs nothing, leave it out"
        )
    if tls is None and not plain and not here:
        raise SettingsError(
            f"whoever reaches {host}:{port} could run any code on the farm: give --tls FOLDER (mien farm keys NAME "
            "makes one), or --plain where the network itself keeps others out"
        )
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with dask.config.set(environment(1)):
        asyncio.run(_schedule(host, port, credentials(host, tls), say))


async def _schedule(host: str, port: int, tls: str | None, say: Say) -> None:
    stop = _stopping()
    try:
        scheduler = await Scheduler(
            host=host, port=port, protocol="tls" if tls else "tcp", security=security(tls),
            dashboard_address="127.0.0.1:0", dashboard=False,
        )  # fmt: skip
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port} ({error}): is another scheduler running?") from None
    say(f"scheduler at {scheduler.address}")
    await stop.wait()
    await scheduler.close(reason="stopped")


def run_worker(scheduler: str, offered: OfferedResources, tls: str | None, say: Say) -> None:
    """Serve a scheduler until SIGTERM or Ctrl-C, which let what runs end; a second one ends it at once.

    A scheduler that goes away is waited for. Raises SchedulerUnreachable when there is none to begin with.
    """
    tls = credentials(scheduler, tls)
    place = address(scheduler, tls)
    os.environ[THREADS] = str(offered.processors())
    if offered.scratch is not None:
        offered.scratch.mkdir(parents=True, exist_ok=True)
        os.environ[VARIABLE] = str(offered.scratch.absolute())
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with dask.config.set(environment(offered.processors())):
        asyncio.run(_serve(place, offered, tls, lambda text: say(f"{text} (for {scheduler})")))


async def _serve(place: str, offered: OfferedResources, tls: str | None, say: Say) -> None:
    stop = _stopping()
    known = False
    while not stop.is_set():
        try:
            async with Nanny(
                place, nthreads=offered.threads, memory_limit=0, security=security(tls), name=offered.name,
                resources=offered.resources(), local_directory=str(dask_folder()), silence_logs=logging.WARNING,
                dashboard_address="127.0.0.1:0",
            ) as nanny:  # fmt: skip
                known = True
                say(f"{nanny.worker_address}: {offered.threads} runs at a time, {offered.resources()}")
                await _first(nanny.finished(), stop.wait())
                if stop.is_set():
                    say("what runs here ends, nothing else begins")
                    await _drain(nanny)
                    return
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            reason = error.__cause__ if isinstance(error, RuntimeError) else error  # "Nanny failed to start", no more
            if not isinstance(reason, OSError | TimeoutError | ValueError):
                raise RecordError(f"the worker's process did not start: {reason or error!r}") from error
            if not known:
                raise SchedulerUnreachable.because(place, reason) from None
        say(f"the scheduler at {place} is away; waiting for it")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN_S)


async def _drain(nanny: Any) -> None:
    """Let the worker process end what it runs, then take it out of the farm; a second signal cuts it short."""
    again = _stopping()
    place = nanny.worker_address

    async def orderly() -> None:
        with contextlib.suppress(OSError):  # the scheduler or the worker went away meanwhile
            await nanny.rpc(place).drain()
            await nanny.scheduler.retire_workers(workers=[place], close_workers=False, remove=True)

    await _first(orderly(), again.wait(), nanny.finished())
    await nanny.close(timeout=2)


async def _first(*waits: Any) -> None:
    """Until one of them ends."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _stopping() -> asyncio.Event:
    """An event that the next SIGTERM or SIGINT sets."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
    return event


def say_on_stderr(text: str) -> None:
    """A line for the journal."""
    print(text, file=sys.stderr, flush=True)
