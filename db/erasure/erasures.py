"""A subject's photographs and artefacts go for good: first the rows, in one transaction, then file after file.

What a row of another subject names as well is kept. The files that still have to go are journalled, so an erasure that
was interrupted goes on where it stopped. The subject's code, its sessions and takes, its consents and what was released
of it stay: they say that somebody was here and withdrew, and nothing of who.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, exists, func, select, update
from sqlalchemy.orm import Session

from common.progress import CountProgress
from db import store_identity
from db.audit import audit_log
from db.captures import unclosed_sessions
from db.engine import changed, in_chunks, reading, transaction, utc_now
from db.erasure import secure_delete as pages
from db.erasure.erased_rows import delete_captures, files_of, journal_files
from db.erasure.store_trash import Trash
from db.errors import ConsentError
from db.models import (
    CameraAside,
    CaptureSession,
    Erasure,
    ErasureFile,
    Job,
    JobSubject,
    JobTake,
    Personal,
    RetentionTerm,
    SessionAct,
    SkippedExpression,
    Subject,
    SubjectChange,
    Take,
    TakeWithdrawal,
)
from db.stage_runs.run_removal import delete_runs, hand_over_runs, with_descendants
from db.store import Store
from db.store_parts.store_references import is_referenced
from db.subjects import get_subject


@dataclass(frozen=True)
class ErasureReport:
    """How an erasure ended. It is not over while files wait or pages hold traces: the same command goes on then."""

    code: str  # of whom or what was erased
    files: int  # removed
    bytes: int  # ... and what they weighed
    shared: int  # files kept because rows of others name them
    waiting: int  # files that were put again while it ran, or whose part of the store is away
    absent: int = 0  # files that were not there, in the right store
    pages: str = ""  # why the database's own pages still hold traces
    trashed: int = 0  # files of nobody that lie in the trash, some of which may have been the subject's

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to do."""
        return not self.waiting and not self.pages


@dataclass(frozen=True)
class ErasurePreview:
    """What an erasure would remove."""

    takes: int
    stage_runs: int
    files: int  # distinct ones, before it is seen which others share


def preview_erasure(tx: Session, code: str) -> ErasurePreview:
    """What an erasure of this subject would remove; nothing is changed. Raises NotFound."""
    subject = get_subject(tx, code)
    takes = list(tx.scalars(select(Take.id).join(CaptureSession).where(CaptureSession.subject_id == subject.id)))
    jobs = _doomed_jobs(tx, subject, takes)
    left = select(ErasureFile.sha256).join(Erasure).where(Erasure.subject_id == subject.id)
    return ErasurePreview(len(takes), len(jobs), len(files_of(tx, takes, jobs) | set(tx.scalars(left))))


def erase_subject(
    engine: Engine, store: Store, code: str, told: CountProgress = lambda _done, _all: None
) -> ErasureReport:
    """Erase a subject that has no open consent, or go on with an erasure that was interrupted.

    told: called with how many files are dealt with, of how many. Raises ConsentError while a consent or a session is
    open; IdentityError, with nothing changed, unless the store is there and this studio's; StoreError when it goes away
    in between: run the same command again then.
    """
    store_identity.require(engine, store)
    with transaction(engine) as tx:
        erasure = _unfinished(tx, code) or _begin(tx, code)
    return conclude(engine, store, erasure, code, ("subject.erase", "subject"), told)


