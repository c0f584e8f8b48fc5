"""Versions of face models: recorded when they are made, marked when a member leaves, superseded by the next version."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from db.audit import audit_log
from db.audit.number_floors import model_versions_given
from db.consents.withdrawals import lock_participants, may_be_modelled
from db.engine import utc_now
from db.erasure.take_withdrawals import runs_of_take
from db.errors import AlreadyThere, ConsentError, NotFound
from db.models import (
    CaptureSession,
    FaceModel,
    FaceModelMember,
    Job,
    JobState,
    JobSubject,
    Leaving,
    Subject,
    Take,
    TakeWithdrawal,
)


@dataclass(frozen=True)
class ModelMember:
    """A subject whose rig is in a version."""

    subject_id: int
    code: str
    left_at: datetime | None  # since when it is to be in no model, or not as it is here
    why: Leaving | None


@dataclass(frozen=True)
class ModelRecord:
    """A version of a model."""

    id: int
    name: str
    version: int
    key: str  # of the run that made it
    job_id: int | None  # None once its files were erased with a member
    created_at: datetime
    marked_at: datetime | None  # since when a member has left
    selection_sha256: str
    selection: Mapping[str, Any]
    members: tuple[ModelMember, ...]  # by code
    superseded_by: int | None  # the newest version, where that is another one

    @property
    def stands(self) -> bool:
        """Whether it may be shown and released: nobody has left, and its files are there."""
        return self.marked_at is None and self.job_id is not None

    @property
    def left(self) -> tuple[ModelMember, ...]:
        """Members who have left."""
        return tuple(member for member in self.members if member.left_at is not None)


def model_records(tx: Session, name: str | None = None) -> list[ModelRecord]:
    """All versions, of this model or of all, by name and version."""
    query = select(FaceModel).options(selectinload(FaceModel.members).selectinload(FaceModelMember.subject))
    query = query.order_by(FaceModel.name, FaceModel.version).execution_options(populate_existing=True)
    if name is not None:
        query = query.where(FaceModel.name == name)
    models = list(tx.scalars(query))
    newest: dict[str, int] = {model.name: model.version for model in models}
    return [_record(model, newest[model.name]) for model in models]


def newest_model(tx: Session, name: str) -> ModelRecord:
    """The newest version. Raises NotFound."""
    found = model_records(tx, name)
    if not found:
        raise NotFound(f"No face model {name}; see: mien model list")
    return found[-1]


def next_version(tx: Session, name: str) -> int:
    """The number of the version that would be made now; from 1."""
    recorded = tx.scalar(select(func.max(FaceModel.version)).where(FaceModel.name == name)) or 0
    return max(recorded, model_versions_given(tx, name)) + 1


def members_by_code(tx: Session, codes: Sequence[str]) -> dict[str, int]:
    """Code -> id, by code. Raises NotFound naming those that do not exist, ConsentError naming all who do not consent.

    Withdrawals wait until this transaction ends.
    """
    ids: dict[str, int] = {}
    for start in range(0, len(codes), 500):
        chunk = list(codes[start : start + 500])
        ids.update(tx.execute(select(Subject.code, Subject.id).where(Subject.code.in_(chunk))).all())
    if unknown := sorted(set(codes) - set(ids)):
        raise NotFound(f"No subject {', '.join(unknown)}; see: mien subject list")
    require_members(tx, ids)
    return {code: ids[code] for code in sorted(ids)}


def require_members(tx: Session, ids: Mapping[str, int]) -> None:
    """Raises ConsentError naming, by code, everybody who does not consent today to be part of a statistical model."""
    may = lock_participants(tx, ids.values()) & may_be_modelled(tx)
    if lacking := sorted(code for code, number in ids.items() if number not in may):
        raise ConsentError(
            f"{', '.join(lacking)} {'does' if len(lacking) == 1 else 'do'} not consent to be part of a statistical "
            "model: leave them out of the selection, or record the consent:  mien subject consent CODE --consent "
            "statistical_model ..."
        )


def record_model(
    tx: Session, name: str, version: int, key: str, selection_sha256: str, selection: Mapping[str, Any]
) -> ModelRecord:
    """Record a version whose run is done, with its members as the run has them.

    Raises NotFound where the run is not done, ConsentError where a member withdrew, all or a take that is in it, while
    it was made; AlreadyThere.
    """
    job = tx.scalar(select(Job).where(Job.key == key, Job.state == JobState.DONE))
    if job is None:
        raise NotFound(f"No run has made {name} {version}; see: mien farm status")
    query = select(Subject.code, Subject.id).join(JobSubject, JobSubject.subject_id == Subject.id)
    ids: dict[str, int] = dict(tx.execute(query.where(JobSubject.job_id == job.id)).all())
    require_members(tx, ids)
    _require_takes(tx, job, ids.values())
    if tx.scalar(select(FaceModel.id).where(FaceModel.name == name, FaceModel.version == version)) is not None:
        raise AlreadyThere(f"There is {name} {version} already; see: mien model list")
    model = FaceModel(
        name=name, version=version, key=key, job_id=job.id, selection_sha256=selection_sha256,
        selection=dict(selection), created_at=utc_now(), marked_at=None,
        members=[FaceModelMember(subject_id=number) for number in ids.values()],
    )  # fmt: skip
    tx.add(model)
    tx.flush()
    audit_log.record(tx, "model.build", "model", f"{name} {version}", {"members": sorted(ids), "key": key})
    return next(record for record in model_records(tx, name) if record.version == version)


def _require_takes(tx: Session, job: Job, subject_ids: Collection[int]) -> None:
    """Raises ConsentError naming the withdrawn takes that the run was made of."""
    query = select(Take).join(TakeWithdrawal, TakeWithdrawal.take_id == Take.id).join(CaptureSession)
    withdrawn = tx.scalars(query.where(CaptureSession.subject_id.in_(list(subject_ids))).order_by(Take.code))
    if inside := [take.code for take in withdrawn if job.id in runs_of_take(tx, take)]:
        raise ConsentError(
            f"{', '.join(inside)} withdrawn while the model was made: select anew (mien release select), build again"
        )


def models_of(tx: Session, codes: Collection[str]) -> list[ModelRecord]:
    """Versions that have any of these subjects, by name and version."""
    wanted = set(codes)
    return [record for record in model_records(tx) if wanted & {member.code for member in record.members}]


def _record(model: FaceModel, newest: int) -> ModelRecord:
    members = [ModelMember(m.subject_id, m.subject.code, m.left_at, m.why) for m in model.members]
    return ModelRecord(
        model.id, model.name, model.version, model.key, model.job_id, model.created_at, model.marked_at,
        model.selection_sha256, model.selection, tuple(sorted(members, key=lambda member: member.code)),
        newest if newest != model.version else None,
    )  # fmt: skip
