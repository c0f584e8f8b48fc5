"""The backup of a full study's records while a session writes takes beside it, and its way back.

897 subjects x 20 expressions x 68 photographs (full_study.py). A writer of its own process adds a take's 68 frames
every 1.5 s, as a rig at its fastest does, and says how long each commit took: alone, beside `mien db backup`, and
beside `sqlite3 .backup`. Every file that the rows name is taken to be in the backup already, as on every night but the
first: 1.5 million entries that it looks through (--shards 8: those of 8 of the 256 parts, for a busy machine). What
bytes cost is measured apart, on photographs of 8 MB, against `cp` and `sha256sum` of the same bytes, flushed.

    python benchmarks/bench_backup.py --json [--folder KEEP] [--subjects 897] [--photographs 128] [--postgresql]

database_seconds: the snapshot of the database alone.  backup_seconds: the whole of a nightly backup.  pause_ratio: the
writer's longest commit beside it over its longest alone, null where the backup ended before one began.
restore_seconds: snapshot to a verified database in place.  equal: the digests of all tables, of the snapshot and of
the restored database, are one.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from bench_db import server, study
from full_study import Size
from sqlalchemy import select

from db import captures
from db.backups import backup
from db.backups.backup import back_up, copy_to_sqlite, opened_copy
from db.backups.backup_repository import BackupFolder, Snapshot, Stored
from db.backups.restore import choose, restore
from db.engine import open_database, reading, transaction
from db.models import Frame
from db.rigs import rig_records
from db.settings import Settings
from db.store import Store
from db.store_parts.store_references import referenced
from db.subjects import add_subject
from db.transfer.database_copy import copy_database
from db.transfer.table_rows import snapshot, tables

EVERY_S = 1.5
ALONE_S = 45.0


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def write_takes(url: str, store: str, stop: Event, told: Any) -> None:
    """Until `stop`: a take every EVERY_S; puts (began, milliseconds) of each commit of its frames."""
    engine = open_database(url)
    with transaction(engine) as tx:
        rig = rig_records.get_rig(tx, "facescape")
        cameras = [camera.id for camera in rig.cameras]
        captures.pause_session(tx, open_) if (open_ := captures.open_session_of(tx, rig)) else None
        protocol = captures.get_session(tx, "S001-1").protocol
        session = captures.start_session(tx, add_subject(tx), protocol, rig).id
    hashes = [Store(store).put_bytes(f"photograph of view {view}".encode()) for view in range(len(cameras))]
    number, due = 0, time.monotonic()
    while not stop.is_set():
        number += 1
        with transaction(engine) as tx:
            take = captures.plan_take(tx, tx.get_one(captures.CaptureSession, session), number % 20 + 1)
            captures.fire_take(tx, take)
        frames = [
            captures.FrameData(camera, sha256, 8_000_000, 8688, 5792, 10**12, 0.1, 0.2, "pings", 10**9, 120)
            for camera, sha256 in zip(cameras, hashes, strict=True)
        ]
        begun = time.monotonic()
        with transaction(engine) as tx:
            captures.add_frames(tx, take, frames)
        told.put((begun, 1000 * (time.monotonic() - begun)))
        due += EVERY_S
        stop.wait(max(0.0, due - time.monotonic()))
    engine.dispose()


class Writer:
    """The session that goes on beside what is measured."""

    def __init__(self, url: str, store: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop, self._told = context.Event(), context.Queue()
        self._process = context.Process(target=write_takes, args=(url, store, self._stop, self._told))
        self._process.start()
        self._seen: list[tuple[float, float]] = [self._told.get(timeout=120)]

    def during(self, act: Callable[[], object]) -> tuple[float, dict[str, float]]:
        """Seconds of the act, and what the commits that began meanwhile took."""
        begun = time.monotonic()
        act()
        ended = time.monotonic()
        time.sleep(2 * EVERY_S)  # the commit that began last
        while not self._told.empty():
            self._seen.append(self._told.get())
        took = sorted(milliseconds for at, milliseconds in self._seen if begun <= at <= ended)
        longest = took[-1] if took else 0.0
        middle = took[len(took) // 2] if took else 0.0
        return round(ended - begun, 2), {
            "commits": len(took),
            "longest_ms": round(longest, 1),
            "median_ms": round(middle, 1),
        }

    def stop(self) -> None:
        self._stop.set()
        self._process.join(60)


def fill_folder(folder: BackupFolder, database: Path) -> int:
    """As if an earlier backup had copied every file: an entry for each, empty but for its line in the index."""
    count = 0
    with opened_copy(database) as copy:
        from sqlalchemy.orm import Session

        with Session(copy) as tx:
            for shard in backup.SHARDS:
                place = folder.path / "files" / shard
                place.mkdir(mode=0o700, exist_ok=True)
                named = sorted(referenced(tx, shard))
                for sha256 in named:
                    os.close(os.open(place / sha256, os.O_WRONLY | os.O_CREAT, 0o600))
                lines = "".join(Stored(sha256, 0, sha256, 0).line() for sha256 in named)
                (place / "index.txt").write_text(lines)
                count += len(named)
    return count


def digests(path: Path) -> dict[str, Any]:
    with opened_copy(path) as copy, snapshot(copy) as read:
        return {table.name: read.digest(table) for table in tables() if table.name != "audit_event"}


def photographs(folder: Path, count: int) -> dict[str, Any]:
    """What bytes cost: a studio of `count` photographs of 8 MB, backed up and restored, against cp and sha256sum."""
    settings = Settings.load(folder / "small")
    settings.make_home()
    engine, store = open_database(settings.database), Store(settings.store)
    from db.migrations import upgrade
    from db.models import CameraTier
    from db.protocols import FACESCAPE, install_protocol

    upgrade(engine)
    hashes = [store.put_bytes(os.urandom(8_000_000)) for _ in range(count)]
    with transaction(engine) as tx:
        places = [rig_records.CameraPlace(view, f"cam-{view}", f"sim:{view}", CameraTier.SIDE) for view in range(count)]
        rig = rig_records.ensure_rig(tx, "small", places)
        session = captures.start_session(tx, add_subject(tx), install_protocol(tx, FACESCAPE), rig)
        take = captures.plan_take(tx, session, 1)
        captures.fire_take(tx, take)
        pairs = zip(rig.cameras, hashes, strict=True)
        captures.add_frames(tx, take, [captures.FrameData(c.id, h, 8_000_000, 8688, 5792) for c, h in pairs])
    made = BackupFolder.make(folder / "small-backup", None, None, "bench")
    begun = time.monotonic()
    assert back_up(settings, engine, store, made).whole
    ours = time.monotonic() - begun
    begun = time.monotonic()
    target = folder / "cp"
    subprocess.run(["cp", "-r", f"{settings.store}/sha256", target], check=True)
    files = [str(path) for path in target.rglob("*") if path.is_file()]
    subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["sync", "-f", target], check=True)
    peer = time.monotonic() - begun
    begun = time.monotonic()
    report = restore(choose(made, None), Settings.load(folder / "small-new"), None, old=[settings])
    back = time.monotonic() - begun
    assert report.files == count
    engine.dispose()
    return {
        "bytes": 8_000_000 * count,
        "backup_seconds": round(ours, 2),
        "cp_and_sha256sum_seconds": round(peer, 2),
        "restore_seconds": round(back, 2),
    }


def measure(folder: Path, size: Size, count: int, shards: int) -> dict[str, Any]:
    result: dict[str, Any] = {"shards": shards}
    every, backup.SHARDS = backup.SHARDS, backup.SHARDS[:shards]
    with study("sqlite", folder, size) as (engine, loaded):
        say("the study " + ("was there" if loaded is None else f"was loaded in {loaded:.0f} s"))
        url, database = str(engine.url), Path(str(engine.url.database))
        with reading(engine) as tx:
            result["frames"] = len(list(tx.scalars(select(Frame.id))))
        home = folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        settings = Settings.load(home, url)
        settings.make_home()
        store = Store(settings.store)
        shutil.rmtree(folder / "backup", ignore_errors=True)
        made = BackupFolder.make(folder / "backup", None, None, "bench")
        begun = time.monotonic()
        result["entries"] = fill_folder(made, database)
        say(f"{result['entries']} entries in the backup already, made in {time.monotonic() - begun:.0f} s")
        writer = Writer(url, settings.store)
        try:
            _, result["alone"] = writer.during(lambda: time.sleep(ALONE_S))
            say(f"the writer alone: {result['alone']}")
            reports = []
            seconds, result["beside_backup"] = writer.during(
                lambda: reports.append(back_up(settings, engine, store, made))
            )
            result["backup_seconds"], result["database_seconds"] = seconds, reports[0].database_seconds
            result["database_bytes"], result["lacking"] = reports[0].database_bytes, len(reports[0].lacking)
            say(f"backup {seconds} s, of which the database {reports[0].database_seconds} s: {result['beside_backup']}")

            def database_again() -> None:
                for number in range(4):
                    copy_to_sqlite(engine, folder / f"again-{number}", lambda _done, _all: None)
                    (folder / f"again-{number}").unlink()

            _, result["beside_database_copies"] = writer.during(database_again)
            peer = ["sqlite3", str(database), f".backup {folder / 'peer.sqlite'}"]
            seconds, beside = writer.during(lambda: subprocess.run(peer, check=True))
            result["sqlite3_backup_seconds"], result["beside_sqlite3"] = seconds, beside
            say(f"sqlite3 .backup {seconds} s: {beside}")
        finally:
            writer.stop()
    result["pause_ratio"] = pause_ratio(result["beside_backup"], result["alone"])
    result["sqlite3_pause_ratio"] = pause_ratio(result["beside_sqlite3"], result["alone"])
    (folder / "peer.sqlite").unlink(missing_ok=True)
    chosen = choose(made, reports[0].snapshot)
    files, Snapshot.files = Snapshot.files, lambda _self: iter(())  # type: ignore[method-assign]
    try:
        begun = time.monotonic()
        old = Settings.load(home, url)
        restore(chosen, Settings.load(folder / "new"), None, old=[old])
        result["restore_seconds"] = round(time.monotonic() - begun, 2)
    finally:
        Snapshot.files = files  # type: ignore[method-assign]
    result["equal"] = digests(folder / "new" / "studio.sqlite") == digests(chosen.path / "studio.sqlite")
    say(f"restored in {result['restore_seconds']} s; equal: {result['equal']}")
    backup.SHARDS = every
    result["photographs"] = photographs(folder, count)
    say(str(result["photographs"]))
    return result


def pause_ratio(beside: dict[str, float], alone: dict[str, float]) -> float | None:
    return round(beside["longest_ms"] / alone["longest_ms"], 2) if beside["commits"] else None


def to_postgresql(folder: Path, size: Size) -> dict[str, Any]:
    """`mien db copy` of the study into an empty PostgreSQL, and a backup of that."""
    with study("sqlite", folder, size) as (source, _), server("postgresql", folder) as url:
        target = open_database(url)
        with target.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        begun = time.monotonic()
        report = copy_database(source, target)
        copied = time.monotonic() - begun
        begun = time.monotonic()
        copy_to_sqlite(target, folder / "from-postgresql.sqlite", lambda _done, _all: None)
        backed = time.monotonic() - begun
        target.dispose()
    return {"rows": report.rows, "copy_seconds": round(copied, 1), "backup_seconds": round(backed, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is always JSON")
    parser.add_argument("--folder", type=Path, help="keep the study here; about 4 GB")
    parser.add_argument("--subjects", type=int, default=Size.subjects)
    parser.add_argument("--shards", type=int, default=256, help="parts of the store that are looked at")
    parser.add_argument("--photographs", type=int, default=128)
    parser.add_argument("--postgresql", action="store_true", help="and the copy to PostgreSQL and its backup")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as temporary:
        work = (given.folder or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        size = Size(given.subjects)
        for left in ("home", "new", "small", "small-new", "small-backup", "cp", "backup"):
            shutil.rmtree(work / left, ignore_errors=True)
        result = measure(work, size, given.photographs, given.shards)
        if given.postgresql:
            (work / "from-postgresql.sqlite").unlink(missing_ok=True)
            result["postgresql"] = to_postgresql(work, size)
    result["load_average"] = round(os.getloadavg()[0], 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
