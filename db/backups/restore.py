"""A studio from a backup: never over another one, never with a code that somebody has, and nothing forgotten unsaid.

A restored database is older than the world: codes were given since, people withdrew, some were erased. The copy is
prepared beside its place, where numbers are raised and withdrawals and erasures repeated (db.backups.restore_replay),
and is
moved there last. Killed at any moment, the same command goes on; until the end there is no database in the new home.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from common.files.atomic_write import write_whole
from common.files.json_object import read_json_object
from common.progress import StepProgress
from common.take_codes import SubjectCode
from db.audit import audit_log
from db.audit.irreversible_acts import IrreversibleActs
from db.audit.number_floors import ABOUT, ACTION, KIND
from db.audit.restore_journal import place
from db.backups.age_encryption import Opener
from db.backups.backup import opened_copy
from db.backups.backup_repository import DATABASE, BackupFolder, Snapshot, Stored, workplace
from db.backups.backup_verification import check_list
from db.backups.restore_replay import (
    BackupReader,
    RestoreReport,
    floors_for,
    known_since,
    name_what_is_newer,
    repeat,
)
from db.engine import in_chunks, open_database, reading, transaction, utc_now
from db.errors import AlreadyThere, BackupError, BackupKeyError, MissingObject, RecordError, RottenObject, SettingsError
from db.migrations import current, head, upgrade
from db.settings import Settings
from db.store import Store
from db.transfer.database_copy import copy_database, require_empty

_WORKERS = 4
_AT_ONCE = 256  # files that are restored before it is told how many there are
_MARK = "restoring.json"


def choose(folder: BackupFolder, name: str | None) -> Snapshot:
    """The snapshot of that name, else the newest. Raises BackupError."""
    snapshots = folder.snapshots()
    if not snapshots:
        raise BackupError(f"{folder.path} holds no whole snapshot")
    if name is None:
        return snapshots[-1]
    found = [one for one in snapshots if one.name == name]
    if not found:
        newest = ", ".join(one.name for one in snapshots[-5:])
        raise BackupError(f"{folder.path} holds no snapshot {name}; the newest are {newest}")
    return found[0]


def restore(
    snapshot: Snapshot,
    settings: Settings,
    opener: Opener | None,
    *,
    codes_from: str | None = None,
    old: Sequence[Settings] = (),
    over: bool = False,
    adopt: Callable[[Engine, Store, Settings], None] = lambda _engine, _store, _settings: None,
    told: StepProgress = lambda _what, _done, _all: None,
) -> RestoreReport:
    """Make the studio of `settings` from a snapshot.

    codes_from: see floors_for.  old: homes of the studio as it was, looked at where they can be.  over: an existing
    database is moved aside and files are added to a store that has some; otherwise both are refused.  adopt: called
    with the prepared copy before it takes its place, as for giving store and database one identity.
    Raises BackupError, AlreadyThere, CodesUnknown: nothing is in place then.
    """
    manifest = snapshot.manifest()
    store = Store(settings.store, cache=settings.home / "cache")
    _require_free(settings, store, snapshot, over)
    report = RestoreReport(str(settings.home), snapshot.name, str(manifest["made_at"]), str(manifest["revision"]))
    with snapshot.folder.read(), workplace(settings.home / "restore-tmp") as work:
        reader = BackupReader(snapshot.folder, opener, work)
        copy = work / DATABASE
        _fetch_database(reader, snapshot, manifest, copy)
        report.rows_equal = True  # its bytes have the hash that they had when the copy was made
        about = reader.about(snapshot)
        then = IrreversibleActs.from_json(about["acts"])
        report.missing = [dict(one) for one in about.get("lacking", ())]
        journals = [place(one.store, one.home) for one in [settings, *old]]
        with _looked_at([settings, *old]) as engines:
            known = known_since(reader, engines, list(dict.fromkeys(journals)))
        report.exact, report.sources = known.exact, known.sources
        engine = open_database(f"sqlite:///{copy}")
        try:
            _bring_up(engine, report)
            with reading(engine) as tx:
                floors = floors_for(tx, known, codes_from)
            settings.make_home()
            write_whole(settings.home / _MARK, json.dumps({"snapshot": snapshot.name}).encode(), mode=0o600)
            _restore_files(reader, snapshot, store, report, told)
            with transaction(engine) as tx:
                audit_log.record(tx, ACTION, KIND, ABOUT, {"snapshot": snapshot.name, **asdict(floors)})
            name_what_is_newer(then, known.acts, report)
            repeat(engine, store, then, known.acts, report)
            adopt(engine, store, settings)
        finally:
            engine.dispose()
        _put_in_place(copy, settings, over)
        _place_home_files(reader, snapshot, manifest, settings, report)
        (settings.home / _MARK).unlink(missing_ok=True)
    more = sum(1 for _ in store) - report.files if over else 0
    if more > 0:
        report.to_do.append(
            f"the store has {more} files that the copy does not name, perhaps photographs taken since: "
            "look before you run mien db fsck --repair"
        )
    report.next_code = str(SubjectCode(max(floors.subjects, then.subjects) + 1))
    return report


def _require_free(settings: Settings, store: Store, snapshot: Snapshot, over: bool) -> None:
    mark = settings.home / _MARK
    again = (
        mark.is_file() and read_json_object(mark, BackupError).get("snapshot") == snapshot.name
    )  # an interrupted restore goes on
    engine = open_database(settings.database)
    try:
        if engine.dialect.name != "sqlite":
            require_empty(engine)
        elif Path(str(engine.url.database)).exists():
            if not over:
                raise AlreadyThere(
                    f"{engine.url.database} is there: restore into a new --home, or say --over to move it aside"
                )
            _require_unused(Path(str(engine.url.database)))
    finally:
        engine.dispose()
    if not again and not over and store.shards():
        raise AlreadyThere(
            f"The store {settings.store} has files in it: restore into a new --home, or say --over to add to it"
        )


def _require_unused(path: Path) -> None:
    """SQLite removes its log when the last program closes the database: if it stays, somebody has it open."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=5)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        raise BackupError(f"A program has {path} open (or it is damaged: then move {log} away); stop the studio first")


