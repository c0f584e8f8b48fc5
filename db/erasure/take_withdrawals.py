"""One take is withdrawn: it leaves in no later release, its runs stop, and where it was released it is marked.

The take gives up its place (it becomes superseded), so that everything that works on accepted takes passes it by, and a
row of its own keeps it from being chosen again. Its files stay, unless they are to go for good: see erase_take.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, exists, select, update
from sqlalchemy.orm import Session

from common.progress import CountProgress
from common.take_codes import TakeCode
from db import session_rules as rules
from db import store_identity
from db.audit import audit_log
from db.captures import get_take, lock_take
from db.consents.withdrawals import PARKED, mark_models, mark_released, mark_weights, take_withdrawn
from db.engine import changed, in_chunks, transaction, utc_now
from db.erasure.erased_rows import delete_captures, files_of, journal_files
from db.erasure.erasures import ErasureReport, conclude
from db.errors import ConsentError
from db.models import (
    ConsentScope,
    Job,
    JobState,
    JobTake,
    Leaving,
    Subject,
    Take,
    TakeWithdrawal,
)
from db.stage_runs.run_removal import delete_runs, hand_over_runs, with_descendants
from db.store import Store
from db.subjects import get_subject


@dataclass(frozen=True)
class WithdrawnTake:
    """What the withdrawal of a take changed; as db.consents.withdrawals.Withdrawal."""

    take: str
    stopped: int = 0  # stage runs that will not be made
    released: tuple[str, ...] = ()  # releases that have the take, as in 'faces 2'
    models: tuple[str, ...] = ()  # versions of face models that were made of it, likewise
    weights: tuple[str, ...] = ()  # learned weights that were trained on it, as in 'regressor 3f2a90c1b7de'
    before: bool = False  # it had been withdrawn already


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
    further = runs_of_take(tx, take)
    stopped = _stop_work(tx, take, further)
    released = mark_released(tx, subject, list(ConsentScope), now, [take.id])
    models = mark_models(tx, subject, Leaving.TAKE, now, further)
    weights = mark_weights(tx, subject, Leaving.TAKE, now, takes=[take.id], jobs=further)
    detail = {"at": now.isoformat(), "stopped_runs": stopped, "in_releases": list(released)}
    detail |= {"in_models": list(models)} if models else {}
    detail |= {"in_weights": list(weights)} if weights else {}
    audit_log.record(tx, "take.withdraw", "take", take.code, detail)
    return WithdrawnTake(take.code, stopped, released, models, weights)


def erase_take(
    engine: Engine,
    store: Store,
    code: str,
    take_code: str,
    told: CountProgress = lambda _done, _all: None,
) -> ErasureReport:
    """Remove the files of a take that was withdrawn, and what was made of it, for good; or go on with that.

    Raises ConsentError for a take that was not withdrawn; IdentityError unless the store is there and this studio's;
    StoreError when it goes away in between: run the same command again then.
    """
    store_identity.require(engine, store)
    with transaction(engine) as tx:
        erasure = _begin(tx, get_subject(tx, code), get_take(tx, take_code))
    return conclude(engine, store, erasure, take_code, ("take.erase", "take"), told)


def _begin(tx: Session, subject: Subject, take: Take) -> int:
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())
    lock_take(tx, take)
    row = tx.get(TakeWithdrawal, take.id)
    if row is None or take.session.subject_id != subject.id:
        raise ConsentError(f"{take.code} is no withdrawn take of {subject.code}: withdraw it, then erase")
    if row.erasure_id is not None:
        return row.erasure_id
    jobs = runs_of_take(tx, take)  # what others need is made again without it
    files = files_of(tx, [take.id], jobs)
    erasure = journal_files(tx, subject.id, files)
    delete_runs(tx, jobs)
    hand_over_runs(tx, [take.id], Job.take_id == take.id)
    delete_captures(tx, [take.id])
    row.erasure_id = erasure.id
    detail = {"stage_runs": len(jobs), "files": len(files)}
    audit_log.record(tx, "take.erase.begin", "take", take.code, detail)
    return erasure.id


def runs_of_take(tx: Session, take: Take) -> set[int]:
    """Ids of the runs that serve this take alone, and of all that were made from them: rigs, models."""
    return with_descendants(tx, set(tx.scalars(select(Job.id).where(_mine(take), ~_others(take)))))


def _others(take: Take) -> ColumnElement[bool]:
    """Condition on Job: it serves another take that stays."""
    served = exists().where(JobTake.job_id == Job.id, JobTake.take_id != take.id)
    return served.where(~take_withdrawn(JobTake.take_id)).correlate(Job)


def _mine(take: Take) -> ColumnElement[bool]:
    served = exists().where(JobTake.job_id == Job.id, JobTake.take_id == take.id).correlate(Job)
    return (Job.take_id == take.id) | served


def _stop_work(tx: Session, take: Take, further: Collection[int]) -> int:
    """Park what is not made for this take alone, and the runs of subjects and studies that would read it."""
    unfinished = Job.state != JobState.DONE
    stopped = changed(tx, update(Job).where(unfinished, _mine(take), ~_others(take)).values(PARKED))
    for chunk in in_chunks(sorted(further)):
        over_takes = (unfinished, Job.take_id.is_(None), Job.id.in_(chunk), Job.state != JobState.PARKED)
        stopped += changed(tx, update(Job).where(*over_takes).values(PARKED))
    return stopped
