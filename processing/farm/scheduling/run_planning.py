"""From the records to stage runs: accepted takes of closed sessions -> jobs with content keys."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Calibration, Job, JobState
from db.stage_runs.job_queue import PRIORITY, InputFile, InputMade, JobSpec, db_now, enqueue_all
from db.stage_runs.ready_takes import ReadyTake, photographs_of_takes, ready_takes, session_marks
from db.store import Store
from db.takes.missing_photographs import absent_views
from processing.errors import DataError
from processing.farm.scheduling.content_keys import listing_digest, params_bytes
from processing.farm.scheduling.stage_graph import StageOutput, StageRun, TakeInput, plan
from processing.stages.discovery import Stages


@dataclass(frozen=True)
class TakeListing:
    """A take as files: view -> (SHA-256, frame id) of its photographs, and params.json's bytes."""

    photographs: Mapping[int, tuple[str, int]]
    params: bytes

    @property
    def digest(self) -> str:
        names = {f"{view}.jpg": sha256 for view, (sha256, _) in self.photographs.items()}
        return listing_digest(names | {"params.json": hashlib.sha256(self.params).hexdigest()})


@dataclass(frozen=True)
class SessionPlan:
    """A session's runs and how they stand; `problem` says why there are none."""

    session: str
    subject: str
    takes: Sequence[ReadyTake]
    runs: Sequence[StageRun]
    problem: str = ""


def take_listing(tx: Session, take_id: int, calibration_id: int | None) -> TakeListing:
    """A take's files. Raises DataError when its session has no calibration."""
    absent = absent_views(tx, [take_id]).get(take_id, {})
    return _listing(tx, calibration_id, photographs_of_takes(tx, [take_id])[take_id], absent)


def _listing(
    tx: Session,
    calibration_id: int | None,
    photographs: Mapping[int, tuple[str, int]],
    absent: Mapping[int, str],
) -> TakeListing:
    """absent: views without which the studio kept the take, and why; read_take says it of them."""
    calibration = tx.get(Calibration, calibration_id) if calibration_id is not None else None
    if calibration is None:
        raise DataError("the session has no calibration: nobody knows where its cameras were")
    told = {f"{view}_absent": str(why) for view, why in absent.items()}
    return TakeListing(photographs, params_bytes({**calibration.data, **told}))


def plan_session(
    tx: Session, takes: Sequence[ReadyTake], template_digest: str, stages: Stages, params: Mapping[str, Any]
) -> SessionPlan:
    """The runs of one session's takes; a session that cannot be planned says why and does not stop the others.

    Takes without a calibration wait for one, and do not stop those that have one.
    """
    first = takes[0]
    takes = [take for take in takes if take.calibration_id is not None] or takes
    ids = [take.take_id for take in takes]
    photographs, absent = photographs_of_takes(tx, ids), absent_views(tx, ids)
    try:
        listings = [_listing(tx, t.calibration_id, photographs[t.take_id], absent.get(t.take_id, {})) for t in takes]
        sources = [
            TakeInput(take.label, take.expression, listing.digest)
            for take, listing in zip(takes, listings, strict=True)
        ]
        return SessionPlan(first.session, first.subject, takes, plan(sources, template_digest, stages, params))
    except DataError as error:
        return SessionPlan(first.session, first.subject, takes, [], str(error))


def by_session(takes: Sequence[ReadyTake]) -> dict[str, list[ReadyTake]]:
    """The ready takes, session by session."""
    grouped: dict[str, list[ReadyTake]] = {}
    for take in takes:
        grouped.setdefault(take.session, []).append(take)
    return grouped


def all_plans(
    tx: Session,
    template_digest: str,
    stages: Stages,
    params: Mapping[str, Any],
    *,
    subject: str | None = None,
    unclosed: bool = True,
) -> list[SessionPlan]:
    """Every session's plan; those of closed sessions alone, or of open and paused ones too."""
    marks = [mark.session_id for mark in session_marks(tx, unclosed=unclosed)]
    grouped = by_session(ready_takes(tx, subject=subject, sessions=marks))
    return [plan_session(tx, takes, template_digest, stages, params) for takes in grouped.values()]


