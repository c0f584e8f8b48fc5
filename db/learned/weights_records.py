"""Learned weights: recorded once they are made of this studio's release, marked when somebody in them leaves.

Weights are known by their file's hash; the file itself lies where its makers put it. Whoever they were trained on must
consent to be part of a statistical model, as a member of a face model must: weights are one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from db.audit import audit_log
from db.consents.capture_consent import today
from db.consents.scope_consents import consenting_subjects, masked_subjects
from db.consents.withdrawals import withdrawn_takes
from db.engine import utc_now
from db.errors import AlreadyThere, ConsentError, NotFound
from db.face_models.model_records import members_by_code
from db.models import (
    Artefact,
    ConsentScope,
    FaceModel,
    FaceModelMember,
    Learned,
    LearnedKind,
    LearnedSubject,
    Leaving,
    Release,
    ReleaseItem,
    ReleaseState,
    Subject,
    Take,
)
from db.release_records.releases import get_release


@dataclass(frozen=True)
class TrainedOn:
    """A subject that weights were trained on."""

    subject_id: int
    code: str
    left_at: datetime | None
    why: Leaving | None


@dataclass(frozen=True)
class WeightsRecord:
    """A file of weights that the studio knows."""

    id: int
    kind: LearnedKind
    sha256: str
    release: str  # as in 'faces 2'
    model: str | None  # likewise
    created_at: datetime
    marked_at: datetime | None
    card: Mapping[str, Any]
    subjects: tuple[TrainedOn, ...]  # by code

    @property
    def name(self) -> str:
        """As in 'regressor 3f2a90c1b7de'."""
        return weights_name(self.kind, self.sha256)

    @property
    def stands(self) -> bool:
        """Whether they may be used and released."""
        return self.marked_at is None

    @property
    def left(self) -> tuple[TrainedOn, ...]:
        return tuple(one for one in self.subjects if one.left_at is not None)


def weights_name(kind: str, sha256: str) -> str:
    """How people call weights: the kind, and enough of the hash."""
    return f"{kind} {sha256[:12]}"


def weights_records(tx: Session) -> list[WeightsRecord]:
    """All weights, the oldest first."""
    query = select(Learned).options(
        selectinload(Learned.subjects).selectinload(LearnedSubject.subject),
        selectinload(Learned.release), selectinload(Learned.model),
    )  # fmt: skip
    return [_record(one) for one in tx.scalars(query.order_by(Learned.id).execution_options(populate_existing=True))]


def find_weights(tx: Session, sha256: str) -> WeightsRecord | None:
    """Weights by their file's hash."""
    learned = tx.scalar(select(Learned).where(Learned.sha256 == sha256).execution_options(populate_existing=True))
    return None if learned is None else _record(learned)


def release_of_manifest(tx: Session, name: str, version: int, sha256: str) -> Release:
    """The complete release that this manifest is of. Raises NotFound, also where its manifest is another."""
    release = get_release(tx, name, version)
    if release.state is not ReleaseState.COMPLETE or release.manifest_sha256 != sha256:
        raise NotFound(f"{name} {version} of this studio has another manifest: the folder is no release of it")
    return release


def require_trainable(
    tx: Session, release: Release, codes: Collection[str], model_sha256: str | None
) -> tuple[dict[str, int], FaceModel | None]:
    """Ids by code of everybody whom weights of these subjects, and of this model, would be trained on; the model.

    model_sha256: of a face model's file; who is in it counts where this studio made it. Raises NotFound for a subject
    that the release does not have, ConsentError naming all who do not consent to be part of a statistical model, takes
    that were withdrawn since, and a model that is marked.
    """
    model = _model_of(tx, model_sha256)
    if model is not None and model.marked_at is not None:
        raise ConsentError(
            f"face model {model.name} {model.version} is not to be used since {model.marked_at:%Y-%m-%d}, a member "
            f"left it: mien model rebuild {model.name}, then train on that"
        )
    of_release = set(tx.scalars(
        select(Subject.code).join(ReleaseItem, ReleaseItem.subject_id == Subject.id)
        .where(ReleaseItem.release_id == release.id).distinct()
    ))  # fmt: skip
    if strangers := sorted(set(codes) - of_release):
        raise NotFound(f"{release.name} {release.version} does not have {', '.join(strangers)}")
    members: set[str] = set()
    if model is not None:
        inside = select(Subject.code).join(FaceModelMember, FaceModelMember.subject_id == Subject.id)
        members = set(tx.scalars(inside.where(FaceModelMember.model_id == model.id)))
    ids = members_by_code(tx, sorted({*codes, *members}))
    mine = [ids[code] for code in codes]
    items = select(ReleaseItem.take_id).where(ReleaseItem.release_id == release.id, ReleaseItem.subject_id.in_(mine))
    if gone := withdrawn_takes(tx, list(tx.scalars(items))):
        named = sorted(tx.scalars(select(Take.code).where(Take.id.in_(gone))))
        raise ConsentError(
            f"{', '.join(named)} withdrawn since {release.name} {release.version}: build the next version of the "
            "release (mien release select, build), and train on that"
        )
    return ids, model


