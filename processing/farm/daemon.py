"""The farm's daemon: finds work in the records, claims it, has it done, writes down what came of it.

SQL is the truth. The daemon may die at any instant: what it held comes back when the leases end, and a result that was
stored but not recorded is found again by its key. So may the workers, the scheduler and the database's connection.
Any number of daemons may work on one database, each on the runs of those stage versions that it has.
"""

import contextlib
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from common.files.hashes import file_sha256
from db.engine import reading, transaction
from db.errors import DatabaseUnavailable, LeaseLost, StoreError
from db.models import JobState, RunVerdict
from db.stage_runs.job_counts import count_jobs
from db.stage_runs.job_queue import (
    Lease,
    claim,
    count_ready,
    fail,
    finish,
    finished_under,
    give_back,
    give_back_others,
    heartbeat,
    postpone,
    prioritise,
    reclaim_expired,
    set_aside,
    worker_aside,
)
from db.stage_runs.ready_takes import session_marks
from db.stage_runs.run_reviews import save_run_review
from db.store import Store
from processing.errors import DataError
from processing.farm.execution.dask_cluster import Executor, executor
from processing.farm.execution.run_journal import log_tail, run_journal_of
from processing.farm.execution.scratch_folders import free_gb, scratch_folder, sweep
from processing.farm.execution.task_execution import with_log
from processing.farm.farm_listener import FarmListener, Summary
from processing.farm.scheduling.task_assignment import TakeChanged, TaskBuilder
from processing.farm.scheduling.tasks import OF_MACHINE, ProgressEvent, Task, TaskOutcome, TaskResult
from processing.farm.scheduling.worker_capacity import CapacityTracker
from processing.farm.session_planner import SessionPlanner
from processing.farm.settings import FarmSettings
from processing.farm.store_watch import StoreWatch
from processing.farm.template_files import FILE_NAMES, shared_files
from processing.farm.workers_aside import COUNTED, WorkersAside
from processing.stages.base import TEMPLATE, Scope
from processing.stages.discovery import discover

PLAN_FOR_S = 2.0  # then what can run is handed out, and planning goes on afterwards
SWEEP_EVERY_S = 3600.0
SHUT_AT_LEAST_S = 1.0
AGAIN_S = 5.0  # then it is asked again whether another process still computes a run


@dataclass
class _Held:
    """A job that this daemon has claimed and sent to a worker."""

    lease: Lease
    label: str  # subject and take, for people
    frames: tuple[int, ...]  # the photographs' rows, for the lineage
    lost: bool = False  # whether the lease ran out, so that the result will be refused