def enqueue_plan(tx: Session, planned: SessionPlan, priority: int = PRIORITY) -> int:
    """Ask for the runs that nobody asked for yet; how many."""
    ids = {take.label: take for take in planned.takes}
    return enqueue_all(tx, [_spec(run, ids[run.take], priority) for run in planned.runs])


def _spec(run: StageRun, take: ReadyTake, priority: int) -> JobSpec:
    inputs: list[InputFile | InputMade] = []
    for name, source in run.inputs.items():
        if isinstance(source, StageOutput):
            inputs.append(InputMade(name, source.key, source.output))
        else:
            inputs.append(InputFile(name, source.digest))
    return JobSpec(
        key=run.key,
        stage=run.stage,
        version=run.version,
        params=run.params,
        inputs=inputs,
        subject_id=take.subject_id,
        take_id=take.take_id,
        priority=priority,
    )


@dataclass(frozen=True)
class MissingRun:
    """A run whose result is not there, and why."""

    session: str
    take: str
    stage: str
    key: str
    why: str


def missing_runs(tx: Session, plans: Sequence[SessionPlan]) -> list[MissingRun]:
    """Goal minus what is present, each with its reason."""
    now = db_now(tx)
    found: list[MissingRun] = []
    for planned in plans:
        if planned.problem:
            found.append(MissingRun(planned.session, "", "", "", planned.problem))
        why = _Reasons(tx, planned.runs, now)
        found += [
            MissingRun(planned.session, run.take, run.stage, run.key, why.of(run))
            for run in planned.runs
            if not why.done(run.key)
        ]
    return found


class _Reasons:
    """Why the runs of a session are not done."""

    def __init__(self, tx: Session, runs: Sequence[StageRun], now: datetime) -> None:
        self._runs = {run.key: run for run in runs}
        self._now = now
        self._jobs: dict[str, tuple[JobState, str, datetime | None]] = {}
        query = select(Job.key, Job.state, Job.error, Job.not_before)
        for start in range(0, len(runs), 500):
            chunk = [run.key for run in runs[start : start + 500]]
            for key, state, error, not_before in tx.execute(query.where(Job.key.in_(chunk))):
                self._jobs[key] = state, _last_line(error or ""), not_before

    def done(self, key: str) -> bool:
        return key in self._jobs and self._jobs[key][0] == JobState.DONE

    def of(self, run: StageRun) -> str:
        if run.key not in self._jobs:
            return "not asked for yet: mien farm run"
        state, error, not_before = self._jobs[run.key]
        if state in (JobState.FAILED, JobState.PARKED):
            return f"{state.value}: {error}"
        if state == JobState.LEASED:
            return "running"
        if stuck := self._stuck(run):
            return f"behind {', '.join(stuck)}: mend that, then mien farm retry"
        waits = [self._name(key) for key in sorted(run.parents) if not self.done(key)]
        if waits:
            return f"waits for {', '.join(waits)}"
        if not_before is not None and not_before > self._now:
            return f"tried again at {not_before.astimezone(UTC):%H:%M:%S} UTC; before: {error}"
        return "ready to run"

    def _stuck(self, run: StageRun) -> list[str]:
        """The failed and parked runs that this one needs, near or far."""
        found: dict[str, str] = {}
        seen: set[str] = set()
        left = list(run.parents)
        while left:
            key = left.pop()
            if key in seen or self.done(key):
                continue
            seen.add(key)
            state = self._jobs[key][0] if key in self._jobs else None
            if state in (JobState.FAILED, JobState.PARKED):
                found[key] = f"{self._name(key)} ({state.value})"
            elif key in self._runs:
                left += self._runs[key].parents
        return sorted(found.values())

    def _name(self, key: str) -> str:
        run = self._runs.get(key)
        return key[:12] if run is None else f"{run.take} {run.stage}"


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no reason recorded"


def write_take_folder(listing: Mapping[str, str], params: bytes, store: Store, folder: Path) -> None:
    """Make a take's folder from the store: photographs (file name -> SHA-256), each checked, and params.json."""
    folder.mkdir(parents=True)
    for name, sha256 in listing.items():
        store.verify(sha256)
        store.link(sha256, folder / name)
    (folder / "params.json").write_bytes(params)