def _fetch_database(reader: BackupReader, snapshot: Snapshot, manifest: dict[str, Any], target: Path) -> None:
    path, stored = snapshot.part(manifest, DATABASE)
    try:
        reader.fetch(path, stored, target)
    except (OSError, ValueError) as error:
        raise BackupError(f"The database in {snapshot.path} is damaged ({error}); use another --snapshot") from error
    with closing(sqlite3.connect(target)) as connection:
        said = connection.execute("PRAGMA quick_check").fetchone()
    if said != ("ok",):
        raise BackupError(f"The database in {snapshot.path} was damaged before it was copied; use another --snapshot")
    if trouble := check_list(snapshot):
        raise BackupError(f"{trouble}; use another --snapshot")


def _bring_up(engine: Engine, report: RestoreReport) -> None:
    """A copy that an older Mien made is brought to this program's schema; its audit log must hold."""
    if current(engine) != head():
        upgrade(engine)
        report.to_do.append(f"its schema is now {head()} (it was {report.revision}): all programs must be this Mien")
    with reading(engine) as tx:
        chain = audit_log.verify_chain(tx)
    if chain.broken is not None:
        report.to_do.append(f"its audit log breaks at entry {chain.broken.entry}: mien db audit")


def _restore_files(
    reader: BackupReader, snapshot: Snapshot, store: Store, report: RestoreReport, told: StepProgress
) -> None:
    total = int(snapshot.manifest()["files"])
    one = partial(_restore_file, reader, store)
    with ThreadPoolExecutor(_WORKERS) as pool:
        for files in in_chunks(snapshot.files(), _AT_ONCE):
            for (sha256, size), why in zip(files, pool.map(one, files), strict=True):
                if why:
                    report.missing.append({"sha256": sha256, "why": why, "about": ()})
                else:
                    report.files, report.bytes = report.files + 1, report.bytes + size
            told("files", report.files + len(report.missing), total)


def _restore_file(reader: BackupReader, store: Store, file: tuple[str, int]) -> str:
    """Why it could not be restored; empty when it was, or was there."""
    sha256, size = file
    plain = reader.work / sha256
    try:
        if not _is_sound(store, sha256):
            reader.fetch(reader.folder.place(sha256), Stored(sha256, size, "", 0), plain)
            store.adopt_file(plain, sha256)
    except BackupKeyError:
        raise
    except FileNotFoundError:
        return "it is not in the backup any more"
    except ValueError as error:
        return f"it is damaged in the backup: {error}"
    finally:
        plain.unlink(missing_ok=True)
    return ""


def _is_sound(store: Store, sha256: str) -> bool:
    try:
        store.verify(sha256)
    except MissingObject:
        return False
    except RottenObject:
        store.set_aside(sha256)
        return False
    return True


def _put_in_place(copy: Path, settings: Settings, over: bool) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    target = open_database(settings.database)
    try:
        if target.dialect.name != "sqlite":
            with opened_copy(copy) as source:
                copy_database(source, target)
            return
        final = Path(str(target.url.database))
    finally:
        target.dispose()
    if final.exists() and over:
        stamp = f"before-restore-{utc_now():%Y%m%dT%H%M%SZ}"
        for ending in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                final.with_name(final.name + ending).rename(final.with_name(f"{final.name}.{stamp}{ending}"))
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(copy, final)
    final.chmod(0o600)


def _place_home_files(
    reader: BackupReader, snapshot: Snapshot, manifest: dict[str, Any], settings: Settings, report: RestoreReport
) -> None:
    """rig.toml, studio.toml and the like, where there is none. studio.toml's database and store are the old ones'."""
    for name in sorted(part.removeprefix("home/") for part in manifest["parts"] if part.startswith("home/")):
        target = settings.home / Path(name).name
        if target.exists():
            continue
        path, stored = snapshot.part(manifest, f"home/{name}")
        plain = reader.work / target.name
        try:
            reader.fetch(path, stored, plain)
        except (OSError, ValueError) as error:
            report.to_do.append(f"{name} could not be restored: {error}")
            continue
        if name == "studio.toml":
            lines = plain.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            kept, table = [], False
            for line in lines:
                table = table or line.lstrip().startswith("[")
                ours = not table and line.partition("=")[0].strip() in ("database", "store")
                kept.append(f"# of the studio as it was: {line}" if ours else line)
                if ours:
                    report.to_do.append("studio.toml: its database and store are commented out; say where they are now")
            plain.write_text("".join(kept), encoding="utf-8")
        plain.replace(target)
    report.to_do.append("keys/ and MIEN_PERSONAL_KEY are in no backup: put them back, or enrol the nodes anew")


@contextmanager
def _looked_at(homes: Sequence[Settings]) -> Iterator[list[Engine]]:
    """The databases of these homes that are there."""
    engines = []
    try:
        for settings in homes:
            with suppress(SettingsError):
                engine = open_database(settings.database)
                path = Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None
                empty = False
                with suppress(RecordError, DBAPIError):
                    empty = path is None and current(engine) is None  # the new one's own place
                if (path is None or path.is_file()) and not empty:
                    engines.append(engine)
                else:
                    engine.dispose()
        yield engines
    finally:
        for engine in engines:
            engine.dispose()
