"""Which files that stages made may be shown: those of takes whose subjects consent today, asked at each showing."""

from dataclasses import dataclass

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db.consents.capture_consent import consents, today
from db.consents.withdrawals import take_withdrawn
from db.errors import ConsentError, NotFound
from db.models import Artefact, CaptureSession, Job, JobInput, JobTake, Take

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
    if tx.scalar(shown) is None:
        raise ConsentError("It shows somebody whose consent does not stand: nothing of it is shown")
    return ServedFile(sha256, media)
