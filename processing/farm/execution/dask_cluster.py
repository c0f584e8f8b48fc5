"""Dask: a local cluster of processes, or a scheduler that others run. It executes; it remembers nothing."""

import contextlib
import logging
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, KilledWorker, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError, FatalCommClosedError
from distributed.security import Security

from db.errors import RecordError
from processing.farm.execution.scratch_folders import own_folder
from processing.farm.execution.task_execution import run_task
from processing.farm.scheduling.tasks import TOPIC, UNDER_WAY, AttemptId, ProgressEvent, Task, TaskOutcome, TaskResult
from processing.farm.scheduling.worker_capacity import WorkerCapacity
from processing.farm.settings import FarmSettings
from processing.farm.tls import address, credentials, security
from processing.stages.base import Resources

RAM, GPU = "RAM", "GPU"  # what workers say that they have, in GB and in runs at a time
CONNECT_S = 10
LOOK_EVERY_S = 1.0
GONE_S = 5.0
REMEMBERED = 1000  # runs that ended: a worker may still say for a second that it has them under way
_starting = threading.Lock()  # Dask imports parts of itself while it starts, which two threads must not do at once


class SchedulerUnreachable(RecordError):
    """No scheduler answers at the given address, or it does not take this machine in."""

    @classmethod
    def because(cls, place: str, error: BaseException) -> "SchedulerUnreachable":
        """With the reason of a connection that was not made, and what to do."""
        if isinstance(error, FatalCommClosedError):
            return cls(
                f"the scheduler at {place} and this machine do not know each other: their certificates are not of one "
                "authority; make this machine's by mien farm keys NAME in the studio whose farm it is"
            )
        help_ = "start it with: mien farm scheduler"
        if place.startswith("tcp:"):
            help_ += "; where it speaks TLS, give --tls FOLDER"
        return cls(f"no scheduler answers at {place} ({error}); {help_}")


def dask_folder() -> Path:
    """Where Dask's workers keep what they have under way: a folder of this user's own."""
    return own_folder("dask")


