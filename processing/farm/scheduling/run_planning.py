"""From the records to stage runs: accepted takes of closed sessions -> jobs with content keys."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from db.models import Calibration
from db.stage_runs.job_queue import PRIORITY, InputFile, InputMade, JobSpec, enqueue_all
from db.stage_runs.ready_takes import ReadyTake, photographs_of_takes, ready_takes, session_marks
from db.takes.missing_photographs import absent_views
from processing.errors import DataError
from processing.farm.scheduling.content_keys import listing_digest, params_bytes
from processing.farm.scheduling.stage_graph import StageOutput, StageRun, TakeInput, plan, plan_urgent
from processing.stages.base import Scope
from processing.stages.discovery import Stages


@dataclass(frozen=True)
class TakeListing:
    """A take as files."""

    photographs: Mapping[int, tuple[str, int]]  # view -> SHA-256, frame id
    params: bytes  # params.json

    @property
    def digest(self) -> str:
        names = {f"{view}.jpg": sha256 for view, (sha256, _) in self.photographs.items()}
        return listing_digest(names | {"params.json": hashlib.sha256(self.params).hexdigest()})


@dataclass(frozen=True)
class SessionPlan:
    """A session's runs: of its takes, and of its subject once the session is closed and all takes are calibrated."""

    session: str  # its code
    subject: str  # its code
    takes: Sequence[ReadyTake]
    runs: Sequence[StageRun]
    problem: str = ""  # why there are none
    whole: bool = True  # whether no further take comes: else there are no runs of the subject


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
    tx: Session,
    takes: Sequence[ReadyTake],
    shared: Mapping[str, str],
    stages: Stages,
    params: Mapping[str, Any],
    *,
    urgent: bool = False,
) -> SessionPlan:
    """The runs of one session's takes; a session that cannot be planned says why and does not stop the others.

    shared: outside source -> identity, as stage_graph.plan has it.
    urgent: those of urgent stages, instead of all that a dataset needs.
    Takes without a calibration wait for one, and do not stop those that have one.
    """
    first, accepted = takes[0], len(takes)
    takes = [take for take in takes if take.calibration_id is not None] or takes
    ids = [take.take_id for take in takes]
    photographs, absent = photographs_of_takes(tx, ids), absent_views(tx, ids)
    try:
        listings = [_listing(tx, t.calibration_id, photographs[t.take_id], absent.get(t.take_id, {})) for t in takes]
        sources = [
            TakeInput(take.label, take.expression, listing.digest)
            for take, listing in zip(takes, listings, strict=True)
        ]
        if urgent:
            return SessionPlan(first.session, first.subject, takes, plan_urgent(sources, stages, params))
        whole = first.closed and len(takes) == accepted
        runs = plan(sources, shared, stages, params, of_subject=whole)
        return SessionPlan(first.session, first.subject, takes, runs, whole=whole)
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
    shared: Mapping[str, str],
    stages: Stages,
    params: Mapping[str, Any],
    *,
    subjects: Collection[str] | None = None,
    labels: Mapping[str, Collection[str]] = MappingProxyType({}),
    unclosed: bool = True,
) -> list[SessionPlan]:
    """Every session's plan, of these subjects (by code) or of all; of closed sessions, or of unclosed ones too.

    labels: subject -> its takes that count, as in '2_smile'; all of a subject that is not there, or has none.
    """
    marks = [mark.session_id for mark in session_marks(tx, unclosed=unclosed)]
    takes = [
        take
        for take in ready_takes(tx, sessions=marks)
        if (subjects is None or take.subject in subjects)
        and (not labels.get(take.subject) or take.label in labels[take.subject])
    ]
    return [plan_session(tx, of, shared, stages, params) for of in by_session(takes).values()]


def enqueue_plan(tx: Session, planned: SessionPlan, priority: int = PRIORITY) -> int:
    """Ask for the runs that nobody asked for yet; how many."""
    ids = {take.label: take.take_id for take in planned.takes}
    of = planned.takes[0].subject_id if planned.takes else None
    return enqueue_all(tx, [spec_of(run, of, ids.get(run.take), priority=priority) for run in planned.runs])


def spec_of(
    run: StageRun, subject_id: int | None, take_id: int | None, members: Sequence[int] = (), priority: int = PRIORITY
) -> JobSpec:
    """A run as the queue takes it. members: of a run of a study, which has neither subject nor take."""
    inputs: list[InputFile | InputMade] = []
    for name, label, source in run.sources():
        if isinstance(source, StageOutput):
            inputs.append(InputMade(name, source.key, source.output, label))
        else:
            inputs.append(InputFile(name, source.digest, label))
    return JobSpec(
        key=run.key,
        stage=run.stage,
        version=run.version,
        params=run.params,
        inputs=inputs,
        subject_id=subject_id,
        take_id=take_id,
        priority=priority,
        subjects=(subject_id,) if run.scope is Scope.SUBJECT and subject_id is not None else tuple(members),
    )
