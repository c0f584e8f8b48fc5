"""One take is withdrawn: it leaves in no later release, its runs stop, and where it was released it is marked.

The take gives up its place (it becomes superseded), so that everything that works on accepted takes passes it by, and a
row of its own keeps it from being chosen again. Its files stay, unless they are to go for good: see erase_take.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, and_, delete, exists, insert, select, update
from sqlalchemy.orm import Session, aliased

from common.progress import CountProgress
from common.take_codes import TakeCode
from db import session_rules as rules
from db import store_identity
from db.audit import audit_log
from db.captures import get_take, lock_take
from db.consents.withdrawals import STOPPED, mark_released, take_withdrawn
from db.engine import changed, transaction, utc_now
from db.erasure import erasures
from db.errors import ConsentError
from db.models import (
    Artefact,
    ArtefactParent,
    ConsentScope,
    Erasure,
    ErasureFile,
    Frame,
    Job,
    JobInput,
    JobState,
    JobTake,
    Subject,
    Take,
    TakeAbsence,
    TakeWithdrawal,
)
from db.store import Store
from db.subjects import get_subject


@dataclass(frozen=True)
class WithdrawnTake:
    """What the withdrawal of a take changed; as db.consents.withdrawals.Withdrawal.

    before: it had been withdrawn already.
    """

    take: str
    stopped: int = 0
    released: tuple[str, ...] = ()
    before: bool = False


def withdraw_take(tx: Session, code: str, take_code: str) -> WithdrawnTake:
    """Withdraw a take of the subject `code`. A take that was withdrawn already stays so.

    Raises NotFound, and ConsentError for a take of somebody else and for one that is still being photographed.
    """
    subject, take = get_subject(tx, code), get_take(tx, take_code)
    if take.session.subject_id != subject.id:
        raise ConsentError(f"{take.code} is no take of {code}: {TakeCode.parse(take.code).subject} asks for that")
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())  # nobody asks for runs meanwhile
    lock_take(tx, take)
    if tx.get(TakeWithdrawal, take.id) is not None:
        return WithdrawnTake(take.code, before=True)
    if take.state in rules.UNDER_WAY:
        raise ConsentError(f"{take.code} is {take.state}: wait until its photographs are in, or it has failed")
    now = utc_now()
    tx.add(TakeWithdrawal(take_id=take.id, withdrawn_at=now))
    if take.state in rules.PUT_BESIDE.allowed:
        take.state = rules.PUT_BESIDE.to
    tx.flush()
    stopped = _stop_work(tx, take)
    released = mark_released(tx, subject, list(ConsentScope), now, [take.id])
    detail = {"at": now.isoformat(), "stopped_runs": stopped, "in_releases": list(released)}
    audit_log.record(tx, "take.withdraw", "take", take.code, detail)
    return WithdrawnTake(take.code, stopped, released)


def erase_take(
    engine: Engine,
    store: Store,
    code: str,
    take_code: str,
    told: CountProgress = lambda _done, _all: None,
) -> erasures.ErasureReport:
    """Remove the files of a take that was withdrawn, and what was made of it, for good; or go on with that.

    Raises ConsentError for a take that was not withdrawn; IdentityError unless the store is there and this studio's;
    StoreError when it goes away in between: run the same command again then.
    """
    store_identity.require(engine, store)
    with transaction(engine) as tx:
        erasure = _begin(tx, get_subject(tx, code), get_take(tx, take_code))
    return erasures.conclude(engine, store, erasure, take_code, ("take.erase", "take"), told)


def _begin(tx: Session, subject: Subject, take: Take) -> int:
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())
    lock_take(tx, take)
    row = tx.get(TakeWithdrawal, take.id)
    if row is None or take.session.subject_id != subject.id:
        raise ConsentError(f"{take.code} is no withdrawn take of {subject.code}: withdraw it, then erase")
    if row.erasure_id is not None:
        return row.erasure_id
    jobs = _doomed_jobs(tx, take)
    files = erasures._files(tx, [take.id], jobs)
    erasure = Erasure(subject_id=subject.id, started_at=utc_now(), files=0, bytes=0, shared=0)
    tx.add(erasure)
    tx.flush()
    if files:
        tx.execute(insert(ErasureFile), [{"erasure_id": erasure.id, "sha256": sha256} for sha256 in sorted(files)])
    erasures._delete_runs(tx, jobs)
    _release_shared_runs(tx, take)
    erasures._delete_captures(tx, [take.id])
    tx.execute(update(Take).where(Take.id == take.id).values(problem=None))
    tx.execute(update(TakeAbsence).where(TakeAbsence.take_id == take.id).values(reason="erased"))
    row.erasure_id = erasure.id
    detail = {"stage_runs": len(jobs), "files": len(files)}
    audit_log.record(tx, "take.erase.begin", "take", take.code, detail)
    return erasure.id


def _others(take: Take) -> ColumnElement[bool]:
    """Condition on Job: it serves another take that stays."""
    served = exists().where(JobTake.job_id == Job.id, JobTake.take_id != take.id)
    return served.where(~take_withdrawn(JobTake.take_id)).correlate(Job)


def _mine(take: Take) -> ColumnElement[bool]:
    served = exists().where(JobTake.job_id == Job.id, JobTake.take_id == take.id).correlate(Job)
    return (Job.take_id == take.id) | served


def _stop_work(tx: Session, take: Take) -> int:
    unfinished = (Job.state != JobState.DONE, _mine(take), ~_others(take))
    values = {"state": JobState.PARKED, "error": STOPPED, "lease_until": None, "not_before": None}
    return changed(tx, update(Job).where(*unfinished).values(values))


def _doomed_jobs(tx: Session, take: Take) -> Collection[int]:
    """Runs that serve this take alone, and all that was made from them: it is made again without it."""
    doomed = set(tx.scalars(select(Job.id).where(_mine(take), ~_others(take))))
    fresh = doomed
    while fresh:
        chunks = list(erasures._chunks(fresh))
        made = {
            job
            for chunk in chunks
            for job in tx.scalars(select(JobInput.job_id).where(JobInput.from_job_id.in_(chunk)))
        }
        fresh = made - doomed
        doomed |= fresh
    return doomed


def _release_shared_runs(tx: Session, take: Take) -> None:
    """What equal photographs of other takes share with this one becomes theirs alone."""
    tx.execute(delete(JobTake).where(JobTake.take_id == take.id))
    mine = aliased(Frame)
    lineage = (
        select(ArtefactParent.id, Frame.id)
        .join(mine, mine.id == ArtefactParent.frame_id)
        .join(Artefact, Artefact.id == ArtefactParent.artefact_id)
        .join(JobTake, JobTake.job_id == Artefact.job_id)
        .join(Frame, and_(Frame.take_id == JobTake.take_id, Frame.sha256 == mine.sha256))
        .where(mine.take_id == take.id)
    )
    for row, frame in tx.execute(lineage).all():
        tx.execute(update(ArtefactParent).where(ArtefactParent.id == row).values(frame_id=frame))
    serves = select(JobTake.take_id).where(JobTake.job_id == Job.id).limit(1).correlate(Job).scalar_subquery()
    tx.execute(update(Job).where(Job.take_id == take.id).values(take_id=serves))
