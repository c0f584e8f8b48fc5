"""The rows of a whole study, loaded in bulk: 897 subjects, 20 expressions, 68 cameras, about 150,000 stage runs.

Rows have the shapes that the studio and the farm leave: failed and superseded attempts, runs of older versions, lineage
from each scan to its photographs, reviews, an audit log whose chain holds. Hashes are random; there is no store behind.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from common.take_codes import SessionCode, SubjectCode, TakeCode
from db.audit import audit_log
from db.engine import open_database, transaction
from db.migrations import upgrade
from db.models import Base, CameraTier
from db.protocols import FACESCAPE, install_protocol
from db.rigs.rig_records import CameraPlace, add_calibration, ensure_rig

STAGES = ("reconstruct", "landmarks", "register", "refine", "texture", "bake", "preview", "check")
READS = {"landmarks": 0, "register": 0, "refine": 2, "texture": 2, "bake": 2, "preview": 5, "check": 5}
OUTPUTS = {"reconstruct": ("scan", "cameras", "quality"), "bake": ("displacement",)}
BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
EXIF = json.dumps({"make": "Canon", "model": "EOS 5DS", "iso": 100, "f": 11.0, "exposure_s": 0.005, "focal_mm": 85.0})


@dataclass(frozen=True)
class Size:
    """How large the study is; `runs_per_take` is len(STAGES), plus a quarter of older previews and one a subject."""

    subjects: int = 897
    cameras: int = 68


class Study:
    """Makes the rows, table by table, in an order that foreign keys allow. Equal sizes give equal rows."""

    def __init__(self, size: Size, cameras: Sequence[int], expressions: Sequence[int], sqlite: bool) -> None:
        self.size, self.cameras, self.expressions, self._sqlite = size, cameras, expressions, sqlite
        self._random = random.Random(1)
        self._takes = list(self._make_takes())
        self._jobs = list(self._make_jobs())

    def tables(self) -> Iterator[tuple[str, Sequence[str], Iterable[tuple[Any, ...]]]]:
        """(table, columns, rows)"""
        yield "subject", ("id", "code", "age", "gender", "job", "created_at"), self._subjects()
        columns = ("id", "subject_id", "scope", "document_sha256", "form_version", "given_on", "recorded_at")
        yield "consent", (*columns, "withdrawn_at"), self._consents()
        columns = ("id", "code", "subject_id", "protocol_id", "rig_id", "calibration_id", "state", "profile")
        yield "session", (*columns, "opened_at", "closed_at"), self._sessions()
        columns = ("id", "code", "session_id", "expression_id", "attempt", "state", "planned_at", "fired_at")
        measured = ("command_skew_ms", "clock_uncertainty_ms", "exposure_skew_ms", "exposure_source", "problem")
        yield "take", (*columns, *measured, "profile", "calibration_id"), self._take_rows()
        columns = ("id", "take_id", "camera_id", "sha256", "bytes", "width", "height", "exposed_at_ns")
        clocks = ("command_error_ms", "clock_uncertainty_ms", "clock_source", "clock_offset_ns", "clock_drift_ppb")
        yield "frame", (*columns, *clocks, "name", "exif"), self._frames()
        yield "take_review", ("take_id", "reviewed_at", "seconds", "sheet", "scores"), self._reviews()
        columns = ("id", "key", "stage", "version", "params", "subject_id", "take_id", "priority", "state", "worker")
        yield "job", (*columns, "attempts", "error", "created_at", "started_at", "finished_at"), self._job_rows()
        yield "job_take", ("job_id", "take_id"), ((job.id, job.take) for job in self._jobs)
        yield "job_input", ("id", "job_id", "name", "sha256", "from_job_id", "from_output"), self._inputs()
        yield "artefact", ("id", "job_id", "output", "sha256", "bytes", "media", "made_at"), self._artefacts()
        yield "artefact_parent", ("id", "artefact_id", "parent_id", "frame_id"), self._lineage()
        yield "run_review", ("job_id", "verdict", "reasons", "figures", "picture", "reviewed_at"), self._verdicts()
        columns = ("id", "name", "version", "state", "schema_version", "consent_day", "criteria", "manifest_sha256")
        yield "release", (*columns, "started_at", "finished_at"), self._releases()
        columns = ("id", "release_id", "subject_id", "take_id", "photographs", "publishable", "withdrawn_at")
        yield "release_item", columns, self._items()
        columns = ("id", "at", "actor", "action", "about_kind", "about_id", "detail", "previous", "sha256")
        yield "audit_event", columns, self._audit()

    # --- what happened ---

    def _make_takes(self) -> Iterator["_Take"]:
        number = 0
        for subject in range(1, self.size.subjects + 1):
            for position in range(1, len(self.expressions) + 1):
                draw = self._random.random()
                attempts = [("failed", 60)] if draw < 0.03 else [("superseded", 68)] if draw < 0.04 else []
                # The newest subject is in the chair, and a few expressions were never got.
                lost = (subject == self.size.subjects and position > 12) or draw > 0.9985
                last = [("failed", 66)] if lost else [("accepted", 68)]
                for attempt, (state, frames) in enumerate([*attempts, *last], start=1):
                    number += 1
                    yield _Take(number, subject, position, attempt, state, min(frames, self.size.cameras))

    def _make_jobs(self) -> Iterator["_Job"]:
        number = 0
        for take in self._takes:
            if take.state == "failed":
                continue
            first = number + 1
            for place, stage in enumerate(STAGES):
                number += 1
                yield _Job(number, stage, 2, take.subject, take.id, self._state(), first + READS.get(stage, place))
            if take.id % 4 == 0:
                number += 1
                yield _Job(number, "preview", 1, take.subject, take.id, "done", first + READS["preview"])
            if take.position == len(self.expressions) and take.state == "accepted":
                number += 1
                yield _Job(number, "blendshapes", 1, take.subject, take.id, "done", first + 3)

    def _state(self) -> str:
        draw = self._random.random()
        return "failed" if draw < 0.001 else "parked" if draw < 0.002 else "queued" if draw < 0.01 else "done"

    # --- rows ---

    def _subjects(self) -> Iterator[tuple[Any, ...]]:
        for subject in range(1, self.size.subjects + 1):
            age = None if subject % 50 == 0 else min(70, max(16, round(self._random.gauss(27, 11))))
            gender = None if subject % 90 == 0 else ("female", "male")[self._random.random() < 0.55]
            yield subject, str(SubjectCode(subject)), age, gender, None, self._at(subject)

    def _consents(self) -> Iterator[tuple[Any, ...]]:
        number = 0
        for subject in range(1, self.size.subjects + 1):
            scopes = ["research_release", *(["publication"] if subject % 3 == 0 else [])]
            for scope in scopes + (["eyes_mosaicked"] if subject % 9 == 0 else []):
                number += 1
                withdrawn = self._at(subject, 9e6) if subject % 120 == 0 else None
                yield (
                    number,
                    subject,
                    scope,
                    _sha(f"form {subject}"),
                    "2026-01",
                    self._day(subject),
                    self._at(subject),
                    withdrawn,
                )

    def _sessions(self) -> Iterator[tuple[Any, ...]]:
        for subject in range(1, self.size.subjects + 1):
            here = subject == self.size.subjects
            closed = None if here else self._at(subject, 1800)
            state = "open" if here else "closed"
            yield subject, _session(subject), subject, 1, 1, 1, state, "default", self._at(subject), closed

    def _take_rows(self) -> Iterator[tuple[Any, ...]]:
        for take in self._takes:
            at, problem = (
                self._at(take.subject, 60 * take.position),
                None if take.state != "failed" else "cam-07 no reply",
            )
            numbers = (0.8, 0.2, None, "not_measured") if take.state == "failed" else (0.8, 0.2, 1.9, "hot_shoe")
            expression = self.expressions[take.position - 1]
            yield (
                take.id,
                take.code,
                take.subject,
                expression,
                take.attempt,
                take.state,
                at,
                at,
                *numbers,
                problem,
                "default",
                1,
            )

    def _frames(self) -> Iterator[tuple[Any, ...]]:
        number = 0
        for take in self._takes:
            hashes = self._random.randbytes(32 * take.frames).hex()
            for view in range(take.frames):
                number += 1
                sha256 = hashes[64 * view : 64 * view + 64]
                shape = (8_000_000 + number, 8688, 5792) if view < 30 else (5_000_000 + number, 6000, 4000)
                clock = (0.3, 0.2, "pings", 10**9 + number, 120)
                name = f"IMG_{number % 10000:04d}.JPG"
                yield number, take.id, self.cameras[view], sha256, *shape, 10**12 + number, *clock, name, EXIF

    def _reviews(self) -> Iterator[tuple[Any, ...]]:
        scores = json.dumps({"jawOpen": 0.1, "mouthSmile": 0.2, "browInnerUp": 0.05})
        for take in self._takes:
            if take.state != "failed":
                yield take.id, self._at(take.subject, 60 * take.position + 5), 0.9, _sha(f"sheet {take.id}"), scores

    def _job_rows(self) -> Iterator[tuple[Any, ...]]:
        for job in self._jobs:
            at, done = self._at(job.subject, 3600 + job.id % 3600), job.state == "done"
            error = "RuntimeError: too few landmarks" if job.state in ("failed", "parked") else None
            ended = at if done else None
            worker = "farm-1:42:abc" if done else None
            key = _sha(f"job {job.id}")
            yield (
                job.id,
                key,
                job.stage,
                job.version,
                '{"size_px": 4096}',
                job.subject,
                job.take,
                100,
                job.state,
                worker,
                int(done),
                error,
                at,
                ended,
                ended,
            )

    def _inputs(self) -> Iterator[tuple[Any, ...]]:
        number = 0
        for job in self._jobs:
            number += 1
            if job.stage == "reconstruct":
                yield number, job.id, "take", _sha(f"take {job.take}"), None, None
            else:
                yield number, job.id, "x", None, job.reads, "scan"
            if job.stage == "register":
                number += 1
                yield number, job.id, "template", _sha("template"), None, None

    def _artefacts(self) -> Iterator[tuple[Any, ...]]:
        for number, (job, output) in enumerate(self._made(), start=1):
            yield (
                number,
                job.id,
                output,
                _sha(f"artefact {number}"),
                3_000_000,
                "model/obj",
                self._at(job.subject, 7200),
            )

    def _made(self) -> Iterator[tuple["_Job", str]]:
        return (
            (job, output) for job in self._jobs if job.state == "done" for output in OUTPUTS.get(job.stage, ("result",))
        )

    def _lineage(self) -> Iterator[tuple[Any, ...]]:
        """Each scan from its take's photographs, everything else from the scan."""
        first = {}
        last = 0
        for take in self._takes:
            first[take.id] = (last + 1, take.frames)
            last += take.frames
        number, scan = 0, 0
        for artefact, (job, output) in enumerate(self._made(), start=1):
            if output == "scan":
                scan = artefact
                begin, count = first[job.take]
                for frame in range(begin, begin + count):
                    number += 1
                    yield number, artefact, None, frame
            elif scan:
                number += 1
                yield number, artefact, scan, None

    def _verdicts(self) -> Iterator[tuple[Any, ...]]:
        for job in self._jobs:
            if job.stage == "reconstruct" and job.state == "done":
                verdict = "redo" if job.id % 199 == 0 else "review" if job.id % 31 == 0 else "accept"
                yield job.id, verdict, "", '{"complete": 0.99}', _sha(f"picture {job.id}"), self._at(job.subject, 7200)

    def _releases(self) -> Iterator[tuple[Any, ...]]:
        for number in (1, 2):
            at = self._at(number, 1e7)
            day = date(2026, 7, number) if not self._sqlite else f"2026-07-0{number}"
            yield number, "faces", number, "complete", 2, day, "{}", _sha(f"release {number}"), at, at

    def _items(self) -> Iterator[tuple[Any, ...]]:
        number = 0
        for release in (1, 2):
            for take in self._takes:
                if take.state == "accepted" and take.subject % 10 < 6 + release:
                    number += 1
                    shown = take.subject % 3 == 0
                    withdrawn = self._at(take.subject, 9e6) if take.subject % 120 == 0 else None
                    yield number, release, take.subject, take.id, shown, shown, withdrawn

    def _audit(self) -> Iterator[tuple[Any, ...]]:
        previous = audit_log.BEGINNING
        number = 0
        for take in self._takes:
            acts = [("take", take.code, "take.accept")]
            if take.position == 1 and take.attempt == 1:
                code = str(SubjectCode(take.subject))
                acts = [("subject", code, "subject.add"), ("session", f"{code}-1", "session.start"), *acts]
            for kind, about, action in acts:
                number += 1
                at = BEGIN + timedelta(seconds=number)
                entry = {
                    "at": at,
                    "actor": "bench",
                    "action": action,
                    "about_kind": kind,
                    "about_id": about,
                    "detail": {},
                }
                sha256 = audit_log.link(previous, entry)
                yield number, self._when(at), "bench", action, kind, about, "{}", previous, sha256
                previous = sha256

    def _at(self, subject: int, seconds: float = 0.0) -> Any:
        return self._when(BEGIN + timedelta(hours=4 * subject, seconds=seconds))

    def _when(self, at: datetime) -> Any:
        return at.replace(tzinfo=None).isoformat(" ", "microseconds") if self._sqlite else at

    def _day(self, subject: int) -> Any:
        day = (BEGIN + timedelta(hours=4 * subject)).date()
        return day.isoformat() if self._sqlite else day


