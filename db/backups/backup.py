"""A backup of a studio that goes on working: the database at one moment, and every file that its rows name.

The database is copied from one snapshot, which no writer waits for: SQLite's by its online backup, PostgreSQL's rows
into a SQLite file, so that each backup can be read and restored anywhere. Then the files: each is copied once, hashed
on its way, and shared by all snapshots that name it. The snapshot appears last. Killed at any moment, the same command
goes on.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, make_url
from sqlalchemy.orm import Session

from common.files.atomic_write import write_whole
from common.files.durable import fsync_file, fsync_folder
from common.files.hashes import stream_sha256
from common.progress import CountProgress, StepProgress
from db.audit.audit_log import verify_chain
from db.audit.irreversible_acts import IrreversibleActs, irreversible_acts
from db.audit.restore_journal import begin_journal
from db.backups.backup_repository import (
    ABOUT,
    DATABASE,
    FORMAT,
    LIST,
    MANIFEST,
    SETTINGS,
    BackupFolder,
    Stored,
    json_hash,
    private,
    room,
    workplace,
)
from db.engine import in_chunks, open_database, reading, utc_now
from db.errors import BackupError, MissingObject, StoreError
from db.migrations import head
from db.settings import Settings
from db.store import SHARDS, Store
from db.store_parts.store_references import described, is_referenced, referenced
from db.transfer.database_copy import copy_database

_PAGES = 4096  # of a step of SQLite's backup: 16 MB
_HOME_FILES = frozenset({".toml", ".npz"})  # rig.toml, the template; never keys, addresses or databases
_LARGEST_HOME_FILE = 64 << 20
_WORKERS = 4
_AT_ONCE = 64  # files that are copied before their lines are written
_DESCRIBED = 200  # lacking files that are told by what they are: with the store away it would be all of them


@dataclass(frozen=True)
class MissingFile:
    """A file that rows name and that could not be backed up."""

    sha256: str
    why: str  # missing, rotten, or what the disk said
    about: tuple[str, ...] = ()  # what it is to the rows that name it


@dataclass
class BackupReport:
    """What a backup has."""

    folder: str
    snapshot: str = ""  # its name
    database_bytes: int = 0
    files: int = 0  # of the store, that its rows name
    bytes: int = 0
    new_files: int = 0  # ... of which no earlier snapshot had these
    new_bytes: int = 0
    lacking: list[MissingFile] = field(default_factory=list)
    same_disk: bool = False  # as the store: one broken disk takes both
    sealed: bool = False
    store_empty: bool = False  # it holds no file at all, as when it is not mounted
    still_held: tuple[str, ...] = ()  # subjects that were erased and are in earlier snapshots
    database_seconds: float = 0.0  # for the copy of the database
    seconds: float = 0.0  # for all of it

    @property
    def whole(self) -> bool:
        """Whether it has every file that the rows name."""
        return not self.lacking


def back_up(
    settings: Settings,
    engine: Engine,
    store: Store,
    folder: BackupFolder,
    told: StepProgress = lambda _what, _done, _all: None,
) -> BackupReport:
    """Add a snapshot to a folder of backups.

    told: called with what is being copied, how much is done, and of how much.
    Raises BackupError when there is no room or the folder is in use: the snapshots that are there are untouched.
    A file that is missing or rotten in the store is named in the report and stops nothing.
    """
    begun = time.monotonic()
    report = BackupReport(str(folder.path), sealed=folder.seal is not None, same_disk=_same_disk(folder, store))
    report.store_empty = not store.shards()
    begin_journal(engine)
    with folder.locked(), _workplace(folder, settings) as work:
        plain = work / DATABASE
        copy_to_sqlite(engine, plain, lambda done, all_: told("database", done, all_))
        report.database_seconds = round(time.monotonic() - begun, 2)
        report.database_bytes = plain.stat().st_size
        new = folder.temporary / "snapshot"
        new.mkdir(mode=0o700)
        with opened_copy(plain) as copy:
            _copy_files(copy, engine, store, folder, new / LIST, report, told)
            with Session(copy) as tx:
                acts, chain = irreversible_acts(tx), verify_chain(tx)
        about = {"acts": asdict(acts), "audit_head": chain.head, "lacking": [asdict(one) for one in report.lacking]}
        parts = {
            DATABASE: _part(folder, plain, new / f"{DATABASE}{folder.ending}"),
            ABOUT: _part_bytes(folder, work, json.dumps(about).encode(), new / f"{ABOUT}{folder.ending}"),
            LIST: _listed(new / LIST),
        }
        for name, data in _home_files(settings, sealed=report.sealed):
            parts[f"home/{name}"] = _part_bytes(folder, work, data, new / f"{name}{folder.ending}")
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "made_at": utc_now().isoformat(),
            "revision": head(),
            "copied_from": engine.dialect.name,
            "files": report.files,
            "bytes": report.bytes,
            "lacking": len(report.lacking),
            "sealed": report.sealed,
            "parts": parts,
        }
        with room(folder.path):
            write_whole(
                new / MANIFEST, json.dumps({**manifest, "sha256": json_hash(manifest)}, indent=2).encode(), mode=0o600
            )
        report.snapshot = _publish(folder, new)
    report.still_held = _still_held(folder, acts)
    report.seconds = round(time.monotonic() - begun, 2)
    return report


def copy_to_sqlite(engine: Engine, target: Path, told: CountProgress) -> None:
    """The database of one moment as one SQLite file, for its owner alone; no writer waits.

    Raises BackupError when there is no room for it or the source cannot be read.
    """
    private(target).close()
    try:
        if engine.dialect.name == "sqlite":
            _copy_sqlite(engine, target, told)
        else:
            into = open_database(f"sqlite:///{target}")
            try:
                copy_database(engine, into, told)
            finally:
                into.dispose()
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, which needs no other beside it
    except sqlite3.Error as error:
        if "full" in str(error):
            raise BackupError(
                f"There is no room for a copy of the database in {target.parent}. Earlier snapshots are as they were; "
                "make room and run the same command again"
            ) from error
        raise BackupError(f"The database cannot be copied: {error}") from error
    with room(target.parent):
        fsync_file(target)


def _copy_sqlite(engine: Engine, target: Path, told: CountProgress) -> None:
    path = Path(str(engine.url.database)).absolute()
    if not path.is_file():
        raise BackupError(f"There is no database {path}")
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)) as source,
        closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        # While this transaction reads, the backup's steps all see its moment, and never begin anew for a writer.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        copy.execute("PRAGMA synchronous = OFF")  # flushed once, at the end
        source.backup(copy, pages=_PAGES, progress=lambda _status, left, all_: told(all_ - left, all_), sleep=0.01)
        source.execute("ROLLBACK")


@contextmanager
def opened_copy(path: Path) -> Iterator[Engine]:
    """A copy of the database, to read from; it is not changed by that."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        yield engine
    finally:
        engine.dispose()


