"""Which files that stages made may be shown: those of takes whose subjects consent today, asked at each showing.

What is of a whole subject is shown while none of the takes that it was made of is withdrawn; what is of a study while
every member consents, and no member has left the model.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, exists, or_, select
from sqlalchemy.orm import Session

from db.consents.capture_consent import consents, today
from db.consents.withdrawals import lacks_a_member, reads_withdrawn_take, take_withdrawn
from db.errors import ConsentError, NotFound
from db.models import Artefact, CaptureSession, FaceModel, Job, JobInput, JobSubject, JobTake, Take

TEMPLATE = "template"  # an input that is the study's, and shows nobody


@dataclass(frozen=True)
class ServedFile:
    """A file that may be shown."""

    sha256: str
    media: str  # as in 'image/png'


def served_file(tx: Session, sha256: str) -> ServedFile:
    """The artefact, or the template, of this hash.

    Raises NotFound where no run made or read it, ConsentError where nobody whom it shows consents any more.
    """
    media = tx.scalar(select(Artefact.media).where(Artefact.sha256 == sha256).limit(1))
    if media is None:
        read = exists().where(JobInput.sha256 == sha256, JobInput.name == TEMPLATE)
        if tx.scalar(select(read)):
            return ServedFile(sha256, "application/octet-stream")
        raise NotFound(f"No run has made a file {sha256[:12]}")
    shown = (
        select(Take.id)
        .join(JobTake, JobTake.take_id == Take.id)
        .join(Job, Job.id == JobTake.job_id)
        .join(Artefact, Artefact.job_id == Job.id)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(Artefact.sha256 == sha256, consents(CaptureSession.subject_id, today()), ~take_withdrawn(Take.id))
        .limit(1)
    )
    if tx.scalar(shown) is None and tx.scalar(_of_many(sha256)) is None:
        raise ConsentError("It shows somebody whose consent does not stand: nothing of it is shown")
    return ServedFile(sha256, media)


def _of_many(sha256: str) -> Select[Any]:
    """Runs of subjects and studies that made this file, and may be shown."""
    participant = exists().where(JobSubject.job_id == Job.id, consents(JobSubject.subject_id, today())).correlate(Job)
    of_subject = and_(Job.subject_id.is_not(None), Job.take_id.is_(None), participant, ~reads_withdrawn_take())
    marked = exists().where(FaceModel.job_id == Job.id, FaceModel.marked_at.is_not(None)).correlate(Job)
    member = exists().where(JobSubject.job_id == Job.id).correlate(Job)
    of_study = and_(Job.subject_id.is_(None), Job.take_id.is_(None), member, ~lacks_a_member(), ~marked)
    made = select(Job.id).join(Artefact, Artefact.job_id == Job.id).where(Artefact.sha256 == sha256)
    return made.where(or_(of_subject, of_study)).limit(1)
