"""Dask: a local cluster of processes, or a scheduler that others run. It executes; it remembers nothing."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from db.errors import RecordError
from processing.farm.settings import FarmSettings
from processing.farm.worker import TOPIC, Result, Task, perform


class SchedulerUnreachable(RecordError):
    """No scheduler answers at the given address."""


def environment(threads: int) -> dict[str, Any]:
    """Dask settings for workers that keep `threads` processors busy and leave memory limits to the farm.

    Dask's own MALLOC_TRIM_THRESHOLD_ is left out: it fixes glibc's mmap threshold at 128 KiB, and each image-sized
    array is then mapped and zeroed anew, which took more time than the arithmetic.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "distributed.nanny.pre-spawn-environ": dict.fromkeys(names, threads),
        "distributed.scheduler.allowed-failures": 0,  # the records count attempts, not Dask
        "distributed.worker.preload": ["processing.farm.preload"],
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": False,
        "distributed.scheduler.work-stealing": False,
        "distributed.comm.timeouts.connect": "20s",
        "distributed.admin.low-level-log-length": 100,
    }


class Executor:
    """Sends tasks to Dask and hands results to a callback."""

    def __init__(self, client: Client, slots: Callable[[], int], local: bool) -> None:
        self._client = client
        self._slots = slots
        self.local = local
        self._futures: dict[str, Any] = {}

    def slots(self) -> int:
        """How many tasks may run at once."""
        return self._slots()

    def submit(self, task: Task, done: Callable[[Result], None], attempt: int) -> None:
        """Start a task; `done` is called from another thread with its result, or with what became of its worker."""
        future = self._client.submit(perform, task, key=f"{task.stage}-{task.key}-{attempt}", pure=False, retries=0)
        self._futures[task.key] = future

        def ended(finished: Any) -> None:
            try:
                result = finished.result()
            except BaseException as error:
                result = Result(task.key, error=f"the worker died or was lost: {error!r}", retry=True)
            done(result)

        future.add_done_callback(ended)

    def forget(self, key: str) -> None:
        """Drop a finished or lost task."""
        future = self._futures.pop(key, None)
        if future is not None and not future.done():
            future.cancel()


@contextmanager
def executor(settings: FarmSettings, said: Callable[[dict[str, Any]], None]) -> Iterator[Executor]:
    """An executor on a local cluster or on `settings.scheduler`; leaving it ends the local workers at once.

    said: gets the progress of running stages. Raises SchedulerUnreachable.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    scratch = Path(tempfile.gettempdir()) / "mien-dask"
    with dask.config.set(environment(settings.threads())):
        if settings.scheduler is not None:
            with _remote(settings.scheduler) as client:
                client.subscribe_topic(TOPIC, lambda event: said(event[1]))
                yield Executor(client, lambda: _threads(client), local=False)
            return
        count = settings.worker_count()
        with (
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                local_directory=str(scratch),
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.subscribe_topic(TOPIC, lambda event: said(event[1]))
            yield Executor(client, lambda: count, local=True)


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=10, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise SchedulerUnreachable(
            f"no Dask scheduler answers at {address} ({error}); start it with: dask scheduler"
        ) from None
    with client:
        yield client


def _threads(client: Client) -> int:
    return sum(w["nthreads"] for w in client.scheduler_info(n_workers=-1)["workers"].values())
