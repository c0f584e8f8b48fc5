"""Subjects by expressions before a release: how far each is, and what the records know that holds it back.

Whether every file is in the store, and what a registration says of itself, is looked at by `mien release select`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from common.terminal.phrases import listed
from db.consents.scope_consents import consenting_subjects
from db.models import (
    CaptureSession,
    ConsentScope,
    Job,
    JobState,
    JobTake,
    Protocol,
    ProtocolExpression,
    Release,
    ReleaseItem,
    ReleaseState,
    RunReview,
    RunVerdict,
    SessionState,
    SkippedExpression,
    Subject,
    Take,
    TakeState,
    TakeWithdrawal,
)

# What a subject's expression may be, the furthest first, and what is said of those that hold it back.
RELEASED, READY, REDO, FAILED, WORKING, ACCEPTED = "released", "ready", "redo", "failed", "working", "accepted"
UNDECIDED, SKIPPED, WITHDRAWN, MISSING = "undecided", "skipped", "withdrawn", "missing"
HOLDS = {
    REDO: "the verdict is to do it again", FAILED: "a run has failed", WORKING: "not processed yet",
    ACCEPTED: "not processed yet", UNDECIDED: "nobody has accepted a take", WITHDRAWN: "withdrawn",
    MISSING: "no take", SKIPPED: "skipped",
}  # fmt: skip


@dataclass(frozen=True)
class ProtocolColumns:
    """A protocol's expressions: the columns of its subjects."""

    protocol: str  # as in 'facescape 1'
    labels: tuple[str, ...]  # '1_neutral', ...


@dataclass(frozen=True)
class SubjectRow:
    """A subject before a release."""

    code: str
    session: str  # whose expressions are shown: its newest with an accepted take, else its newest
    protocol: str
    cells: tuple[str, ...]  # by expression, one of the words above
    holds: tuple[str, ...]  # what keeps it, or a part of it, here; empty when all of it can leave
    leaves: int  # expressions that can leave now
    pictures: str  # 'yes', 'eyes mosaicked' or 'no'


@dataclass(frozen=True)
class ExpressionCoverage:
    """All subjects with a session."""

    protocols: tuple[ProtocolColumns, ...]
    subjects: tuple[SubjectRow, ...]


@dataclass
class _Facts:
    """What is known of all takes, by their ids."""

    takes: dict[int, list[tuple[int, int, TakeState]]] = field(default_factory=dict)  # session -> (take, position, ..)
    done: dict[int, set[str]] = field(default_factory=dict)  # take -> stages
    failed: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)  # takes that have runs
    redo: set[int] = field(default_factory=set)
    withdrawn: set[int] = field(default_factory=set)
    released: set[int] = field(default_factory=set)
    skipped: dict[int, set[int]] = field(default_factory=dict)  # session -> positions


def expression_coverage(tx: Session, day: date, stages: Collection[str]) -> ExpressionCoverage:
    """stages: those that must be done of a take that leaves."""
    facts = _facts(tx)
    research = consenting_subjects(tx, ConsentScope.RESEARCH_RELEASE, day)
    shown = consenting_subjects(tx, ConsentScope.PUBLICATION, day)
    mosaic = consenting_subjects(tx, ConsentScope.EYES_MOSAICKED, day)
    labels: dict[int, list[tuple[int, str]]] = {}
    for line in tx.scalars(select(ProtocolExpression).order_by(ProtocolExpression.position)):
        labels.setdefault(line.protocol_id, []).append((line.position, line.label))
    names = {
        number: f"{name} {version}"
        for number, name, version in tx.execute(select(Protocol.id, Protocol.name, Protocol.version))
    }
    rows = []
    used: dict[int, None] = {}
    for subject, code, sessions in _sessions(tx):
        session, name, protocol, state = _chosen(sessions, facts)
        used.setdefault(protocol)
        named = labels.get(protocol, [])
        cells = _cells(facts, session, [position for position, _ in named], stages)
        holds = _holds(cells, named, subject in research, state)
        leaves = sum(cell in (READY, RELEASED) for cell in cells)
        pictures = "no" if subject not in shown else "eyes mosaicked" if subject in mosaic else "yes"
        leaves = leaves if subject in research and state is SessionState.CLOSED else 0
        rows.append(SubjectRow(code, name, names[protocol], cells, holds, leaves, pictures))
    columns = tuple(ProtocolColumns(names[p], tuple(label for _, label in labels.get(p, []))) for p in used)
    return ExpressionCoverage(columns, tuple(rows))


_SessionLine = tuple[int, str, int, SessionState]  # id, code, protocol, state


