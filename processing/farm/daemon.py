"""The farm's daemon: finds work in the records, claims it, has it done, writes down what came of it.

SQL is the truth. The daemon may die at any instant: what it held comes back when the leases end, and a result that was
stored but not recorded is found again by its key. Any number of daemons may work on one database.
"""

import contextlib
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.engine import reading, transaction
from db.errors import DatabaseUnavailable, LeaseLost
from db.jobs import Lease, claim, fail, finish, give_back, heartbeat, reclaim_expired
from db.models import JobState, RunVerdict, Take
from db.queries import ReadyTake, ready_takes
from db.run_reviews import save_run_review
from db.store import Store
from processing.errors import DataError
from processing.farm.cluster import Executor, executor
from processing.farm.keys import file_digest
from processing.farm.planning import TakeListing, by_session, enqueue_plan, plan_session, take_listing
from processing.farm.progress_query import Standing, standing
from processing.farm.settings import FarmSettings
from processing.farm.worker import Result, Task
from processing.stages.base import TAKE, TEMPLATE
from processing.stages.discovery import discover

TAKES_REMEMBERED = 64


class Listener(Protocol):
    """What the daemon tells of itself. Every call comes from one of its threads."""

    def started(self, label: str, stage: str) -> None: ...

    def progressed(self, label: str, stage: str, done: float, message: str) -> None: ...

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None: ...

    def stands(self, standing: Standing) -> None: ...

    def warned(self, message: str) -> None: ...


class Silent:
    """A listener that does not care."""

    def started(self, label: str, stage: str) -> None:
        """A run was handed to a worker."""

    def progressed(self, label: str, stage: str, done: float, message: str) -> None:
        """A running stage says how far it is."""

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None:
        """A run ended; `state` is what the job became."""

    def stands(self, standing: Standing) -> None:
        """How all jobs stand."""

    def warned(self, message: str) -> None:
        """Something a person should know."""


@dataclass
class Summary:
    """What this daemon did, and how the jobs stand at its end."""

    done: int = 0
    failed_attempts: int = 0
    planned: int = 0
    seconds: float = 0.0
    standing: Standing = field(default_factory=Standing)
    problems: dict[str, str] = field(default_factory=dict)  # session -> why it has no runs


@dataclass
class _Held:
    lease: Lease
    label: str
    frames: tuple[int, ...]
    ram_gb: float
    lost: bool = False


