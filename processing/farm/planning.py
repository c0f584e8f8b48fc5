"""From the records to stage runs: accepted takes of closed sessions -> jobs with content keys."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.jobs import InputFile, InputMade, JobSpec, enqueue_all, states_of
from db.models import Calibration, Job, JobState
from db.queries import ReadyTake, photographs_of_takes, ready_takes, session_marks
from db.store import Store
from processing.errors import DataError
from processing.farm.graph import Made, Run, TakeSource, plan
from processing.farm.keys import listing_digest, params_bytes
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
    runs: Sequence[Run]
    problem: str = ""


def take_listing(tx: Session, take_id: int, calibration_id: int | None) -> TakeListing:
    """A take's files. Raises DataError when its session has no calibration."""
    return _listing(tx, calibration_id, photographs_of_takes(tx, [take_id])[take_id])


def _listing(tx: Session, calibration_id: int | None, photographs: Mapping[int, tuple[str, int]]) -> TakeListing:
    calibration = tx.get(Calibration, calibration_id) if calibration_id is not None else None
    if calibration is None:
        raise DataError("the session has no calibration: nobody knows where its cameras were")
    return TakeListing(photographs, params_bytes(calibration.data))


def plan_session(
    tx: Session, takes: Sequence[ReadyTake], template_digest: str, stages: Stages, params: Mapping[str, Any]
) -> SessionPlan:
    """The runs of one session's takes; a session that cannot be planned says why and does not stop the others."""
    first = takes[0]
    photographs = photographs_of_takes(tx, [take.take_id for take in takes])
    try:
        sources = [
            TakeSource(t.label, t.expression, _listing(tx, t.calibration_id, photographs[t.take_id]).digest)
            for t in takes
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


def enqueue_plan(tx: Session, planned: SessionPlan) -> int:
    """Ask for the runs that nobody asked for yet; how many."""
    ids = {take.label: take for take in planned.takes}
    return enqueue_all(tx, [_spec(run, ids[run.take]) for run in planned.runs])


def _spec(run: Run, take: ReadyTake) -> JobSpec:
    inputs: list[InputFile | InputMade] = []
    for name, source in run.inputs.items():
        if isinstance(source, Made):
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
    )


@dataclass(frozen=True)
class Missing:
    """A run whose result is not there, and why."""

    session: str
    take: str
    stage: str
    key: str
    why: str


def missing_runs(tx: Session, plans: Sequence[SessionPlan]) -> list[Missing]:
    """Goal minus what is present, each with its reason."""
    found: list[Missing] = []
    for planned in plans:
        if planned.problem:
            found.append(Missing(planned.session, "", "", "", planned.problem))
        states = states_of(tx, [run.key for run in planned.runs])
        names = {run.key: f"{run.take} {run.stage}" for run in planned.runs}
        for run in planned.runs:
            if states.get(run.key) != JobState.DONE:
                why = _why(tx, run, states, names)
                found.append(Missing(planned.session, run.take, run.stage, run.key, why))
    return found


def _why(tx: Session, run: Run, states: Mapping[str, JobState], names: Mapping[str, str]) -> str:
    state = states.get(run.key)
    if state is None:
        return "not asked for yet: mien farm run"
    if state in (JobState.FAILED, JobState.PARKED):
        return f"{state.value}: {_last_line(_job_error(tx, run.key))}"
    if state == JobState.LEASED:
        return "running"
    waits = [names.get(key, key[:12]) for key in sorted(run.parents) if states.get(key) != JobState.DONE]
    return f"waits for {', '.join(waits)}" if waits else "ready to run"


def _job_error(tx: Session, key: str) -> str:
    return tx.scalar(select(Job.error).where(Job.key == key)) or ""


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no reason recorded"


def materialise(listing: Mapping[str, str], params: bytes, store: Store, folder: Path) -> None:
    """Make a take's folder from the store: photographs (file name -> SHA-256), each checked, and params.json."""
    folder.mkdir(parents=True)
    for name, sha256 in listing.items():
        store.verify(sha256)
        store.link(sha256, folder / name)
    (folder / "params.json").write_bytes(params)