def record_weights(
    tx: Session,
    sha256: str,
    card: Mapping[str, Any],
    release: Release,
    codes: Collection[str],
    pictured: Collection[str] = (),
) -> WeightsRecord:
    """Record a file of weights. codes: of the subjects trained on; pictured: of those whose picture is in the file;
    card: as the file has it.

    Raises AlreadyThere, as `require_trainable`, and ConsentError for a picture of somebody who does not consent to
    publication with open eyes.
    """
    if find_weights(tx, sha256) is not None:
        raise AlreadyThere(f"{weights_name(card['kind'], sha256)} is recorded already; see: mien learn list")
    ids, model = require_trainable(tx, release, codes, card["model"].get("sha256"))
    shown = consenting_subjects(tx, ConsentScope.PUBLICATION, today()) - set(masked_subjects(tx, today()))
    if hidden := sorted(code for code in pictured if ids.get(code) not in shown):
        raise ConsentError(
            f"the file holds pictures of {', '.join(hidden)}, who must not be shown (publication, open eyes): train "
            "again on a release that has them as they consent now"
        )
    learned = Learned(
        kind=LearnedKind(card["kind"]), sha256=sha256, release_id=release.id,
        model_id=None if model is None else model.id, card=dict(card), created_at=utc_now(), marked_at=None,
        subjects=[LearnedSubject(subject_id=number, pictured=code in pictured) for code, number in ids.items()],
    )  # fmt: skip
    tx.add(learned)
    tx.flush()
    detail = {"subjects": sorted(ids), "release": f"{release.name} {release.version}", "sha256": sha256}
    audit_log.record(tx, "weights.record", "weights", weights_name(learned.kind, sha256), detail)
    found = find_weights(tx, sha256)
    assert found is not None
    return found


def require_standing(tx: Session, sha256: str) -> None:
    """Raises ConsentError for weights, or a face model's file, that somebody in it has left, with what to do."""
    found = find_weights(tx, sha256)
    if found is not None and found.marked_at is not None:
        raise ConsentError(
            f"{found.name} is not to be used since {found.marked_at:%Y-%m-%d}: {len(found.left)} of those it was "
            f"trained on left ({found.release}). Build the next version of the release, train again "
            f"(mien learn {found.kind}), and delete the old file"
        )
    model = _model_of(tx, sha256)
    if model is not None and model.marked_at is not None:
        raise ConsentError(
            f"face model {model.name} {model.version} is not to be used since {model.marked_at:%Y-%m-%d}, a member "
            f"left it: mien model rebuild {model.name}, and delete the old file"
        )


def _model_of(tx: Session, sha256: str | None) -> FaceModel | None:
    """The face model whose run made a file of this hash."""
    if sha256 is None:
        return None
    query = select(FaceModel).join(Artefact, Artefact.job_id == FaceModel.job_id).where(Artefact.sha256 == sha256)
    return tx.scalar(query.order_by(FaceModel.id.desc()).limit(1))


def _record(learned: Learned) -> WeightsRecord:
    subjects = [TrainedOn(s.subject_id, s.subject.code, s.left_at, s.why) for s in learned.subjects]
    model = None if learned.model is None else f"{learned.model.name} {learned.model.version}"
    return WeightsRecord(
        learned.id, learned.kind, learned.sha256, f"{learned.release.name} {learned.release.version}", model,
        learned.created_at, learned.marked_at, learned.card, tuple(sorted(subjects, key=lambda one: one.code)),
    )  # fmt: skip