def _copy_files(
    copy: Engine,
    live: Engine,
    store: Store,
    folder: BackupFolder,
    listing: Path,
    report: BackupReport,
    told: StepProgress,
) -> None:
    """Every file that the copy's rows name, part by part, so that memory stays flat."""
    damaged = folder.damaged()
    with ThreadPoolExecutor(_WORKERS) as pool, private(listing) as names, Session(copy) as tx:
        for number, shard in enumerate(SHARDS, start=1):
            named = referenced(tx, shard)
            there = {sha256: one for sha256, one in folder.index(shard).items() if sha256 not in damaged}
            # What may be a file or not (references.INPUT) is copied when it is one.
            wanted = [
                sha256
                for sha256, referred in sorted(named.items())
                if sha256 not in there and (referred.is_file or store.exists(sha256))
            ]
            added: list[Stored] = []
            for batch in in_chunks(wanted, _AT_ONCE):
                copied: list[Stored] = []
                try:
                    for found in pool.map(partial(_copy_file, store, folder), batch):
                        if isinstance(found, Stored):
                            copied.append(found)
                        elif found.why != "missing" or _still_named(live, found.sha256):
                            known = len(report.lacking) < _DESCRIBED
                            about = tuple(described(tx, found.sha256)) if known else ()
                            report.lacking.append(MissingFile(found.sha256, found.why, about))
                except BaseException:  # no room, say: what is whole is not copied again
                    with suppress(BackupError, OSError):
                        _file(folder, shard, copied)
                    raise
                _file(folder, shard, copied)
                added += copied
            report.new_files += len(added)
            report.new_bytes += sum(one.bytes for one in added)
            there |= {one.sha256: one for one in added}
            kept = [there[sha256] for sha256 in sorted(named) if sha256 in there]
            report.files += len(kept)
            report.bytes += sum(one.bytes for one in kept)
            with room(folder.path):
                names.write("".join(f"{one.sha256} {one.bytes}\n" for one in kept).encode())
            mended = damaged & {one.sha256 for one in added}
            if mended:
                damaged -= mended
                folder.note_damaged(damaged)
            told("files", number, len(SHARDS))
        with room(folder.path):
            names.flush()
            os.fsync(names.fileno())


