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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.engine import reading, transaction
from db.errors import DatabaseUnavailable, LeaseLost
from db.models import JobState, RunVerdict
from db.stage_runs.job_queue import (
    IN_THE_CHAIR,
    PRIORITY,
    Lease,
    claim,
    count_ready,
    fail,
    finish,
    give_back,
    give_back_others,
    heartbeat,
    postpone,
    prioritise,
    reclaim_expired,
    set_aside,
    set_last,
    states_of,
)
from db.stage_runs.ready_takes import SessionMark, ready_takes, session_marks
from db.stage_runs.run_reviews import save_run_review
from db.store import Store
from processing.errors import DataError
from processing.farm.execution.dask_cluster import Executor, executor
from processing.farm.execution.run_journal import log_tail, run_journal_of
from processing.farm.execution.scratch_folders import free_gb, scratch_folder, sweep
from processing.farm.execution.task_execution import Task, TaskOutcome, TaskResult, with_log
from processing.farm.scheduling.content_keys import file_digest
from processing.farm.scheduling.job_counts import JobCounts, standing
from processing.farm.scheduling.run_planning import by_session, enqueue_plan, plan_session
from processing.farm.scheduling.task_assignment import TakeChanged, TaskBuilder
from processing.farm.scheduling.worker_capacity import CapacityTracker
from processing.farm.settings import FarmSettings
from processing.stages.discovery import discover

PLAN_FOR_S = 2.0  # then what can run is handed out, and planning goes on afterwards
SWEEP_EVERY_S = 3600.0
SHUT_AT_LEAST_S = 1.0
AGAIN_S = 5.0  # then it is asked again whether another process still computes a run
COUNTED = (TaskOutcome.INPUT, TaskOutcome.ATTEMPT, TaskOutcome.DISK_FULL)  # outcomes of an attempt that counts


class FarmListener(Protocol):
    """What the daemon tells of itself. Every call comes from one of its threads."""

    def started(self, label: str, stage: str) -> None: ...

    def progressed(self, label: str, stage: str, done: float, message: str) -> None: ...

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None: ...

    def stands(self, standing: JobCounts) -> None: ...

    def warned(self, message: str) -> None: ...


class NullListener:
    """A listener that does not care."""

    def started(self, label: str, stage: str) -> None:
        """A run was handed to a worker."""

    def progressed(self, label: str, stage: str, done: float, message: str) -> None:
        """A running stage says how far it is."""

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None:
        """A run ended; `state` is what the job became."""

    def stands(self, standing: JobCounts) -> None:
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
    standing: JobCounts = field(default_factory=JobCounts)
    problems: dict[str, str] = field(default_factory=dict)  # session -> why it has no runs


@dataclass
class _Held:
    lease: Lease
    label: str
    frames: tuple[int, ...]
    lost: bool = False


