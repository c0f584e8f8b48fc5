"""All rows that are kept of one person, as plain values: what it may ask to see, and to carry elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, exists, inspect, or_, select
from sqlalchemy.orm import Session

from common.json_values import map_leaves
from db.engine import in_chunks
from db.models import (
    Artefact,
    AuditEvent,
    Base,
    Camera,
    CaptureSession,
    Consent,
    Erasure,
    FaceModel,
    FaceModelMember,
    Frame,
    FrameMeasure,
    Job,
    JobSubject,
    JobTake,
    Learned,
    LearnedSubject,
    ProtocolExpression,
    RawFile,
    Release,
    ReleaseItem,
    ReleaseState,
    RetentionTerm,
    RunReview,
    SkippedExpression,
    Subject,
    SubjectChange,
    Take,
    TakeAbsence,
    TakeCheck,
    TakeReview,
    TakeWithdrawal,
)
from db.reports.study_overview import subject_history

# Who holds a release, where the records know it: name, what they agreed to, since when.
Holders = Callable[[Session, Sequence[str]], list[Mapping[str, Any]]]

# These refer to a person's rows and say nothing of the person: wiring between runs, what a camera was set aside for,
# the hashes of files that are going. What is personal is sealed, and handed out from its own table.
NOT_OF_A_PERSON = frozenset(
    {"job_input", "job_take", "job_subject", "artefact_parent", "camera_aside", "erasure_file", "personal"}
)


@dataclass(frozen=True)
class KeptFile:
    """A file of the store that is kept of somebody."""

    name: str  # its path in an archive
    sha256: str
    bytes: int | None


@dataclass(frozen=True)
class SubjectRecords:
    """What is kept of one person."""

    code: str
    tables: Mapping[str, list[dict[str, Any]]]  # rows by table's name
    files: tuple[KeptFile, ...]
    left_out: int  # runs with other people's photographs, and models with other people


def subject_records(tx: Session, subject: Subject, holders: Holders | None = None) -> SubjectRecords:
    """Everything of one person, in a moderate number of statements; the size of its own rows in memory.

    holders: says who holds releases, where that is known. Operators' names are left out of the audit entries.
    """
    tables = {model.__tablename__: _rows(tx, model, which) for model, which in _tables(subject).items()}
    tables |= _further(tx, tables)
    names = {f"{r['name']} {r['version']}" for r in _releases(tx, subject)}
    tables["release"] = _releases(tx, subject)
    tables["face_model"] = _models(tx, subject)
    tables["learned_weights"] = _weights(tx, subject)
    tables["expression"] = _expressions(tx, {row["expression_id"] for row in tables["take"]})
    tables["camera"] = _cameras(tx, {row["camera_id"] for row in (*tables["frame"], *tables["raw_file"])})
    tables["release_holder"] = [dict(row) for row in holders(tx, sorted(names))] if holders else []
    tables["audit_event"] = [
        {"at": e.at.isoformat(), "action": e.action, "about": e.about_id, "detail": map_leaves(e.detail, _as_json)}
        for e in _events(tx, subject)
    ]
    left_out = len(tx.scalars(select(Job.id).where(_served(subject), _others(subject))).all())
    return SubjectRecords(subject.code, tables, tuple(_files(tables)), left_out)


def _tables(subject: Subject) -> dict[type[Base], ColumnElement[bool]]:
    sessions = select(CaptureSession.id).where(CaptureSession.subject_id == subject.id)
    takes = select(Take.id).where(Take.session_id.in_(sessions))
    frames = select(Frame.id).where(Frame.take_id.in_(takes))
    runs = _served(subject) & ~_others(subject)
    jobs = select(Job.id).where(runs)
    return {
        Subject: Subject.id == subject.id,
        SubjectChange: SubjectChange.subject_id == subject.id,
        Consent: Consent.subject_id == subject.id,
        RetentionTerm: RetentionTerm.subject_id == subject.id,
        Erasure: Erasure.subject_id == subject.id,
        CaptureSession: CaptureSession.subject_id == subject.id,
        SkippedExpression: SkippedExpression.session_id.in_(sessions),
        Take: Take.session_id.in_(sessions),
        TakeWithdrawal: TakeWithdrawal.take_id.in_(takes),
        TakeAbsence: TakeAbsence.take_id.in_(takes),
        TakeReview: TakeReview.take_id.in_(takes),
        TakeCheck: TakeCheck.take_id.in_(takes),
        Frame: Frame.take_id.in_(takes),
        FrameMeasure: FrameMeasure.frame_id.in_(frames),
        RawFile: RawFile.take_id.in_(takes),
        Job: runs,
        RunReview: RunReview.job_id.in_(jobs),
        Artefact: Artefact.job_id.in_(jobs),
        ReleaseItem: ReleaseItem.subject_id == subject.id,
    }


def _served(subject: Subject) -> ColumnElement[bool]:
    """Condition on Job: it was made for this person."""
    mine = exists().where(
        JobTake.job_id == Job.id, Take.id == JobTake.take_id, CaptureSession.id == Take.session_id,
        CaptureSession.subject_id == subject.id,
    )  # fmt: skip
    of = exists().where(JobSubject.job_id == Job.id, JobSubject.subject_id == subject.id)
    return or_(Job.subject_id == subject.id, mine.correlate(Job), of.correlate(Job))


def _others(subject: Subject) -> ColumnElement[bool]:
    """Condition on Job: it was made for somebody else as well."""
    theirs = exists().where(
        JobTake.job_id == Job.id, Take.id == JobTake.take_id, CaptureSession.id == Take.session_id,
        CaptureSession.subject_id != subject.id,
    )  # fmt: skip
    of = exists().where(JobSubject.job_id == Job.id, JobSubject.subject_id != subject.id)
    return or_(Job.subject_id != subject.id, theirs.correlate(Job), of.correlate(Job))


def _rows(tx: Session, model: type[Base], which: ColumnElement[bool]) -> list[dict[str, Any]]:
    table = model.__table__
    query = select(table).where(which).order_by(*inspect(model).primary_key)
    return [{name: map_leaves(value, _as_json) for name, value in row.items()} for row in tx.execute(query).mappings()]


def _further(tx: Session, tables: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of other tables that refer to these: one that is added to the schema is handed out without being named."""
    known = dict(tables)
    for table in Base.metadata.sorted_tables:
        if table.name in known or table.name in NOT_OF_A_PERSON:
            continue
        keys = [key for key in table.foreign_keys if key.column.table.name in known]
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for key in keys:
            ids = [row[key.column.name] for row in known[key.column.table.name]]
            for chunk in in_chunks(ids):
                query = select(table).where(key.parent.in_(chunk))
                for row in tx.execute(query).mappings():
                    primary = tuple(row[column.name] for column in table.primary_key)
                    found[primary] = {name: map_leaves(value, _as_json) for name, value in row.items()}
        if keys:
            known[table.name] = [found[primary] for primary in sorted(found, key=str)]
    return {name: rows for name, rows in known.items() if name not in tables}