class FarmDaemon:
    """One daemon. `run` is its life; `stop` may be called from anywhere."""

    def __init__(
        self,
        engine: Engine,
        store_place: str,
        settings: FarmSettings,
        template: Path,
        listener: FarmListener | None = None,
        *,
        only: Collection[Scope] | None = None,
    ) -> None:
        """only: it runs what is of these scopes, and asks for nothing; None: all that the records want."""
        self.engine = engine
        self.settings = settings
        self.worker = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._store = Store(store_place)
        self._journal = run_journal_of(store_place)
        self._template = template
        self._stages = discover(*settings.stage_folders)
        self._asks = only is None
        mine = {name: stage for name, stage in self._stages.items() if only is None or stage.scope in only}
        self._versions = {name: stage.version for name, stage in mine.items()}
        self._capacity = CapacityTracker(mine, settings.device)
        self._shared: Mapping[str, Path] = {}
        names = {TEMPLATE: f"template{template.suffix}", **FILE_NAMES}
        self._assignments = TaskBuilder(store_place, settings, self._stages, names)
        self._listener = listener or FarmListener()
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()  # over _held, which the thread of the leases reads
        self._results: queue.SimpleQueue[TaskResult | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._unsure = False  # whether a claim may have been committed without our knowing
        self._no_room = self._full = ""  # what is said of the store's disk, and of the last worker whose disk was full
        self._no_store = ""  # what is said of a store that is away
        self._swept = -SWEEP_EVERY_S
        self._stored: frozenset[str] = frozenset()  # hashes of the shared files, once they are in the store
        self._watch = StoreWatch(engine, self._store)
        self._aside = WorkersAside(self._listener)
        self.summary = Summary()
        self._planner = SessionPlanner(engine, settings, self._stages, self.summary, self._listener)

    def stop(self) -> None:
        """Ask the daemon to end: what runs is given back."""
        self._stop.set()
        self._results.put(None)

    def run(self, *, until_idle: bool = False) -> Summary:
        """Work until stopped, or until nothing is left that can run. Jobs held at the end are given back."""
        begun = time.monotonic()
        self._read_shared()
        self._plan(PLAN_FOR_S)
        if until_idle and self._idle():  # nothing to do: no workers are started
            self.summary.seconds = time.monotonic() - begun
            return self.summary
        try:
            with executor(self.settings, self._progressed) as workers:
                renewing = threading.Thread(target=self._renew_leases, args=(workers,), name="mien-leases", daemon=True)
                renewing.start()
                try:
                    self._work(workers, until_idle)
                finally:
                    self._stop.set()
                    renewing.join(timeout=10)
        finally:
            self._give_back()
            self.summary.seconds = time.monotonic() - begun
        return self.summary

    def plan_once(self) -> None:
        """Put the template, and what is beside it, into the store and ask for every run that is missing."""
        self._read_shared()
        if not (problem := self._watch.problem()):
            self._put_shared()
        else:
            self._listener.warned(problem)
        self._plan(float("inf"))

    def task_of(self, tx: Session, lease: Lease) -> Task:
        """All that a worker needs to know for a claimed job. Raises TakeChanged and DataError."""
        return self._assignments.task_of(tx, lease, self._watch.studio)

    def _work(self, workers: Executor, until_idle: bool) -> None:
        next_look = 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() >= next_look or self._planner.left:
                    self._plan(PLAN_FOR_S)
                    self._sweep()
                    next_look = time.monotonic() + self.settings.poll_s
                self._dispatch(workers)
                if until_idle and not self._held and self._idle():
                    return
            except DatabaseUnavailable as error:
                self._unsure = True
                self._listener.warned(f"{error}; trying again")
                self._stop.wait(1.0)
            self._record_results(workers, self._results_within(min(0.5, self.settings.poll_s)))

    def _results_within(self, seconds: float) -> list[TaskResult]:
        found: list[TaskResult] = []
        with contextlib.suppress(queue.Empty):
            item = self._results.get(timeout=seconds)
            while True:
                if item is not None:
                    found.append(item)
                item = self._results.get_nowait()
        return found

    def _plan(self, seconds: float) -> None:
        """Reclaim what died; ask for the runs of sessions that are new or have changed, the open ones first."""
        end = time.monotonic() + seconds
        with reading(self.engine) as tx:
            marks = session_marks(tx, unclosed=self.settings.open_sessions)
        with transaction(self.engine) as tx:
            if self._unsure:
                give_back_others(tx, self.worker, list(self._held))
            reclaim_expired(tx, max_attempts=self.settings.max_attempts)
            prioritise(tx, {mark.subject_id for mark in marks if mark.in_the_chair})
        self._unsure = False
        self._planner.left = False
        if self._asks:
            self._planner.plan_changed(marks, end)
        self._count_jobs()

    def _idle(self) -> bool:
        """Whether nothing is left that this daemon could run: it is done, blocked, or there is no room for it."""
        self._count_jobs()
        jobs = self.summary.jobs
        running = jobs.running if self._asks else any(stage in self._versions for _, stage, _ in jobs.workers)
        if running or self._planner.left:
            return False
        with reading(self.engine) as tx:
            ready, later = count_ready(tx, self._versions)
        if ready + later == 0:
            return True
        problems: dict[str, str] = {}
        if self._no_store:
            problems["store"] = self._no_store
        elif self._no_room:
            problems["disk"] = self._no_room
        elif self._capacity.all_shut:
            problems = {"workers": self._aside.told} if self._aside.told else {"disk": self._full}
        self.summary.problems |= problems
        return bool(problems)

    def _count_jobs(self) -> None:
        with reading(self.engine) as tx:
            self.summary.jobs = count_jobs(tx)
        self._listener.counted(self.summary.jobs)

    def _sweep(self) -> None:
        """Now and then, remove what killed runs left on the store's disk, and journals that nobody needs any more."""
        if time.monotonic() - self._swept > SWEEP_EVERY_S and not self._watch.problem():
            self._swept = time.monotonic()
            with contextlib.suppress(OSError):
                sweep(scratch_folder(self._store))
                self._journal.sweep()

    def _store_is_there(self) -> bool:
        """Whether the store is there and this studio's, and holds the template; said once when that changes."""
        before, self._no_store = self._no_store, self._watch.problem()
        if bool(before) != bool(self._no_store):
            self._listener.warned(self._no_store or f"the store is there again: {self._store.root}")
        if not self._no_store:
            self._put_shared()
        return not self._no_store

    def _disk_has_room(self) -> bool:
        """Whether the store's disk leaves room for results; said once when that changes."""
        folder, floor = self._store.folder, self.settings.disk_floor_gb
        if folder is None:
            return True
        folder.mkdir(parents=True, exist_ok=True)
        free = free_gb(folder)
        before, self._no_room = self._no_room, ""
        if free < floor:
            self._no_room = (
                f"the store's disk has {free:.1f} GB left, of which {floor:g} stay free ([farm] disk_floor_gb): "
                f"no run begins until there is room under {folder}"
            )
        if bool(before) != bool(self._no_room):
            self._listener.warned(self._no_room or f"there is room again under {folder}")
        return not self._no_room

    def _dispatch(self, workers: Executor) -> None:
        """Claim as many jobs as there is room for, in one transaction, and send them off."""
        if not self._store_is_there() or not self._disk_has_room():
            return
        self._capacity.update(workers.capacities())
        for key in self._capacity.held_in(workers.gone()):
            if key in self._held:
                attempt = self._held[key].lease.attempt
                self._results.put(TaskResult(key, attempt, TaskOutcome.LOST, error="the worker left before it began"))
        if self._capacity.choice() is None:
            return
        taken: list[tuple[Task, _Held, str]] = []
        try:
            with transaction(self.engine) as tx:
                self._claim(tx, taken)
        except DatabaseUnavailable:
            for task, _, _ in taken:
                self._capacity.leave(task.key)
            raise
        with self._lock:  # only now are the leases ours: the transaction has been committed
            self._held |= {task.key: held for task, held, _ in taken}
        for task, _, place in taken:
            worker = self._capacity.worker(place)
            workers.submit(task, worker, self._capacity.needs(task.stage, worker), self._results.put)
            self._listener.started(task.label, task.stage)

    def _claim(self, tx: Session, taken: list[tuple[Task, _Held, str]]) -> None:
        nothing: list[frozenset[str]] = []
        while (choice := self._capacity.choice(nothing)) is not None:
            worker, fitting = choice
            lease = claim(tx, self.worker, lease_s=self.settings.lease_s, stages=fitting)
            if lease is None:
                nothing.append(frozenset(fitting))
                continue
            try:
                task = self.task_of(tx, lease)
            except TakeChanged:
                set_aside(tx, lease)
                continue
            except DataError as error:
                fail(tx, lease, str(error), retry=False)
                continue
            self._capacity.take(task.key, task.stage, worker)
            taken.append((task, _Held(lease, task.label, task.frames), worker.name))

    def _record_results(self, workers: Executor, results: list[TaskResult]) -> None:
        """Write results down in one transaction; when the database is lost they wait for the next round."""
        if not results:
            return
        results = [self._seen_from_here(result) for result in results]
        told: list[tuple[_Held, JobState, TaskResult]] = []
        try:
            with transaction(self.engine) as tx:
                for result in results:
                    held = self._held.get(result.key)
                    if held is None or held.lease.attempt != result.attempt:
                        continue
                    try:
                        told.append((held, self._record(tx, held, result), result))
                    except LeaseLost:
                        if finished_under(tx, held.lease):
                            told.append((held, JobState.DONE, result))  # committed before, and the answer lost
        except DatabaseUnavailable as error:
            self._listener.warned(f"{error}; results are kept and written later")
            for result in results:
                self._results.put(result)
            self._stop.wait(1.0)
            return
        for result in results:
            workers.forget(result.key, result.attempt)
            held = self._held.get(result.key)
            if held is not None and held.lease.attempt == result.attempt:
                self._free_capacity(held, result)
                with self._lock:
                    del self._held[result.key]
        for held, state, result in told:
            if state == JobState.DONE:
                self.summary.done += 1
                self._journal.recorded(result.key)
            else:
                self.summary.failed_attempts += result.outcome in COUNTED
            self._listener.ended(held.label, held.lease.stage, state, result.error, result.seconds)

    def _record(self, tx: Session, held: _Held, result: TaskResult) -> JobState:
        if result.outcome == TaskOutcome.DONE:
            finish(tx, held.lease, result.outputs, frame_ids=held.frames)
            if (said := result.review) is not None:
                verdict = RunVerdict(said["verdict"])
                save_run_review(tx, held.lease.job_id, verdict, said["reasons"], said["figures"], said["picture"])
            return JobState.DONE
        if self._aside.forgives(result.key, result.outcome):
            delays = {
                TaskOutcome.NO_ROOM: self.settings.backoff_s,
                TaskOutcome.ELSEWHERE: min(AGAIN_S, self.settings.lease_s / 4),
            }
            why = result.error
            if result.outcome in OF_MACHINE:
                why = worker_aside(self._capacity.label_of(result.key), result.error.splitlines()[-1])
            return postpone(tx, held.lease, why, delays.get(result.outcome, 0.0))
        error = result.error
        if result.outcome == TaskOutcome.ATTEMPT and not result.seconds:  # its worker could not say anything
            error = with_log(error, log_tail(self._journal, result.key))
        return fail(
            tx, held.lease, error, retry=result.outcome != TaskOutcome.INPUT,
            max_attempts=self.settings.max_attempts, backoff_s=self.settings.backoff_s,
        )  # fmt: skip

    def _seen_from_here(self, result: TaskResult) -> TaskResult:
        """What a worker misses and the daemon sees is no input's fault: the worker's store is not the studio's."""
        if result.outcome != TaskOutcome.INPUT or not result.missing:
            return result
        try:
            there = self._store.exists(result.missing)
        except StoreError:
            there = False
        if not there:
            return result
        error = f"{result.error.splitlines()[-1]} It is there for the daemon: mount the studio's store on that machine"
        return replace(result, outcome=TaskOutcome.NO_STORE, error=error)

    def _free_capacity(self, held: _Held, result: TaskResult) -> None:
        """A run has left its worker; send no more there where the worker is at fault."""
        label = self._capacity.label_of(result.key)
        place = self._capacity.leave(result.key)
        if place is None:
            return
        if result.outcome == TaskOutcome.UNFIT:
            self._capacity.refuse(place, held.lease.stage)
            self._listener.warned(f"{result.error} (worker {place or 'of this machine'})")
        elif result.outcome == TaskOutcome.NO_ROOM:
            self._capacity.shut(place, max(self.settings.backoff_s, SHUT_AT_LEAST_S))
            self._full = result.error.splitlines()[-1]
            self._listener.warned(self._full)
        elif result.outcome in OF_MACHINE:
            self._capacity.shut(place, max(self.settings.backoff_s, SHUT_AT_LEAST_S))
            self._aside.failed(result.key, result.outcome)
            self._aside.put(label, result.error.splitlines()[-1])
        elif result.outcome in (TaskOutcome.DONE, *COUNTED):
            self._capacity.trust(place)
            self._aside.take_back(label)

    def _renew_leases(self, workers: Executor) -> None:
        """Renew the leases of everything held; a lost lease's result will be refused, so its run need not begin."""
        while not self._stop.wait(self.settings.lease_s / 4):
            with self._lock:
                held = [h for h in self._held.values() if not h.lost]
            if not held:
                continue
            lost: list[_Held] = []
            with contextlib.suppress(DatabaseUnavailable), transaction(self.engine) as tx:
                for one in held:
                    try:
                        heartbeat(tx, one.lease, lease_s=self.settings.lease_s)
                    except LeaseLost:
                        lost.append(one)
            for one in lost:
                one.lost = True
                workers.forget(one.lease.key, one.lease.attempt)
                self._results.put(
                    TaskResult(one.lease.key, one.lease.attempt, TaskOutcome.LOST, error="the lease was lost")
                )

    def _give_back(self) -> None:
        """Free what is still held. Workers of a foreign scheduler may be busy still: the locks make others wait."""
        with self._lock:
            held, self._held = list(self._held.values()), {}
        if not held:
            return
        with contextlib.suppress(DatabaseUnavailable), transaction(self.engine) as tx:
            for one in held:
                with contextlib.suppress(LeaseLost):
                    give_back(tx, one.lease)

    def _read_shared(self) -> None:
        """Which files all takes have in common now, and their identities."""
        self._shared = shared_files(self._template, self._stages, self._listener.warned)
        self._planner.shared = {source: file_sha256(path) for source, path in self._shared.items()}

    def _put_shared(self) -> None:
        digests = frozenset(self._planner.shared.values())
        if self._stored != digests:
            for source, path in self._shared.items():
                digest = self._planner.shared[source]
                if not self._store.exists(digest):
                    self._store.put_file(path, expected=digest)
        self._stored = digests

    def _progressed(self, event: ProgressEvent) -> None:
        self._listener.progressed(event["label"], event["stage"], event["done"], event["message"])