class Farm:
    """One daemon. `run` is its life; `stop` may be called from anywhere."""

    def __init__(
        self,
        engine: Engine,
        store_place: str,
        settings: FarmSettings,
        template: Path,
        listener: Listener | None = None,
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.worker = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._store_place = store_place
        self._store = Store(store_place)
        self._records = str(Path(store_place) / "runs") if self._store.is_local else None
        self._template = template
        self._stages = discover(*settings.stage_folders)
        self._listener: Listener = listener or Silent()
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._template_digest = ""
        self._planned: dict[str, tuple[int, ...]] = {}
        self._takes: dict[int, tuple[str, str, TakeListing]] = {}
        self.summary = Summary()

    def stop(self) -> None:
        """Ask the daemon to end: what runs is given back."""
        self._stop.set()
        self._results.put(None)

    def run(self, *, until_idle: bool = False) -> Summary:
        """Work until stopped, or until nothing is left that can run. Jobs held at the end are given back."""
        begun = time.monotonic()
        self.plan_once()
        if until_idle and self._idle():  # nothing to do: no workers are started
            self.summary.seconds = time.monotonic() - begun
            return self.summary
        try:
            with executor(self.settings, self._said) as workers:
                pulse = threading.Thread(target=self._pulse, name="mien-leases", daemon=True)
                pulse.start()
                try:
                    self._work(workers, until_idle)
                finally:
                    self._stop.set()
                    pulse.join(timeout=10)
        finally:
            self._give_back()
            self.summary.seconds = time.monotonic() - begun
        return self.summary

    def plan_once(self) -> None:
        """Put the template into the store and ask for every run that is missing."""
        self._template_digest = self._put_template()
        self._plan()

    def _work(self, workers: Executor, until_idle: bool) -> None:
        next_look = 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() >= next_look:
                    self._plan()
                    next_look = time.monotonic() + self.settings.poll_s
                self._fill(workers)
                if until_idle and not self._held and self._idle():
                    return
            except DatabaseUnavailable as error:
                self._listener.warned(f"{error}; trying again")
                self._stop.wait(1.0)
            self._settle(workers, self._results_within(min(0.5, self.settings.poll_s)))

    def _results_within(self, seconds: float) -> list[Result]:
        found: list[Result] = []
        with contextlib.suppress(queue.Empty):
            item = self._results.get(timeout=seconds)
            while True:
                if item is not None:
                    found.append(item)
                item = self._results.get_nowait()
        return found

    def _plan(self) -> None:
        """Reclaim what died; ask for the runs of sessions that are new or have changed."""
        with transaction(self.engine) as tx:
            reclaim_expired(tx, max_attempts=self.settings.max_attempts)
        with reading(self.engine) as tx:
            sessions = by_session(ready_takes(tx))
            fresh = {s: takes for s, takes in sessions.items() if self._planned.get(s) != _ids(takes)}
            plans = [
                plan_session(tx, takes, self._template_digest, self._stages, self.settings.params)
                for takes in fresh.values()
            ]
        for planned in plans:
            if planned.problem:
                self.summary.problems[planned.session] = planned.problem
                self._listener.warned(f"session {planned.session}: {planned.problem}")
            else:
                self.summary.problems.pop(planned.session, None)
                with transaction(self.engine) as tx:
                    self.summary.planned += enqueue_plan(tx, planned)
            self._planned[planned.session] = _ids(fresh[planned.session])
        self._tell()

    def _idle(self) -> bool:
        self._tell()
        now = self.summary.standing
        return now.running == 0 and now.ready == 0 and now.later == 0

    def _tell(self) -> None:
        with reading(self.engine) as tx:
            self.summary.standing = standing(tx)
        self._listener.stands(self.summary.standing)

    def _fill(self, workers: Executor) -> None:
        """Claim as many jobs as there is room for, in one transaction, and send them off."""
        free = workers.slots() - len(self._held)
        if free <= 0:
            return
        taken: list[tuple[Task, _Held]] = []
        with transaction(self.engine) as tx:
            while free > 0:
                fitting = self._fitting(sum(held.ram_gb for _, held in taken))
                lease = claim(tx, self.worker, lease_s=self.settings.lease_s, stages=fitting) if fitting else None
                if lease is None:
                    break
                try:
                    task = self.task_of(tx, lease)
                except DataError as error:
                    fail(tx, lease, str(error), retry=False)
                    continue
                taken.append((task, _Held(lease, task.label, task.frames, self._stages[task.stage].resources.ram_gb)))
                free -= 1
        with self._lock:  # only now are the leases ours: the transaction has been committed
            self._held |= {task.key: held for task, held in taken}
        for task, held in taken:
            workers.submit(task, self._results.put, held.lease.attempt)
            self._listener.started(task.label, task.stage)

    def _fitting(self, more_gb: float) -> list[str]:
        """The stages whose memory is free; every stage when nothing runs, so that the largest is not starved."""
        with self._lock:
            used = more_gb + sum(h.ram_gb for h in self._held.values())
        budget = self.settings.ram_budget_gb()
        return [n for n, s in self._stages.items() if used == 0 or used + s.resources.ram_gb <= budget]

    def task_of(self, tx: Session, lease: Lease) -> Task:
        """All that a worker needs to know for a claimed job. Raises DataError when its take has changed."""
        stage = self._stages[lease.stage]
        files: dict[str, tuple[str, str]] = {}
        take_inputs: list[str] = []
        for name, need in stage.parsed_needs():
            if name not in lease.inputs:
                continue
            sha256 = lease.inputs[name][0]
            if need.source == TAKE:
                take_inputs.append(name)
            elif need.source == TEMPLATE:
                files[name] = (sha256, f"template{self._template.suffix}")
            else:
                files[name] = (sha256, self._stages[need.stage].file_name(need.output))
        subject, take_name, listing = self._take(tx, lease)
        label = f"{subject} {take_name}"
        if any(lease.inputs[i][0] != listing.digest for i in take_inputs):
            raise DataError(f"the photographs or cameras of {label} have changed since this run was asked for")
        task = Task(
            key=lease.key, stage=lease.stage, version=lease.version, params=dict(lease.params), label=label,
            stages=tuple(map(str, self.settings.stage_folders)), store=self._store_place, records=self._records,
            files=files, take_inputs=tuple(take_inputs), take_name=take_name, device=self.settings.device,
            threads=None if self.settings.scheduler else self.settings.threads(),
        )  # fmt: skip
        if not take_inputs:
            return task
        photographs = {f"{view}.jpg": sha for view, (sha, _) in listing.photographs.items()}
        frames = tuple(frame for _, frame in listing.photographs.values())
        return replace(task, photographs=photographs, take_params=listing.params, frames=frames)

    def _take(self, tx: Session, lease: Lease) -> tuple[str, str, TakeListing]:
        """Subject code, take name and files of a job's take; remembered, for its next stages ask again soon."""
        if lease.take_id is None:
            raise DataError(f"job {lease.key[:12]} belongs to no take")
        if lease.take_id not in self._takes:
            take = tx.get_one(Take, lease.take_id)
            listing = take_listing(tx, take.id, take.calibration_id or take.session.calibration_id)
            while len(self._takes) >= TAKES_REMEMBERED:
                del self._takes[next(iter(self._takes))]
            self._takes[lease.take_id] = (take.session.subject.code, take.expression.label, listing)
        return self._takes[lease.take_id]

    def _settle(self, workers: Executor, results: list[Result]) -> None:
        """Write results down in one transaction; when the database is lost they wait for the next round."""
        if not results:
            return
        told: list[tuple[_Held, JobState, Result]] = []
        try:
            with transaction(self.engine) as tx:
                for result in results:
                    held = self._held.get(result.key)
                    if held is None or held.lost:
                        continue
                    with contextlib.suppress(LeaseLost):
                        told.append((held, self._write(tx, held, result), result))
        except DatabaseUnavailable as error:
            self._listener.warned(f"{error}; results are kept and written later")
            for result in results:
                self._results.put(result)
            self._stop.wait(1.0)
            return
        for result in results:
            workers.forget(result.key)
            with self._lock:
                self._held.pop(result.key, None)
        for held, state, result in told:
            if state == JobState.DONE:
                self.summary.done += 1
                self._drop_record(result.key)
            else:
                self.summary.failed_attempts += 1
            self._listener.ended(held.label, held.lease.stage, state, result.error, result.seconds)

    def _write(self, tx: Session, held: _Held, result: Result) -> JobState:
        if not result.error:
            finish(tx, held.lease, result.outputs, frame_ids=held.frames)
            if (said := result.review) is not None:
                verdict = RunVerdict(said["verdict"])
                save_run_review(tx, held.lease.job_id, verdict, said["reasons"], said["figures"], said["picture"])
            return JobState.DONE
        return fail(
            tx, held.lease, result.error, retry=result.retry,
            max_attempts=self.settings.max_attempts, backoff_s=self.settings.backoff_s,
        )  # fmt: skip

    def _pulse(self) -> None:
        """Renew the leases of everything held; a lost lease's result will be refused anyway."""
        while not self._stop.wait(self.settings.lease_s / 4):
            with self._lock:
                held = [h for h in self._held.values() if not h.lost]
            with contextlib.suppress(DatabaseUnavailable), transaction(self.engine) as tx:
                for one in held:
                    try:
                        heartbeat(tx, one.lease, lease_s=self.settings.lease_s)
                    except LeaseLost:
                        with self._lock:
                            one.lost = self._held.get(one.lease.key) is one

    def _give_back(self) -> None:
        """Free what is still held. Workers of a foreign scheduler may still be busy: those leases end by themselves."""
        with self._lock:
            held, self._held = list(self._held.values()), {}
        if self.settings.scheduler is not None or not held:
            return
        with contextlib.suppress(DatabaseUnavailable), transaction(self.engine) as tx:
            for one in held:
                with contextlib.suppress(LeaseLost):
                    give_back(tx, one.lease)

    def _put_template(self) -> str:
        digest = file_digest(self._template)
        if not self._store.exists(digest):
            self._store.put_file(self._template, expected=digest)
        return digest

    def _drop_record(self, key: str) -> None:
        if self._records is not None:
            (Path(self._records) / f"{key}.json").unlink(missing_ok=True)

    def _said(self, event: Mapping[str, Any]) -> None:
        self._listener.progressed(event["label"], event["stage"], event["done"], event["message"])


def _ids(takes: Sequence[ReadyTake]) -> tuple[int, ...]:
    return tuple(t.take_id for t in takes)
