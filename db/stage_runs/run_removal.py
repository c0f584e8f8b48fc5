"""Stage runs that go: with all that was made from them, or handed over to the other takes that they serve too.

Two takes with equal photographs share their runs, for a run's key is a hash of what it reads.
"""

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.orm import Session, aliased

from db.engine import in_chunks
from db.models import Artefact, ArtefactParent, FaceModel, Frame, Job, JobInput, JobSubject, JobTake, RunReview


def with_descendants(tx: Session, jobs: Collection[int]) -> set[int]:
    """These runs and all that were made from their outputs, near and far, whomever they serve."""
    found = fresh = set(jobs)
    while fresh:
        made = {
            job
            for chunk in in_chunks(sorted(fresh))
            for job in tx.scalars(select(JobInput.job_id).where(JobInput.from_job_id.in_(chunk)))
        }
        fresh = made - found
        found = found | fresh
    return found


def delete_runs(tx: Session, jobs: Collection[int]) -> None:
    """The rows of these runs go, with artefacts, lineage and reviews; whatever was made from them is among them."""
    chunks = list(in_chunks(sorted(jobs)))
    for chunk in chunks:
        artefacts = select(Artefact.id).where(Artefact.job_id.in_(chunk))
        lineage = or_(ArtefactParent.artefact_id.in_(artefacts), ArtefactParent.parent_id.in_(artefacts))
        tx.execute(delete(ArtefactParent).where(lineage))
    for chunk in chunks:
        tx.execute(delete(RunReview).where(RunReview.job_id.in_(chunk)))
        tx.execute(delete(Artefact).where(Artefact.job_id.in_(chunk)))
        tx.execute(delete(JobInput).where(JobInput.job_id.in_(chunk)))
        tx.execute(delete(JobTake).where(JobTake.job_id.in_(chunk)))
        tx.execute(delete(JobSubject).where(JobSubject.job_id.in_(chunk)))
        tx.execute(update(FaceModel).where(FaceModel.job_id.in_(chunk)).values(job_id=None))
    for chunk in chunks:
        tx.execute(delete(Job).where(Job.id.in_(chunk)))


def hand_over_runs(tx: Session, takes: Collection[int], named: ColumnElement[bool]) -> None:
    """What other takes share with these (equal photographs) becomes theirs alone.

    named: condition on Job: it says that it is of one of these takes, and is to say another one that it serves.
    """
    chunks = list(in_chunks(sorted(takes)))
    for chunk in chunks:
        tx.execute(delete(JobTake).where(JobTake.take_id.in_(chunk)))
    serves = select(JobTake.take_id).where(JobTake.job_id == Job.id).limit(1).correlate(Job).scalar_subquery()
    tx.execute(update(Job).where(named).values(take_id=serves))
    mine = aliased(Frame)
    for chunk in chunks:
        lineage = (
            select(ArtefactParent.id, Frame.id)
            .join(mine, mine.id == ArtefactParent.frame_id)
            .join(Artefact, Artefact.id == ArtefactParent.artefact_id)
            .join(JobTake, JobTake.job_id == Artefact.job_id)
            .join(Frame, and_(Frame.take_id == JobTake.take_id, Frame.sha256 == mine.sha256))
            .where(mine.take_id.in_(chunk))
        )
        for row, frame in tx.execute(lineage).all():
            tx.execute(update(ArtefactParent).where(ArtefactParent.id == row).values(frame_id=frame))