def conclude(
    engine: Engine, store: Store, erasure: int, code: str, act: tuple[str, str], told: CountProgress
) -> ErasureReport:
    """What an erasure that has begun ends with: its files, the database's own pages, its entry in the audit log.

    code: of whom or what is erased.  act: the entry's action, and what it is about.
    """
    waiting = _remove_files(engine, store, erasure, told)
    with reading(engine) as tx:
        over = tx.get_one(Erasure, erasure).finished_at is not None
    left = "" if waiting or over else pages.purge_free_pages(engine)
    with transaction(engine) as tx:
        row = tx.get_one(Erasure, erasure)
        if not waiting and not left and row.finished_at is None:
            row.finished_at = utc_now()
            detail = {"files": row.files, "bytes": row.bytes, "shared": row.shared}
            audit_log.record(tx, act[0], act[1], code, detail)
        counts = (row.files, row.bytes, row.shared, waiting, row.absent)
    store_identity.note(engine, store)
    trashed = sum(len(batch.files) for batch in Trash(store).batches())
    return ErasureReport(code, *counts, left, trashed)


def unfinished_erasures(tx: Session) -> list[str]:
    """Codes of subjects whose erasure was interrupted; of a take alone, as the command takes it: 'S012 --take …'."""
    query = (
        select(Subject.code, Take.code)
        .join(Erasure, Erasure.subject_id == Subject.id)
        .outerjoin(TakeWithdrawal, TakeWithdrawal.erasure_id == Erasure.id)
        .outerjoin(Take, Take.id == TakeWithdrawal.take_id)
        .where(Erasure.finished_at.is_(None))
    )
    return [f"{code} --take {take}" if take else code for code, take in tx.execute(query.order_by(Erasure.id))]


def _unfinished(tx: Session, code: str) -> int | None:
    subject = get_subject(tx, code)
    query = select(Erasure.id).where(Erasure.subject_id == subject.id)
    if subject.erased_at is None:
        return None
    return tx.scalar(query.order_by(Erasure.finished_at.is_not(None), Erasure.id.desc()).limit(1))


def _begin(tx: Session, code: str) -> int:
    """Journal the files and take the rows away. After this transaction nothing of the subject can be found."""
    subject = get_subject(tx, code)
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())
    _require_gone(tx, subject)
    takes = list(tx.scalars(select(Take.id).join(CaptureSession).where(CaptureSession.subject_id == subject.id)))
    jobs = _doomed_jobs(tx, subject, takes)
    files = files_of(tx, takes, jobs)
    erasure = journal_files(tx, subject.id, files)
    delete_runs(tx, jobs)
    hand_over_runs(tx, takes, Job.subject_id == subject.id)
    _name_new_owners(tx, subject)
    delete_captures(tx, takes)
    _blank(tx, subject)
    detail = {"takes": len(takes), "stage_runs": len(jobs), "files": len(files)}
    audit_log.record(tx, "subject.erase.begin", "subject", code, detail)
    return erasure.id


def _require_gone(tx: Session, subject: Subject) -> None:
    kept = [str(consent.scope) for consent in subject.consents if consent.withdrawn_at is None]
    if kept:
        raise ConsentError(f"Subject {subject.code} still consents to {', '.join(kept)}; withdraw that first")
    for code in unclosed_sessions(tx, subject.id):
        raise ConsentError(f"Session {code} is not closed: mien session close --incomplete, then erase")


def _doomed_jobs(tx: Session, subject: Subject, takes: Collection[int]) -> set[int]:
    """Stage runs of this subject alone, and whatever was made from their outputs, whomever it serves."""
    others = (
        exists()
        .where(JobTake.job_id == Job.id, Take.id == JobTake.take_id, CaptureSession.id == Take.session_id)
        .where(CaptureSession.subject_id != subject.id)
        .correlate(Job)
    ) | _of_others_too(subject)
    doomed = set(tx.scalars(select(Job.id).where(Job.subject_id == subject.id, ~others)))
    for chunk in in_chunks(sorted(takes)):
        served = select(Job.id).join(JobTake, JobTake.job_id == Job.id).where(JobTake.take_id.in_(chunk), ~others)
        doomed |= set(tx.scalars(served))
    return with_descendants(tx, doomed)


def _of_others_too(subject: Subject) -> ColumnElement[bool]:
    """Condition on Job: a run of a subject that is another one's as well, for their photographs are equal."""
    other = exists().where(JobSubject.job_id == Job.id, JobSubject.subject_id != subject.id).correlate(Job)
    return Job.subject_id.is_not(None) & other


