"""A subject's photographs and artefacts go for good: first the rows, in one transaction, then file after file.

What a row of another subject names as well is kept. The files that still have to go are journalled, so an erasure that
was interrupted goes on where it stopped. The subject's code, its sessions and takes, its consents and what was released
of it stay: they say that somebody was here and withdrew, and nothing of who.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, and_, delete, exists, insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from common.progress import CountProgress
from db import store_identity
from db.audit import audit_log
from db.engine import changed, reading, transaction, utc_now
from db.erasure import secure_delete as pages
from db.erasure.store_trash import Trash
from db.errors import ConsentError
from db.models import (
    Artefact,
    ArtefactParent,
    CameraAside,
    CaptureSession,
    Erasure,
    ErasureFile,
    Frame,
    FrameMeasure,
    Job,
    JobInput,
    JobTake,
    Personal,
    RawFile,
    RetentionTerm,
    RunReview,
    SessionAct,
    SessionState,
    SkippedExpression,
    Subject,
    SubjectChange,
    Take,
    TakeAbsence,
    TakeCheck,
    TakeReview,
    TakeWithdrawal,
)
from db.store import Store
from db.store_parts.store_references import is_referenced
from db.subjects import get_subject

_CHUNK = 500


@dataclass(frozen=True)
class ErasureReport:
    """How an erasure ended. files, bytes: removed; shared: files kept because rows of others name them; absent: files
    that were not there, in the right store; waiting: files that were put again while it ran, or whose part of the store
    is away; pages: why the database's own pages still hold traces. With one of the last two it is not over: the same
    command goes on. trashed: files of nobody that lie in the trash, some of which may have been the subject's."""

    code: str
    files: int
    bytes: int
    shared: int
    waiting: int
    absent: int = 0
    pages: str = ""
    trashed: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to do."""
        return not self.waiting and not self.pages


@dataclass(frozen=True)
class ErasurePreview:
    """What an erasure would remove. files: distinct ones, before it is seen which others share."""

    takes: int
    stage_runs: int
    files: int


def preview_erasure(tx: Session, code: str) -> ErasurePreview:
    """What an erasure of this subject would remove; nothing is changed. Raises NotFound."""
    subject = get_subject(tx, code)
    takes = list(tx.scalars(select(Take.id).join(CaptureSession).where(CaptureSession.subject_id == subject.id)))
    jobs = _doomed_jobs(tx, subject, takes)
    left = select(ErasureFile.sha256).join(Erasure).where(Erasure.subject_id == subject.id)
    return ErasurePreview(len(takes), len(jobs), len(_files(tx, takes, jobs) | set(tx.scalars(left))))


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
    files = _files(tx, takes, jobs)
    erasure = Erasure(subject_id=subject.id, started_at=utc_now(), files=0, bytes=0, shared=0)
    tx.add(erasure)
    tx.flush()
    if files:
        tx.execute(insert(ErasureFile), [{"erasure_id": erasure.id, "sha256": sha256} for sha256 in sorted(files)])
    _delete_runs(tx, jobs)
    _release_shared_runs(tx, subject, takes)
    _delete_captures(tx, takes)
    _blank(tx, subject, takes)
    detail = {"takes": len(takes), "stage_runs": len(jobs), "files": len(files)}
    audit_log.record(tx, "subject.erase.begin", "subject", code, detail)
    return erasure.id


def _require_gone(tx: Session, subject: Subject) -> None:
    kept = [str(consent.scope) for consent in subject.consents if consent.withdrawn_at is None]
    if kept:
        raise ConsentError(f"Subject {subject.code} still consents to {', '.join(kept)}; withdraw that first")
    sitting = select(CaptureSession.code).where(
        CaptureSession.subject_id == subject.id, CaptureSession.state != SessionState.CLOSED
    )
    code = tx.scalar(sitting)
    if code is not None:
        raise ConsentError(f"Session {code} is not closed: mien session close --incomplete, then erase")


def _doomed_jobs(tx: Session, subject: Subject, takes: Collection[int]) -> set[int]:
    """Stage runs of this subject alone, and whatever was made from their outputs, whomever it serves."""
    others = (
        exists()
        .where(JobTake.job_id == Job.id, Take.id == JobTake.take_id, CaptureSession.id == Take.session_id)
        .where(CaptureSession.subject_id != subject.id)
        .correlate(Job)
    )
    doomed = set(tx.scalars(select(Job.id).where(Job.subject_id == subject.id, ~others)))
    for chunk in _chunks(takes):
        served = select(Job.id).join(JobTake, JobTake.job_id == Job.id).where(JobTake.take_id.in_(chunk), ~others)
        doomed |= set(tx.scalars(served))
    fresh = doomed
    while fresh:
        made_from = {
            job
            for chunk in _chunks(fresh)
            for job in tx.scalars(select(JobInput.job_id).where(JobInput.from_job_id.in_(chunk)))
        }
        fresh = made_from - doomed
        doomed |= fresh
    return doomed


def _files(tx: Session, takes: Collection[int], jobs: Collection[int]) -> set[str]:
    found: set[str] = set()
    for chunk in _chunks(takes):
        found |= set(tx.scalars(select(Frame.sha256).where(Frame.take_id.in_(chunk))))
        found |= set(tx.scalars(select(RawFile.sha256).where(RawFile.take_id.in_(chunk))))
        sheets = select(TakeReview.sheet).where(TakeReview.take_id.in_(chunk), TakeReview.sheet.is_not(None))
        found |= {sheet for sheet in tx.scalars(sheets) if sheet}
    for chunk in _chunks(jobs):
        found |= set(tx.scalars(select(Artefact.sha256).where(Artefact.job_id.in_(chunk))))
        pictures = select(RunReview.picture).where(RunReview.job_id.in_(chunk), RunReview.picture.is_not(None))
        found |= {picture for picture in tx.scalars(pictures) if picture}
    return found


def _delete_runs(tx: Session, jobs: Collection[int]) -> None:
    for chunk in _chunks(jobs):
        artefacts = select(Artefact.id).where(Artefact.job_id.in_(chunk))
        lineage = or_(ArtefactParent.artefact_id.in_(artefacts), ArtefactParent.parent_id.in_(artefacts))
        tx.execute(delete(ArtefactParent).where(lineage))
    for chunk in _chunks(jobs):
        tx.execute(delete(RunReview).where(RunReview.job_id.in_(chunk)))
        tx.execute(delete(Artefact).where(Artefact.job_id.in_(chunk)))
        tx.execute(delete(JobInput).where(JobInput.job_id.in_(chunk)))
        tx.execute(delete(JobTake).where(JobTake.job_id.in_(chunk)))
    for chunk in _chunks(jobs):
        tx.execute(delete(Job).where(Job.id.in_(chunk)))


def _release_shared_runs(tx: Session, subject: Subject, takes: Collection[int]) -> None:
    """What other subjects' takes share with these (equal photographs) becomes theirs alone."""
    for chunk in _chunks(takes):
        tx.execute(delete(JobTake).where(JobTake.take_id.in_(chunk)))
    serves = select(JobTake.take_id).where(JobTake.job_id == Job.id).limit(1).correlate(Job).scalar_subquery()
    tx.execute(update(Job).where(Job.subject_id == subject.id).values(take_id=serves))
    owner = (
        select(CaptureSession.subject_id)
        .join(Take, Take.session_id == CaptureSession.id)
        .where(Take.id == Job.take_id)
        .correlate(Job)
        .scalar_subquery()
    )
    tx.execute(update(Job).where(Job.subject_id == subject.id).values(subject_id=owner))
    mine = aliased(Frame)
    for chunk in _chunks(takes):
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


