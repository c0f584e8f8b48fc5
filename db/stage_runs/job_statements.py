"""The statements of the farm's inner loop, each built once: building one takes longer than running it.

Parameters are named, as in `at_now`; `db.stage_runs.job_queue` gives them their values.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from sqlalchemy import ColumnElement, Update, and_, bindparam, exists, false, or_, select, update
from sqlalchemy.orm import aliased

from db.models import Artefact, Job, JobInput, JobState, Take

Stages = tuple[tuple[str, int | None], ...]  # name, version or any
_maker = aliased(Job)
_now = bindparam("at_now", type_=Job.created_at.type)

INPUTS_MADE: ColumnElement[bool] = ~exists().where(
    JobInput.job_id == Job.id, _maker.id == JobInput.from_job_id, _maker.state != JobState.DONE
)
DUE: ColumnElement[bool] = or_(Job.not_before.is_(None), Job.not_before <= _now)
_CLAIMABLE = (Job.state == JobState.QUEUED, DUE, INPUTS_MADE)
_TAKEN = {
    Job.state: JobState.LEASED,
    Job.worker: bindparam("by_worker", type_=Job.worker.type),
    Job.lease_until: bindparam("at_end", type_=Job.lease_until.type),
    Job.heartbeat_at: _now,
    Job.started_at: _now,
    Job.attempts: Job.attempts + 1,
}
_LEASE = (Job.id, Job.key, Job.stage, Job.version, Job.params, Job.subject_id, Job.take_id, Job.attempts)
_made = (Artefact.job_id == JobInput.from_job_id) & (Artefact.output == JobInput.from_output)

# What a job reads.
INPUTS = (
    select(JobInput.name, JobInput.label, JobInput.sha256, JobInput.from_output, Artefact.id, Artefact.sha256)
    .outerjoin(Artefact, _made)
    .where(JobInput.job_id == bindparam("of_job"))
    .order_by(JobInput.id)
)


def reads_session(session_id: int) -> ColumnElement[bool]:
    """Condition: a run of a subject, which reads what was made of takes of this session."""
    read = exists().where(
        JobInput.job_id == Job.id, _maker.id == JobInput.from_job_id, Take.id == _maker.take_id,
        Take.session_id == session_id,
    )  # fmt: skip
    return and_(Job.take_id.is_(None), Job.subject_id.is_not(None), read.correlate(Job))


def stages_wanted(stages: Iterable[str] | Mapping[str, int] | None) -> Stages | None:
    """As the statements take them: names, or names with the one version of each; None: all."""
    if stages is None:
        return None
    return tuple(sorted(stages.items())) if isinstance(stages, Mapping) else tuple((name, None) for name in stages)


@lru_cache(maxsize=256)
def claim_next(stages: Stages | None) -> Update:
    """Claim the most urgent job of these stages: looked for and taken in one statement."""
    chosen = (
        select(Job.id).where(*_CLAIMABLE, *of_stages(stages)).order_by(Job.priority, Job.id).limit(1)
        .with_for_update(skip_locked=True, of=Job)
    )  # fmt: skip
    # Without correlate(None) its columns would be taken for those of the row that is updated.
    return update(Job).where(Job.id == chosen.correlate(None).scalar_subquery()).values(_TAKEN).returning(*_LEASE)


def of_stages(stages: Stages | None) -> tuple[ColumnElement[bool], ...]:
    """Condition: one of these stages."""
    if stages is None:
        return ()
    each = ((Job.stage == name) if version is None else and_(Job.stage == name, Job.version == version)
            for name, version in stages)  # fmt: skip
    return (or_(false(), *each),)


@lru_cache(maxsize=64)
def update_held(columns: tuple[str, ...], uncounted: bool) -> Update:
    """Give a leased job's columns new values, `new_NAME`, where one worker's one attempt holds it.

    uncounted: the attempt is taken back.
    """
    values: dict[str, object] = {
        name: bindparam(f"new_{name}", type_=getattr(Job, name).type) for name in columns
    }  # fmt: skip
    if uncounted:
        values["attempts"] = Job.attempts - 1
    held = (
        Job.id == bindparam("of_job"),
        Job.state == JobState.LEASED,
        Job.worker == bindparam("by_worker"),
        Job.attempts == bindparam("of_attempt"),
    )
    return update(Job).where(*held).values(values)
