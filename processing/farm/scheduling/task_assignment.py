"""From a claimed job to a task that a worker can do without asking."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import JobSubject, Subject, Take
from db.stage_runs.job_queue import Lease
from processing.errors import DataError
from processing.farm.scheduling.run_planning import TakeListing, take_listing
from processing.farm.scheduling.tasks import Task
from processing.farm.settings import FarmSettings
from processing.stages.base import TAKE, Scope, Stage
from processing.stages.discovery import BUILT_IN

TAKES_REMEMBERED = 64


class TakeChanged(Exception):
    """The take's photographs or cameras have changed since the run was asked for; another run replaces it."""


class TaskBuilder:
    """Makes tasks of leases; remembers takes, for their next stages ask again soon."""

    def __init__(
        self, store_place: str, settings: FarmSettings, stages: Mapping[str, Stage], file_names: Mapping[str, str]
    ) -> None:
        self._store_place = store_place
        self._settings = settings
        self._stages = stages
        self._file_names = file_names  # of outside sources
        self._takes: dict[int, tuple[str, str, TakeListing]] = {}

    def task_of(self, tx: Session, lease: Lease, studio: str) -> Task:
        """All that a worker needs to know for a claimed job. studio: whose store it is.

        Raises TakeChanged, and DataError for a job without whom it is of.
        """
        stage = self._stages[lease.stage]
        if stage.scope is not Scope.TAKE:
            return self._task(
                lease, studio, _whose(tx, lease), self._files(stage, lease), many=self._many(stage, lease)
            )
        take_inputs = [n for n, need in stage.parsed_needs() if need.source == TAKE and n in lease.inputs]
        subject, take_name, listing = self._take(tx, lease)
        if any(lease.inputs[i][0] != listing.digest for i in take_inputs):
            self._takes.clear()  # cameras that were calibrated anew since they were remembered
            subject, take_name, listing = self._take(tx, lease)
        label = f"{subject} {take_name}"
        if any(lease.inputs[i][0] != listing.digest for i in take_inputs):
            raise TakeChanged(label)
        task = self._task(lease, studio, label, self._files(stage, lease), take_name=take_name)
        if not take_inputs:
            return task
        photographs = {f"{view}.jpg": sha for view, (sha, _) in listing.photographs.items()}
        frames = tuple(frame for _, frame in listing.photographs.values())
        return replace(
            task, take_inputs=tuple(take_inputs), photographs=photographs, take_params=listing.params, frames=frames
        )

    def _files(self, stage: Stage, lease: Lease) -> dict[str, tuple[str, str]]:
        """Input -> (SHA-256, file name) of what is one file: not a take, and not many."""
        files: dict[str, tuple[str, str]] = {}
        for name, need in stage.parsed_needs():
            if name not in lease.inputs or need.source == TAKE:
                continue
            sha256 = lease.inputs[name][0]
            made = need.stage and self._stages[need.stage].file_name(need.output)
            files[name] = (sha256, made or self._file_names[need.source])
        return files

    def _many(self, stage: Stage, lease: Lease) -> dict[str, dict[str, tuple[str, str]]]:
        """Input -> label -> (SHA-256, file name), in order."""
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for name, need in stage.parsed_needs():
            if need.each:
                file_name = self._stages[need.stage].file_name(need.output)
                found[name] = {of: (sha256, file_name) for of, (sha256, _) in lease.many.get(name, {}).items()}
        return found

    def _task(self, lease: Lease, studio: str, label: str, files: Mapping[str, tuple[str, str]], **more: Any) -> Task:
        settings = self._settings
        return Task(
            key=lease.key, stage=lease.stage, version=lease.version, params=dict(lease.params), label=label,
            stages=tuple("" if s == BUILT_IN else str(s) for s in settings.stage_folders), store=self._store_place,
            studio=studio, files=files, attempt=lease.attempt,
            device=settings.device, threads=settings.processors if settings.scheduler else settings.threads(),
            disk_floor_gb=settings.disk_floor_gb, limit_s=settings.limit_s, **more,
        )  # fmt: skip

    def _take(self, tx: Session, lease: Lease) -> tuple[str, str, TakeListing]:
        """Subject code, take name and files of a job's take."""
        if lease.take_id is None:
            raise DataError(f"job {lease.key[:12]} belongs to no take")
        if lease.take_id not in self._takes:
            take = tx.get_one(Take, lease.take_id)
            listing = take_listing(tx, take.id, take.calibration_id or take.session.calibration_id)
            while len(self._takes) >= TAKES_REMEMBERED:
                del self._takes[next(iter(self._takes))]
            self._takes[lease.take_id] = (take.session.subject.code, take.expression.label, listing)
        return self._takes[lease.take_id]


def _whose(tx: Session, lease: Lease) -> str:
    """A subject's code, or how many a study has. Raises DataError for a job of nobody."""
    if lease.subject_id is not None:
        return tx.get_one(Subject, lease.subject_id).code
    members = tx.scalar(select(func.count()).where(JobSubject.job_id == lease.job_id)) or 0
    if not members:
        raise DataError(f"job {lease.key[:12]} belongs to no take, no subject and no study")
    return f"study of {members}"