def _delete_captures(tx: Session, takes: Collection[int]) -> None:
    for chunk in _chunks(takes):
        frames = select(Frame.id).where(Frame.take_id.in_(chunk))
        tx.execute(delete(ArtefactParent).where(ArtefactParent.frame_id.in_(frames)))
        tx.execute(delete(FrameMeasure).where(FrameMeasure.frame_id.in_(frames)))
        for table in (TakeCheck, TakeReview, RawFile, Frame):
            tx.execute(delete(table).where(table.take_id.in_(chunk)))


def _blank(tx: Session, subject: Subject, takes: Collection[int]) -> None:
    """What was said of the person, by itself or by an operator in free words."""
    sessions = select(CaptureSession.id).where(CaptureSession.subject_id == subject.id)
    tx.execute(update(SkippedExpression).where(SkippedExpression.session_id.in_(sessions)).values(reason="erased"))
    tx.execute(update(CameraAside).where(CameraAside.session_id.in_(sessions)).values(reason="erased"))
    tx.execute(update(SessionAct).where(SessionAct.session_id.in_(sessions)).values(detail=None))
    for chunk in _chunks(takes):
        tx.execute(update(Take).where(Take.id.in_(chunk)).values(problem=None))
        tx.execute(update(TakeAbsence).where(TakeAbsence.take_id.in_(chunk)).values(reason="erased"))
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


def _chunks(ids: Collection[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]
