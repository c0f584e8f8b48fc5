"""Files that stage runs made, and what they were made from."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.models import Artefact, ArtefactParent, Frame, Job, JobInput, JobState, JobTake


@dataclass(frozen=True)
class OutputFile:
    """A named file that a stage made, in the store already. `media` as in 'image/png'."""

    output: str
    sha256: str
    bytes: int
    media: str


@dataclass(frozen=True)
class Lineage:
    """What an artefact comes from, all the way back."""

    artefacts: tuple[Artefact, ...]
    frames: tuple[Frame, ...]


def record_artefacts(
    tx: Session,
    job_id: int,
    outputs: Sequence[OutputFile],
    *,
    parents: Sequence[int],
    frame_ids: Sequence[int],
    made_at: datetime,
) -> list[Artefact]:
    """Rows for a job's files, each with the job's parents.

    db.stage_runs.job_queue.finish calls it in the job's last transaction.
    """
    artefacts = [
        Artefact(job_id=job_id, output=o.output, sha256=o.sha256, bytes=o.bytes, media=o.media, made_at=made_at)
        for o in outputs
    ]
    tx.add_all(artefacts)
    tx.flush()
    lineage = [
        {"artefact_id": artefact.id, "parent_id": parent, "frame_id": frame}
        for artefact in artefacts
        for parent, frame in (
            *((p, None) for p in dict.fromkeys(parents)),
            *((None, f) for f in dict.fromkeys(frame_ids)),
        )
    ]
    if lineage:
        tx.execute(insert(ArtefactParent), lineage)
    return artefacts


def artefacts_of_job(tx: Session, key: str) -> dict[str, Artefact]:
    """A done job's files by output name; empty when the job is not done."""
    query = select(Artefact).join(Job).where(Job.key == key, Job.state == JobState.DONE)
    return {artefact.output: artefact for artefact in tx.scalars(query)}


def artefacts_of_take(tx: Session, take_id: int) -> dict[tuple[str, str], Artefact]:
    """The newest file of a take by (stage, output); a stage run again with another version or parameters is newer."""
    return {(stage, artefact.output): artefact for stage, artefact in artefact_histories(tx, [take_id])[take_id]}


def artefact_histories(tx: Session, take_ids: Collection[int]) -> dict[int, list[tuple[str, Artefact]]]:
    """take -> (stage, file) of every done run for it, the oldest first."""
    query = (
        select(JobTake.take_id, Job.stage, Artefact)
        .join(Job, Artefact.job_id == Job.id)
        .join(JobTake, JobTake.job_id == Job.id)
        .where(JobTake.take_id.in_(list(take_ids)), Job.state == JobState.DONE)
        .order_by(Job.id, Artefact.id)
    )
    found: dict[int, list[tuple[str, Artefact]]] = {take: [] for take in take_ids}
    for take, stage, artefact in tx.execute(query):
        found[take].append((stage, artefact))
    return found


def parents_of(tx: Session, artefact_ids: Collection[int]) -> dict[int, list[tuple[str, Artefact]]]:
    """artefact -> (stage, file) of what it was made from directly."""
    query = (
        select(ArtefactParent.artefact_id, Job.stage, Artefact)
        .join(Job, Artefact.job_id == Job.id)
        .join(ArtefactParent, ArtefactParent.parent_id == Artefact.id)
        .where(ArtefactParent.artefact_id.in_(list(artefact_ids)))
        .order_by(Artefact.id)
    )
    found: dict[int, list[tuple[str, Artefact]]] = {artefact: [] for artefact in artefact_ids}
    for child, stage, artefact in tx.execute(query):
        found[child].append((stage, artefact))
    return found


def input_hashes(tx: Session, job_ids: Collection[int], name: str) -> dict[int, str]:
    """job -> SHA-256 of the file from outside that it read under this name, as in 'template'."""
    here = (JobInput.job_id.in_(list(job_ids)), JobInput.name == name, JobInput.sha256.is_not(None))
    return {job: sha256 for job, sha256 in tx.execute(select(JobInput.job_id, JobInput.sha256).where(*here)) if sha256}


def find_artefact(tx: Session, take_id: int, stage: str, output: str) -> Artefact | None:
    """The newest file of this name that this stage made for this take."""
    return artefacts_of_take(tx, take_id).get((stage, output))


def frames_of_take(tx: Session, take_id: int) -> list[Frame]:
    """A take's photographs, in order of camera row."""
    return list(tx.scalars(select(Frame).where(Frame.take_id == take_id).order_by(Frame.camera_id)))


def lineage(tx: Session, artefact_id: int) -> Lineage:
    """Every artefact and photograph this one was made from, near and far."""
    near = (
        select(ArtefactParent.parent_id, ArtefactParent.frame_id)
        .where(ArtefactParent.artefact_id == artefact_id)
        .cte("ancestry", recursive=True)
    )
    ancestry = near.union(
        select(ArtefactParent.parent_id, ArtefactParent.frame_id).where(ArtefactParent.artefact_id == near.c.parent_id)
    )
    artefacts = tx.scalars(select(Artefact).where(Artefact.id.in_(select(ancestry.c.parent_id))).order_by(Artefact.id))
    frames = tx.scalars(select(Frame).where(Frame.id.in_(select(ancestry.c.frame_id))).order_by(Frame.id))
    return Lineage(tuple(artefacts), tuple(frames))
