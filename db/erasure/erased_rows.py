"""The rows that an erasure takes away: photographs, what was measured on them, and the files that have to go with them.

An erasure of a subject and one of a single take differ in which takes and runs are theirs; what becomes of these is
the same.
"""

from collections.abc import Collection

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from db.engine import in_chunks, utc_now
from db.models import (
    Artefact,
    ArtefactParent,
    Erasure,
    ErasureFile,
    Frame,
    FrameMeasure,
    JobInput,
    RawFile,
    RunReview,
    Take,
    TakeAbsence,
    TakeCheck,
    TakeReview,
)

MEMBERS = "members"  # an input that says who is in a study, by age group and gender


def files_of(tx: Session, takes: Collection[int], jobs: Collection[int]) -> set[str]:
    """SHA-256 of every file that rows of these takes and runs name."""
    found: set[str] = set()
    for chunk in in_chunks(sorted(takes)):
        found |= set(tx.scalars(select(Frame.sha256).where(Frame.take_id.in_(chunk))))
        found |= set(tx.scalars(select(RawFile.sha256).where(RawFile.take_id.in_(chunk))))
        sheets = select(TakeReview.sheet).where(TakeReview.take_id.in_(chunk), TakeReview.sheet.is_not(None))
        found |= {sheet for sheet in tx.scalars(sheets) if sheet}
    for chunk in in_chunks(sorted(jobs)):
        found |= set(tx.scalars(select(Artefact.sha256).where(Artefact.job_id.in_(chunk))))
        pictures = select(RunReview.picture).where(RunReview.job_id.in_(chunk), RunReview.picture.is_not(None))
        found |= {picture for picture in tx.scalars(pictures) if picture}
        who = (JobInput.job_id.in_(chunk), JobInput.name == MEMBERS, JobInput.sha256.is_not(None))
        found |= {list_ for list_ in tx.scalars(select(JobInput.sha256).where(*who)) if list_}
    return found


def journal_files(tx: Session, subject_id: int, files: Collection[str]) -> Erasure:
    """An erasure that has begun, with the files that are to go."""
    erasure = Erasure(subject_id=subject_id, started_at=utc_now(), files=0, bytes=0, shared=0)
    tx.add(erasure)
    tx.flush()
    if files:
        tx.execute(insert(ErasureFile), [{"erasure_id": erasure.id, "sha256": sha256} for sha256 in sorted(files)])
    return erasure


def delete_captures(tx: Session, takes: Collection[int]) -> None:
    """The photographs of these takes and what was found on them go; the takes stay, and say nothing of anybody.

    Their runs are gone or handed over already (db.stage_runs.run_removal).
    """
    for chunk in in_chunks(sorted(takes)):
        frames = select(Frame.id).where(Frame.take_id.in_(chunk))
        tx.execute(delete(ArtefactParent).where(ArtefactParent.frame_id.in_(frames)))
        tx.execute(delete(FrameMeasure).where(FrameMeasure.frame_id.in_(frames)))
        for table in (TakeCheck, TakeReview, RawFile, Frame):
            tx.execute(delete(table).where(table.take_id.in_(chunk)))
        tx.execute(update(Take).where(Take.id.in_(chunk)).values(problem=None))
        tx.execute(update(TakeAbsence).where(TakeAbsence.take_id.in_(chunk)).values(reason="erased"))