@dataclass(frozen=True)
class _Take:
    id: int
    subject: int
    position: int
    attempt: int
    state: str
    frames: int

    @property
    def code(self) -> str:
        return str(TakeCode.of(_session(self.subject), self.position, self.attempt))


@dataclass(frozen=True)
class _Job:
    id: int
    stage: str
    version: int
    subject: int
    take: int
    state: str
    reads: int


def load(url: str, size: Size) -> Engine:
    """Fill an empty database and return it, open."""
    engine = open_database(url)
    upgrade(engine)
    with transaction(engine) as tx:
        protocol = install_protocol(tx, FACESCAPE)
        places = [
            CameraPlace(view, f"cam-{view:02d}", f"usb:{view}", CameraTier.FRONTAL if view < 30 else CameraTier.SIDE)
            for view in range(size.cameras)
        ]
        rig = ensure_rig(tx, "facescape", places)
        add_calibration(tx, rig, "bench", {})
        cameras, expressions = [c.id for c in rig.cameras], [e.id for e in protocol.expressions]
    study = Study(size, cameras, expressions, engine.dialect.name == "sqlite")
    (_into_sqlite if engine.dialect.name == "sqlite" else _into_postgresql)(engine, study)
    return engine


def _into_sqlite(engine: Engine, study: Study) -> None:
    driver = engine.raw_connection()
    connection: Any = driver.driver_connection
    try:
        for pragma in ("synchronous = OFF", "foreign_keys = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for table, columns, rows in study.tables():
            names, marks = ", ".join(f'"{c}"' for c in columns), ", ".join("?" * len(columns))
            connection.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)
        connection.execute("COMMIT")
        assert connection.execute("PRAGMA foreign_key_check").fetchone() is None
    finally:
        driver.invalidate()  # the next connection has the studio's settings again


def _into_postgresql(engine: Engine, study: Study) -> None:
    driver = engine.raw_connection()
    connection: Any = driver.driver_connection
    try:
        with connection.cursor() as cursor:
            for table, columns, rows in study.tables():
                names = ", ".join(f'"{c}"' for c in columns)
                with cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
                    for row in rows:
                        copy.write_row(row)
        connection.commit()
    finally:
        driver.close()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as link:
        for table in Base.metadata.sorted_tables:
            if "id" in table.columns:
                newest = f'(SELECT coalesce(max(id), 0) + 1 FROM "{table.name}")'
                link.execute(text(f"SELECT setval(pg_get_serial_sequence('\"{table.name}\"', 'id'), {newest}, false)"))
        link.execute(text("VACUUM ANALYZE"))  # as autovacuum does in a studio's night


def _session(subject: int) -> str:
    return str(SessionCode(SubjectCode(subject), 1))


def _sha(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()