def environment(threads: int) -> dict[str, Any]:
    """Dask settings for workers that keep `threads` processors busy and leave memory limits to the farm.

    OpenMP keeps to one thread, as everywhere in `mien`: its threads spin beside those of a run's own.
    Dask's own MALLOC_TRIM_THRESHOLD_ is replaced: it fixes glibc's mmap threshold at 128 KiB, and each image-sized
    array is then mapped and zeroed anew, which took more time than the arithmetic. With a wide one a process keeps what
    it has for the next array: two workers on two processors then gain 1.7 times, not 1.5.
    """
    numerics = {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    kept = {"MALLOC_MMAP_THRESHOLD_": 1 << 30, "MALLOC_TRIM_THRESHOLD_": 1 << 30}
    return {
        "distributed.nanny.pre-spawn-environ": numerics | kept,
        "distributed.worker.http.routes": [],  # nothing is shown to whoever comes
        "distributed.scheduler.http.routes": [],
        "distributed.scheduler.allowed-failures": 0,  # the records count attempts, not Dask
        "distributed.worker.preload": ["processing.farm.execution.worker_preload"],
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

    local: bool

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[AttemptId, tuple[Any, Callable[[TaskResult], None]]] = {}  # -> future, callback
        self._ended: deque[AttemptId] = deque(maxlen=REMEMBERED)

    def capacities(self) -> list[WorkerCapacity]:
        """Who takes tasks now; none while the scheduler is away."""
        raise NotImplementedError

    def gone(self) -> set[str]:
        """Addresses of workers that have been away for so long that what was sent there and has not ended is lost.

        A worker that dies is told of by Dask at once. One that is drained leaves what it had not begun behind.
        """
        return set()

    def client(self) -> Client:
        """The connection. Raises SchedulerUnreachable."""
        raise NotImplementedError

    def submit(self, task: Task, worker: WorkerCapacity, needs: Resources, done: Callable[[TaskResult], None]) -> None:
        """Start a task; `done` is called from another thread with its result, or with what became of it."""
        name = f"{task.stage}-{task.key[:16]}-{uuid.uuid4().hex}"  # never the name of an earlier one
        try:
            where = self._where(worker, needs)
            future = self.client().submit(run_task, task, key=name, pure=False, retries=0, **where)
        except Exception as error:  # the scheduler went away this moment
            done(TaskResult(task.key, task.attempt, TaskOutcome.LOST, error=f"not sent: {error!r}"))
            return
        with self._lock:
            self._sent[task.key, task.attempt] = future, done
        future.add_done_callback(lambda finished: done(_result(task, finished)))

    def forget(self, key: str, attempt: int) -> None:
        """Drop a finished or lost task; one that has not begun never begins."""
        with self._lock:
            future, _ = self._sent.pop((key, attempt), (None, None))
            if future is not None and future.done():
                self._ended.append((key, attempt))
        if future is not None and not future.done():
            with contextlib.suppress(Exception):  # its scheduler may be gone
                future.cancel()

    def _where(self, worker: WorkerCapacity, needs: Resources) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def _all_lost(self) -> None:
        """The connection is gone, and with it every callback that was not called yet."""
        with self._lock:
            sent, self._sent = self._sent, {}
        for (key, attempt), (_, done) in sent.items():
            done(TaskResult(key, attempt, TaskOutcome.LOST, error="the scheduler was lost"))


def _result(task: Task, finished: Any) -> TaskResult:
    """What came of a task: what the worker says, or what is known where the worker cannot say anything."""
    try:
        result = finished.result()
        assert isinstance(result, TaskResult)
        return result
    except (CancelledError, FutureCancelledError, CommClosedError) as lost:
        return TaskResult(task.key, task.attempt, TaskOutcome.LOST, error=f"the scheduler was lost: {lost}")
    except KilledWorker:
        error = "the worker's process died: killed, out of memory, or a fault in a library"
    except BaseException as other:  # what an old worker cannot read, for one
        error = f"the worker could not run it: {other!r}"
    return TaskResult(task.key, task.attempt, TaskOutcome.ATTEMPT, error=error)


class LocalWorkers(Executor):
    """A cluster of this machine's own; they share its memory."""

    local = True

    def __init__(self, client: Client, capacity: WorkerCapacity) -> None:
        super().__init__()
        self._client = client
        self._capacity = capacity

    def capacities(self) -> list[WorkerCapacity]:
        return [self._capacity]

    def client(self) -> Client:
        return self._client


class RemoteWorkers(Executor):
    """The workers of a scheduler that others run: `mien farm scheduler` and `mien farm worker`. It may come and go."""

    local = False

    def __init__(self, settings: FarmSettings, said: Callable[[ProgressEvent], None]) -> None:
        super().__init__()
        assert settings.scheduler is not None
        tls = credentials(settings.scheduler, settings.tls)
        self._address = address(settings.scheduler, tls)
        self._security = security(tls)
        self._said = said
        self._client: Client | None = None
        self._known: list[WorkerCapacity] = []
        self._away: dict[str, float] = {}  # workers that were there -> since when they are not
        self._seen: set[str] = set()
        self._looked = 0.0

    def client(self) -> Client:
        """Connected, anew where the old connection was given up."""
        if self._client is None or self._client.status in ("closed", "closing"):
            if self._client is not None:
                self._all_lost()
            self._client = None
            try:
                client = Client(self._address, security=self._security, timeout=CONNECT_S, set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise SchedulerUnreachable.because(self._address, error) from None
            client.subscribe_topic(TOPIC, lambda event: self._said(event[1]))
            self._client = client
        return self._client

    def capacities(self) -> list[WorkerCapacity]:
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return self._known
        try:
            client = self.client()
            if client.status != "running":  # it is trying to come back by itself
                return []
            workers = client.scheduler_info(n_workers=-1)["workers"]
        except (SchedulerUnreachable, OSError, TimeoutError, ValueError, AttributeError):
            return []
        self._looked = now = time.monotonic()
        self._seen |= set(workers)
        self._away = {place: self._away.get(place, now) for place in self._seen - set(workers)}
        with self._lock:
            mine = {*self._sent, *self._ended}
        self._known = [
            WorkerCapacity(
                place,
                w["nthreads"] - _others(w, mine),
                w["resources"][RAM],
                int(w["resources"].get(GPU, 0)),
                str(w.get("name") or place),
            )
            for place, w in workers.items()
            if w["status"] == "running" and RAM in w["resources"]
        ]
        return self._known

    def close(self) -> None:
        if self._client is not None:
            self._client.close(timeout=5)

    def gone(self) -> set[str]:
        now = time.monotonic()
        return {place for place, since in self._away.items() if now - since > GONE_S}

    def _where(self, worker: WorkerCapacity, needs: Resources) -> dict[str, Any]:
        """There and nowhere else: with a choice of workers Dask would forget a task whose first choice has gone."""
        return {"workers": [worker.name], "resources": {RAM: needs.ram_gb} | ({GPU: 1} if needs.gpu else {})}


def _others(worker: Mapping[str, Any], mine: Container[AttemptId]) -> int:
    """How many runs a worker has under way that another daemon sent, which may have died, or that were given up."""
    return sum(tuple(run) not in mine for run in worker["metrics"].get(UNDER_WAY, ()))


@contextmanager
def executor(settings: FarmSettings, said: Callable[[ProgressEvent], None]) -> Iterator[Executor]:
    """An executor on a local cluster or on `settings.scheduler`; leaving it ends the local workers at once.

    said: gets the progress of running stages. Raises SchedulerUnreachable when there is no scheduler to begin with.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(environment(settings.threads())):
        if settings.scheduler is not None:
            remote = RemoteWorkers(settings, said)
            remote.client()
            try:
                yield remote
            finally:
                remote.close()
            return
        count = settings.worker_count()
        with _own_cluster(count) as cluster, Client(cluster, set_as_default=False) as client:
            client.subscribe_topic(TOPIC, lambda event: said(event[1]))
            gpus = settings.gpus if settings.device != "cpu" else 0
            yield LocalWorkers(client, WorkerCapacity("", count, settings.ram_budget_gb(), gpus, socket.gethostname()))


def _own_cluster(count: int) -> LocalCluster:
    """So many worker processes of one run each, on this machine, without a dashboard.

    They listen on loopback, where other users of the machine could reach them: only who holds the certificates of this
    very cluster may speak to them, and those never leave its processes.
    """
    with _starting:
        return LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, memory_limit=0, local_directory=str(dask_folder()),
            security=Security.temporary(),
            dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, silence_logs=logging.CRITICAL,
        )  # fmt: skip