def _name_new_owners(tx: Session, subject: Subject) -> None:
    """The runs that were handed over are of the subjects whose takes they serve now."""
    owner = (
        select(CaptureSession.subject_id)
        .join(Take, Take.session_id == CaptureSession.id)
        .where(Take.id == Job.take_id)
        .correlate(Job)
        .scalar_subquery()
    )
    tx.execute(delete(JobSubject).where(JobSubject.subject_id == subject.id))
    other = select(func.min(JobSubject.subject_id)).where(JobSubject.job_id == Job.id).correlate(Job).scalar_subquery()
    tx.execute(update(Job).where(Job.subject_id == subject.id).values(subject_id=func.coalesce(owner, other)))


def _blank(tx: Session, subject: Subject) -> None:
    """What was said of the person, by itself or by an operator in free words."""
    sessions = select(CaptureSession.id).where(CaptureSession.subject_id == subject.id)
    tx.execute(update(SkippedExpression).where(SkippedExpression.session_id.in_(sessions)).values(reason="erased"))
    tx.execute(update(CameraAside).where(CameraAside.session_id.in_(sessions)).values(reason="erased"))
    tx.execute(update(SessionAct).where(SessionAct.session_id.in_(sessions)).values(detail=None))
    tx.execute(delete(Personal).where(Personal.subject_id == subject.id))
    tx.execute(delete(SubjectChange).where(SubjectChange.subject_id == subject.id))
    tx.execute(update(RetentionTerm).where(RetentionTerm.subject_id == subject.id).values(reason="erased"))
    values = {"age": None, "gender": None, "job": None, "erased_at": utc_now()}
    tx.execute(update(Subject).where(Subject.id == subject.id).values(values))


def _remove_files(engine: Engine, store: Store, erasure: int, told: CountProgress) -> int:
    """Remove what is journalled; how many files have to wait for the next run."""
    since = utc_now()
    with reading(engine) as tx:
        pending = list(tx.scalars(select(ErasureFile.sha256).where(ErasureFile.erasure_id == erasure)))
    trash = Trash(store)
    thrown = trash.index() if pending else {}
    waiting = 0
    for number, sha256 in enumerate(pending, start=1):
        with reading(engine) as tx:
            shared = is_referenced(tx, sha256)
        if shared:
            store.recover(sha256)
        removed = None if shared else _removed(engine, store, trash, sha256, thrown.get(sha256, ()), since)
        if shared or removed is not None:
            with transaction(engine) as tx:
                _tick_off(tx, erasure, sha256, removed)
        else:
            waiting += 1
        told(number, len(pending))
    return waiting


def _removed(
    engine: Engine, store: Store, trash: Trash, sha256: str, thrown: Collection[str], since: datetime
) -> int | None:
    """Remove a file wherever it lies: its bytes, 0 when it was nowhere, None when it has to wait.

    That a file is not there counts only where the store is.
    """
    purged = trash.purge(thrown)
    removed = store.remove(sha256, untouched_since=since)
    if removed == 0:
        store_identity.still(engine, store)
        if store.lacks_part(sha256) and not purged:
            return None
    return removed if removed is None else removed + purged


def _tick_off(tx: Session, erasure: int, sha256: str, removed: int | None) -> None:
    journal = delete(ErasureFile).where(ErasureFile.erasure_id == erasure, ErasureFile.sha256 == sha256)
    if changed(tx, journal) == 0:  # another run of the same erasure was here first
        return
    if removed is None:
        counts: dict[str, Any] = {"shared": Erasure.shared + 1}
    elif removed == 0:
        counts = {"absent": Erasure.absent + 1}
    else:
        counts = {"files": Erasure.files + 1, "bytes": Erasure.bytes + removed}
    tx.execute(update(Erasure).where(Erasure.id == erasure).values(counts))