def _expressions(tx: Session, ids: set[int]) -> list[dict[str, Any]]:
    query = select(ProtocolExpression).where(ProtocolExpression.id.in_(sorted(ids))).order_by(ProtocolExpression.id)
    return [{"id": e.id, "position": e.position, "name": e.name} for e in tx.scalars(query)]


def _cameras(tx: Session, ids: set[int]) -> list[dict[str, Any]]:
    query = select(Camera).where(Camera.id.in_(sorted(ids))).order_by(Camera.id)
    return [{"id": c.id, "view": c.view_index, "name": c.name} for c in tx.scalars(query)]


def _releases(tx: Session, subject: Subject) -> list[dict[str, Any]]:
    inside = select(ReleaseItem.release_id).where(ReleaseItem.subject_id == subject.id)
    query = select(Release).where(Release.id.in_(inside), Release.state == ReleaseState.COMPLETE).order_by(Release.id)
    return [
        {"id": r.id, "name": r.name, "version": r.version, "finished_at": _as_json(r.finished_at)}
        for r in tx.scalars(query)
    ]


def _models(tx: Session, subject: Subject) -> list[dict[str, Any]]:
    inside = select(FaceModelMember.model_id).where(FaceModelMember.subject_id == subject.id)
    query = select(FaceModel).where(FaceModel.id.in_(inside)).order_by(FaceModel.id)
    return [
        {"id": m.id, "name": m.name, "version": m.version, "created_at": _as_json(m.created_at),
         "marked_at": _as_json(m.marked_at)}
        for m in tx.scalars(query)
    ]  # fmt: skip


def _weights(tx: Session, subject: Subject) -> list[dict[str, Any]]:
    inside = select(LearnedSubject.learned_id).where(LearnedSubject.subject_id == subject.id)
    query = select(Learned).where(Learned.id.in_(inside)).order_by(Learned.id)
    return [
        {"id": w.id, "kind": w.kind, "sha256": w.sha256, "created_at": _as_json(w.created_at),
         "marked_at": _as_json(w.marked_at)}
        for w in tx.scalars(query)
    ]  # fmt: skip


def _events(tx: Session, subject: Subject) -> Sequence[AuditEvent]:
    return subject_history(tx, subject).events


def _files(tables: Mapping[str, list[dict[str, Any]]]) -> list[KeptFile]:
    takes = {row["id"]: row["code"] for row in tables["take"]}
    cameras = {row["id"]: f"{row['view']:02d}-{_file_name(row['name'])}" for row in tables["camera"]}
    jobs = {row["id"]: row for row in tables["job"]}
    found = [
        KeptFile(f"photographs/{takes[r['take_id']]}/{cameras[r['camera_id']]}.jpg", r["sha256"], r["bytes"])
        for r in tables["frame"]
    ]
    found += [
        KeptFile(
            f"raw/{takes[r['take_id']]}/{cameras[r['camera_id']]}.{_file_name(r['format'])}", r["sha256"], r["bytes"]
        )
        for r in tables["raw_file"]
    ]
    found += [
        KeptFile(f"contact-sheets/{takes[r['take_id']]}", r["sheet"], None) for r in tables["take_review"] if r["sheet"]
    ]
    for row in tables["artefact"]:
        job = jobs[row["job_id"]]
        where = f"made/{takes.get(job['take_id'], 'person')}/{_file_name(job['stage'])}-{job['id']}"
        ending = _ENDINGS.get(row["media"], "bin")
        found.append(KeptFile(f"{where}-{_file_name(row['output'])}.{ending}", row["sha256"], row["bytes"]))
    for row in tables["run_review"]:
        if row["picture"]:
            job = jobs[row["job_id"]]
            where = f"made/{takes.get(job['take_id'], 'person')}/{_file_name(job['stage'])}-{job['id']}"
            found.append(KeptFile(f"{where}-picture", row["picture"], None))
    return found


_ENDINGS = {
    "application/json": "json", "image/aces": "exr", "application/octet-stream": "bin", "application/zip": "zip",
    "image/jpeg": "jpg",
    "image/png": "png", "image/x-exr": "exr", "image/webp": "webp", "model/obj": "obj", "model/ply": "ply",
    "text/plain": "txt", "application/x-npz": "npz",
}  # fmt: skip


def _file_name(text: object) -> str:
    """A name of the records as a part of a path: nothing in it leads elsewhere."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in str(text))[:60] or "_"


def _as_json(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Enum) else value