class FarmDaemon:
    """One daemon. `run` is its life; `stop` may be called from anywhere."""

    def __init__(
        self,
        engine: Engine,
        store_place: str,
        settings: FarmSettings,
        template: Path,
        listener: FarmListener | None = None,
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.worker = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._store = Store(store_place)
        self._notes = run_journal_of(store_place)
        self._template = template
        self._stages = discover(*settings.stage_folders)
        self._versions = {name: stage.version for name, stage in self._stages.items()}
        self._rooms = CapacityTracker(self._stages, settings.device)
        self._assignments = TaskBuilder(store_place, settings, self._stages, template.suffix)
        self._listener: FarmListener = listener or NullListener()
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()  # over _held, which the thread of the leases reads
        self._results: queue.SimpleQueue[TaskResult | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._template_digest = ""
        self._planned: dict[str, tuple[int, ...]] = {}
        self._plans_left = True
        self._unsure = False  # whether a claim may have been committed without our knowing
        self._no_room = self._full = ""  # what is said of the store's disk, and of the last worker whose disk was full
        self._swept = -SWEEP_EVERY_S
        self.summary = Summary()

    def stop(self) -> None:
        """Ask the daemon to end: what runs is given back."""
        self._stop.set()
        self._results.put(None)

    def run(self, *, until_idle: bool = False) -> Summary:
        """Work until stopped, or until nothing is left that can run. Jobs held at the end are given back."""
        begun = time.monotonic()
        self._template_digest = self._put_template()
        self._plan(PLAN_FOR_S)
        if until_idle and self._idle():  # nothing to do: no workers are started
            self.summary.seconds = time.monotonic() - begun
            return self.summary
        try:
            with executor(self.settings, self._said) as workers:
                pulse = threading.Thread(target=self._pulse, args=(workers,), name="mien-leases", daemon=True)
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
        self._plan(float("inf"))

    def task_of(self, tx: Session, lease: Lease) -> Task:
        """All that a worker needs to know for a claimed job. Raises TakeChanged and DataError."""
        return self._assignments.task_of(tx, lease)

    def _work(self, workers: Executor, until_idle: bool) -> None:
        next_look = 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() >= next_look or self._plans_left:
                    self._plan(PLAN_FOR_S)
                    self._sweep()
                    next_look = time.monotonic() + self.settings.poll_s
                self._fill(workers)
                if until_idle and not self._held and self._idle():
                    return
            except DatabaseUnavailable as error:
                self._unsure = True
                self._listener.warned(f"{error}; trying again")
                self._stop.wait(1.0)
            self._settle(workers, self._results_within(min(0.5, self.settings.poll_s)))

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
        changed = [mark for mark in marks if self._planned.get(mark.code) != mark.mark]
        self._plans_left = False
        for number, mark in enumerate(changed):
            if number and time.monotonic() > end:
                self._plans_left = True
                break
            self._plan_session(mark)
        self._tell()

    def _plan_session(self, mark: SessionMark) -> None:
        with reading(self.engine) as tx:
            takes = by_session(ready_takes(tx, sessions=[mark.session_id])).get(mark.code, [])
            if not takes:
                return
            planned = plan_session(tx, takes, self._template_digest, self._stages, self.settings.params)
        if planned.problem:
            if mark.closed:  # else the neutral may come yet
                self.summary.problems[mark.code] = planned.problem
                self._listener.warned(f"session {mark.code}: {planned.problem}")
        else:
            self.summary.problems.pop(mark.code, None)
            with transaction(self.engine) as tx:
                priority = IN_THE_CHAIR if mark.in_the_chair else PRIORITY
                self.summary.planned += enqueue_plan(tx, planned, priority)
                set_last(tx, mark.session_id, {run.key for run in planned.runs})
        self._planned[mark.code] = mark.mark

    def _idle(self) -> bool:
        """Whether nothing is left that this daemon could run: it is done, blocked, or there is no room for it."""
        self._tell()
        if self.summary.standing.running or self._plans_left:
            return False
        with reading(self.engine) as tx:
            ready, later = count_ready(tx, self._versions)
        if ready + later and (self._no_room or self._rooms.all_shut):
            self.summary.problems["disk"] = self._no_room or self._full
            return True
        return ready + later == 0

    def _tell(self) -> None:
        with reading(self.engine) as tx:
            self.summary.standing = standing(tx)
        self._listener.stands(self.summary.standing)

    def _sweep(self) -> None:
        """Now and then, remove what killed runs left on the store's disk, and notes that nobody needs any more."""
        if time.monotonic() - self._swept > SWEEP_EVERY_S:
            self._swept = time.monotonic()
            with contextlib.suppress(OSError):
                sweep(scratch_folder(self._store))
                self._notes.sweep()

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

    def _fill(self, workers: Executor) -> None:
        """Claim as many jobs as there is room for, in one transaction, and send them off."""
        if not self._disk_has_room():
            return
        self._rooms.update(workers.rooms())
        for key in self._rooms.held_in(workers.gone()):
            if key in self._held:
                attempt = self._held[key].lease.attempt
                self._results.put(TaskResult(key, attempt, TaskOutcome.LOST, error="the worker left before it began"))
        if self._rooms.choice() is None:
            return
        taken: list[tuple[Task, _Held, str]] = []
        try:
            with transaction(self.engine) as tx:
                self._claim(tx, taken)
        except DatabaseUnavailable:
            for task, _, _ in taken:
                self._rooms.leave(task.key)
            raise
        with self._lock:  # only now are the leases ours: the transaction has been committed
            self._held |= {task.key: held for task, held, _ in taken}
        for task, _, place in taken:
            room = self._rooms.room(place)
            workers.submit(task, room, self._rooms.needs(task.stage, room), self._results.put)
            self._listener.started(task.label, task.stage)

    def _claim(self, tx: Session, taken: list[tuple[Task, _Held, str]]) -> None:
        nothing: list[frozenset[str]] = []
        while (choice := self._rooms.choice(nothing)) is not None:
            room, fitting = choice
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
            self._rooms.take(task.key, task.stage, room)
            taken.append((task, _Held(lease, task.label, task.frames), room.name))

    def _settle(self, workers: Executor, results: list[TaskResult]) -> None:
        """Write results down in one transaction; when the database is lost they wait for the next round."""
        if not results:
            return
        told: list[tuple[_Held, JobState, TaskResult]] = []
        try:
            with transaction(self.engine) as tx:
                for result in results:
                    held = self._held.get(result.key)
                    if held is None or held.lease.attempt != result.attempt:
                        continue
                    try:
                        told.append((held, self._write(tx, held, result), result))
                    except LeaseLost:
                        if states_of(tx, [result.key]).get(result.key) == JobState.DONE:
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
                self._blame(held, result)
                with self._lock:
                    del self._held[result.key]
        for held, state, result in told:
            if state == JobState.DONE:
                self.summary.done += 1
                self._notes.recorded(result.key)
            else:
                self.summary.failed_attempts += result.outcome in COUNTED
            self._listener.ended(held.label, held.lease.stage, state, result.error, result.seconds)

    def _write(self, tx: Session, held: _Held, result: TaskResult) -> JobState:
        if result.outcome == TaskOutcome.DONE:
            finish(tx, held.lease, result.outputs, frame_ids=held.frames)
            if (said := result.review) is not None:
                verdict = RunVerdict(said["verdict"])
                save_run_review(tx, held.lease.job_id, verdict, said["reasons"], said["figures"], said["picture"])
            return JobState.DONE
        if result.outcome not in COUNTED:
            delays = {
                TaskOutcome.NO_ROOM: self.settings.backoff_s,
                TaskOutcome.ELSEWHERE: min(AGAIN_S, self.settings.lease_s / 4),
            }
            delay = delays.get(result.outcome, 0.0)
            return postpone(tx, held.lease, result.error, delay)
        error = result.error
        if result.outcome == TaskOutcome.ATTEMPT and not result.seconds:  # its worker could not say anything
            error = with_log(error, log_tail(self._notes, result.key))
        return fail(
            tx, held.lease, error, retry=result.outcome != TaskOutcome.INPUT,
            max_attempts=self.settings.max_attempts, backoff_s=self.settings.backoff_s,
        )  # fmt: skip

    def _blame(self, held: _Held, result: TaskResult) -> None:
        """Take a run out of its room, and send no more there where the room is at fault."""
        room = self._rooms.leave(result.key)
        if room is None:
            return
        if result.outcome == TaskOutcome.UNFIT:
            self._rooms.refuse(room, held.lease.stage)
            self._listener.warned(f"{result.error} (worker {room or 'of this machine'})")
        elif result.outcome in (TaskOutcome.DISK_FULL, TaskOutcome.NO_ROOM):
            self._rooms.shut(room, max(self.settings.backoff_s, SHUT_AT_LEAST_S))
            self._full = result.error.splitlines()[-1]
            self._listener.warned(self._full)

    def _pulse(self, workers: Executor) -> None:
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

    def _put_template(self) -> str:
        digest = file_digest(self._template)
        if not self._store.exists(digest):
            self._store.put_file(self._template, expected=digest)
        return digest

    def _said(self, event: Mapping[str, Any]) -> None:
        self._listener.progressed(event["label"], event["stage"], event["done"], event["message"])