def _sessions(tx: Session) -> list[tuple[int, str, list[_SessionLine]]]:
    """(subject, its code, its sessions from the oldest) without the erased."""
    query = (
        select(
            Subject.id, Subject.code, CaptureSession.id, CaptureSession.code, CaptureSession.protocol_id,
            CaptureSession.state,
        )
        .join(CaptureSession, CaptureSession.subject_id == Subject.id)
        .where(Subject.erased_at.is_(None))
        .order_by(func.length(Subject.code), Subject.code, CaptureSession.id)
    )  # fmt: skip
    found: dict[int, tuple[int, str, list[_SessionLine]]] = {}
    for subject, code, session, named, protocol, state in tx.execute(query):
        found.setdefault(subject, (subject, code, []))[2].append((session, named, protocol, state))
    return list(found.values())


def _chosen(sessions: Sequence[_SessionLine], facts: _Facts) -> _SessionLine:
    """The session whose takes would leave: the newest that has an accepted one, else the newest."""
    with_takes = [line for line in sessions if any(s is TakeState.ACCEPTED for _, _, s in facts.takes.get(line[0], []))]
    return (with_takes or list(sessions))[-1]


def _facts(tx: Session) -> _Facts:
    facts = _Facts()
    query = select(Take.session_id, Take.id, ProtocolExpression.position, Take.state).join(Take.expression)
    for session, take, position, state in tx.execute(query):
        facts.takes.setdefault(session, []).append((take, position, state))
    newest = select(func.max(JobTake.job_id)).join(Job, Job.id == JobTake.job_id).group_by(JobTake.take_id, Job.stage)
    runs = select(JobTake.take_id, Job.stage, Job.state).join(Job, Job.id == JobTake.job_id)
    for take, stage, run in tx.execute(runs.where(Job.id.in_(newest))):
        facts.asked.add(take)
        if run is JobState.DONE:
            facts.done.setdefault(take, set()).add(stage)
        elif run in (JobState.FAILED, JobState.PARKED):
            facts.failed.add(take)
    judged = select(JobTake.take_id).join(RunReview, RunReview.job_id == JobTake.job_id)
    facts.redo = set(tx.scalars(judged.where(RunReview.verdict == RunVerdict.REDO, JobTake.job_id.in_(newest))))
    facts.withdrawn = set(tx.scalars(select(TakeWithdrawal.take_id)))
    items = select(ReleaseItem.take_id).join(Release, Release.id == ReleaseItem.release_id)
    left = items.where(Release.state == ReleaseState.COMPLETE, ReleaseItem.withdrawn_at.is_(None))
    facts.released = set(tx.scalars(left))
    skips = select(SkippedExpression.session_id, ProtocolExpression.position).join(SkippedExpression.expression)
    for session, position in tx.execute(skips):
        facts.skipped.setdefault(session, set()).add(position)
    return facts


def _cells(facts: _Facts, session: int, positions: Sequence[int], stages: Collection[str]) -> tuple[str, ...]:
    by_position: dict[int, list[tuple[int, TakeState]]] = {}
    for take, position, state in facts.takes.get(session, []):
        by_position.setdefault(position, []).append((take, state))
    skipped = facts.skipped.get(session, set())
    return tuple(_cell(facts, by_position.get(p, []), stages, skipped=p in skipped) for p in positions)


def _cell(facts: _Facts, takes: Sequence[tuple[int, TakeState]], stages: Collection[str], *, skipped: bool) -> str:
    accepted = next((take for take, state in takes if state is TakeState.ACCEPTED), None)
    if accepted is None:
        if any(state is TakeState.CAPTURED for _, state in takes):
            return UNDECIDED
        return SKIPPED if skipped else MISSING
    if accepted in facts.withdrawn:
        return WITHDRAWN
    if accepted in facts.failed:
        return FAILED
    if not set(stages) <= facts.done.get(accepted, set()):
        return WORKING if accepted in facts.asked else ACCEPTED
    if accepted in facts.redo:
        return REDO
    return RELEASED if accepted in facts.released else READY


def _holds(
    cells: Sequence[str], named: Sequence[tuple[int, str]], consents: bool, state: SessionState
) -> tuple[str, ...]:
    said = [] if consents else ["no consent to a research release"]
    if state is not SessionState.CLOSED:
        said.append(f"its session is {state.value}")
    words: dict[str, list[str]] = {}
    for cell, (_, label) in zip(cells, named, strict=True):
        if cell in HOLDS:
            words.setdefault(HOLDS[cell], []).append(label)
    for text, labels in words.items():
        said.append(f"{text}: {'every expression' if len(labels) == len(cells) else listed(labels, 4)}")
    return tuple(said)


def holds_of(rows: Sequence[SubjectRow]) -> Mapping[str, int]:
    """How many subjects each kind of hold concerns."""
    return Counter(hold.partition(":")[0] for row in rows for hold in row.holds)
