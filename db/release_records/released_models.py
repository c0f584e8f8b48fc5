"""Face models in releases: which versions may leave, which ones left with which release."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.consents.scope_consents import consenting_subjects
from db.face_models.model_records import ModelRecord, model_records
from db.models import ConsentScope, FaceModel, Release, ReleaseModel, ReleaseState


@dataclass(frozen=True)
class LeavingModel:
    """A version of a face model, and why it may not leave."""

    record: ModelRecord
    #: For people; empty where it may leave.
    why_not: str = ""


@dataclass(frozen=True)
class EarlierModel:
    """A face model in a complete version of a release."""

    #: Of the release.
    release_version: int
    #: Its row.
    model_id: int
    name: str
    version: int


def leaving_models(tx: Session, day: date, *, lock: bool = False) -> list[LeavingModel]:
    """Every version of every face model, by name and version: whether each member's consents of `day` let it leave.

    A model leaves with nobody in it who does not consent to be part of a statistical model and to release for research,
    and with no withdrawn take. lock: as in `consenting_subjects`.
    """
    part = consenting_subjects(tx, ConsentScope.STATISTICAL_MODEL, day, lock=lock)
    released = consenting_subjects(tx, ConsentScope.RESEARCH_RELEASE, day, lock=lock)
    found = []
    for record in model_records(tx):
        members = {member.subject_id for member in record.members}
        why = ""
        if record.marked_at is not None:
            why = f"a member left it on {record.marked_at:%Y-%m-%d}: mien model rebuild {record.name}"
        elif record.job_id is None:
            why = "its files were erased"
        elif members - part:
            why = f"{len(members - part)} members do not consent to be part of a statistical model on {day}"
        elif members - released:
            why = f"{len(members - released)} members do not consent to release for research on {day}"
        found.append(LeavingModel(record, why))
    return found


def record_released_models(tx: Session, release: Release, models: Collection[int]) -> None:
    """The models that a release holds."""
    tx.add_all(ReleaseModel(release_id=release.id, model_id=model) for model in sorted(models))
    tx.flush()


def models_released_before(tx: Session, name: str) -> list[EarlierModel]:
    """Every face model in every complete version of this release, by model and version."""
    query = (
        select(Release.version, FaceModel.id, FaceModel.name, FaceModel.version)
        .join(ReleaseModel, ReleaseModel.release_id == Release.id)
        .join(FaceModel, FaceModel.id == ReleaseModel.model_id)
        .where(Release.name == name, Release.state == ReleaseState.COMPLETE)
        .order_by(FaceModel.id, Release.version)
    )
    return [EarlierModel(*row) for row in tx.execute(query)]