def _copy_file(store: Store, folder: BackupFolder, sha256: str) -> Stored | MissingFile:
    """Into tmp/, flushed, under its hash; or why it cannot be."""
    incoming = _incoming(folder, sha256)
    try:
        with store.open(sha256) as source:
            stored = folder.put(source, incoming)
    except MissingObject:
        return MissingFile(sha256, "missing")
    except StoreError as error:
        return MissingFile(sha256, str(error))
    except OSError as error:
        return MissingFile(sha256, error.strerror or type(error).__name__)
    if stored.sha256 != sha256:
        incoming.unlink()
        return MissingFile(sha256, "rotten")
    return stored


def _file(folder: BackupFolder, shard: str, copied: list[Stored]) -> None:
    """Move files from tmp/ to their places. Their lines come first: a line without its file is none."""
    if not copied:
        return
    with room(folder.path):
        (folder.path / "files" / shard).mkdir(mode=0o700, exist_ok=True)
        folder.add_to_index(shard, copied)
        for one in copied:
            _incoming(folder, one.sha256).replace(folder.place(one.sha256))
        fsync_folder(folder.path / "files" / shard)


def _incoming(folder: BackupFolder, sha256: str) -> Path:
    return folder.temporary / f"{sha256}.incoming"


def _still_named(live: Engine, sha256: str) -> bool:
    """Whether the studio's own rows name it still: what was erased since is nobody's loss."""
    with reading(live) as tx:
        return is_referenced(tx, sha256)


def _part(folder: BackupFolder, plain: Path, target: Path) -> dict[str, Any]:
    if not folder.seal and plain.parent == folder.temporary:  # on the same disk, and read once to hash it
        with plain.open("rb") as file:
            digest = stream_sha256(file)
        size = plain.stat().st_size
        plain.replace(target)
        return {"name": target.name, **asdict(Stored(digest, size, digest, size))}
    with plain.open("rb") as source:
        return {"name": target.name, **asdict(folder.put(source, target))}


def _part_bytes(folder: BackupFolder, work: Path, data: bytes, target: Path) -> dict[str, Any]:
    plain = work / f"{target.name}.plain"
    with room(work), private(plain) as file:
        file.write(data)
    try:
        with plain.open("rb") as source:
            return {"name": target.name, **asdict(folder.put(source, target))}
    finally:
        plain.unlink(missing_ok=True)


def _listed(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = stream_sha256(file)
    size = path.stat().st_size
    return {"name": path.name, **asdict(Stored(digest, size, digest, size))}


def _home_files(settings: Settings, *, sealed: bool) -> Iterator[tuple[str, bytes]]:
    """What a studio needs to live again and is no secret. An unsealed copy of studio.toml has no password in it."""
    for path in sorted(settings.home.iterdir()):
        usable = path.suffix in _HOME_FILES and path.is_file() and not path.is_symlink()
        if not usable or path.stat().st_size > _LARGEST_HOME_FILE:
            continue
        data = path.read_bytes()
        if path.name == SETTINGS and not sealed and "://" in settings.database:
            password = make_url(settings.database).password
            if password:
                data = data.replace(str(password).encode(), b"***")
        yield path.name, data


def _publish(folder: BackupFolder, new: Path) -> str:
    """The snapshot appears, under the second that it was made in."""
    snapshots = folder.path / "snapshots"
    with room(folder.path):
        snapshots.mkdir(mode=0o700, exist_ok=True)
        fsync_folder(new)
        stamp = f"{utc_now():%Y-%m-%dT%H%M%SZ}"
        name, number = stamp, 1
        while (snapshots / name).exists():
            number += 1
            name = f"{stamp}-{number}"
        new.replace(snapshots / name)
        fsync_folder(snapshots)
    return name


def _workplace(folder: BackupFolder, settings: Settings) -> AbstractContextManager[Path]:
    """Where the copy of the database is made: never in clear in a folder whose content is sealed."""
    return workplace(settings.home / "backup-tmp") if folder.seal else nullcontext(folder.temporary)


def _still_held(folder: BackupFolder, acts: IrreversibleActs) -> tuple[str, ...]:
    """Subjects that were erased after a snapshot that is kept still: it may hold their photographs."""
    oldest = folder.snapshots()[0].manifest()["made_at"]
    return tuple(sorted(code for code, at in acts.erased.items() if at > oldest))


def _same_disk(folder: BackupFolder, store: Store) -> bool:
    with suppress(OSError):
        return store.folder is not None and store.folder.stat().st_dev == folder.path.stat().st_dev
    return False
