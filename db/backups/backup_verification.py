"""Reading a backup back: is every byte of it still what was written? And letting old snapshots go."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import merge
from itertools import groupby
from typing import IO, cast

from common.files.durable import fsync_folder
from common.progress import CountProgress
from db.backups.age_encryption import Opener
from db.backups.backup_repository import BackupFolder, Snapshot, Stored, room
from db.engine import utc_now
from db.errors import BackupError, BackupKeyError

TERM = timedelta(days=7)
_WORKERS = 4


@dataclass(frozen=True)
class DamagedFile:
    """Something in a backup that is not what was written."""

    name: str
    why: str
    snapshots: tuple[str, ...]  # those that need it


@dataclass
class CheckReport:
    """What was read of a backup."""

    folder: str
    snapshots: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    opened: bool = False  # sealed files were opened too; else their sealed bytes were compared alone
    damage: list[DamagedFile] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether there is something and all of it is what was written."""
        return not self.damage and bool(self.snapshots)


class _Nowhere:
    def write(self, block: bytes, /) -> int:
        return len(block)

    def flush(self) -> None: ...


NOWHERE = cast(IO[bytes], _Nowhere())


def check_backup(
    folder: BackupFolder, opener: Opener | None = None, told: CountProgress = lambda _done, _all: None
) -> CheckReport:
    """Read everything in a folder of backups and compare. Damaged files are noted: the next backup copies them anew.

    told: called with how many files were read, of how many.
    """
    report = CheckReport(str(folder.path), opened=opener is not None or folder.seal is None)
    with folder.read():
        total, whole = 0, []
        for snapshot in folder.snapshots():
            report.snapshots.append(snapshot.name)
            found = check_snapshot(folder, snapshot, opener)
            report.damage += found
            if not check_list(snapshot):  # otherwise it is named by check_snapshot
                total = max(total, int(snapshot.manifest().get("files", 0)))
                whole.append(snapshot)
        damaged = folder.damaged()
        before = set(damaged)
        with ThreadPoolExecutor(_WORKERS) as pool:
            for shard, files in groupby(_named(whole), key=lambda one: one[0][:2]):
                index = folder.index(shard)
                wanted = list(files)
                verdicts = pool.map(partial(_verdict, folder, index, opener), (one[0] for one in wanted))
                for (sha256, size, snapshots), why in zip(wanted, verdicts, strict=True):
                    report.files += 1
                    report.bytes += size
                    if why:
                        report.damage.append(DamagedFile(sha256, why, snapshots))
                        damaged.add(sha256)
                told(report.files, max(total, report.files))
        if damaged != before:
            with suppress(BackupError, OSError):  # a medium that cannot be written: the report says it all the same
                folder.note_damaged(damaged)
    return report


def check_snapshot(folder: BackupFolder, snapshot: Snapshot, opener: Opener | None) -> list[DamagedFile]:
    """A snapshot's own files: manifest, database, lists."""
    try:
        manifest = snapshot.manifest()
        parts = dict(manifest["parts"])
    except (BackupError, KeyError, TypeError, ValueError) as error:
        return [DamagedFile(f"{snapshot.name}/manifest.json", str(error), (snapshot.name,))]
    found = []
    for name in parts:
        try:
            path, stored = snapshot.part(manifest, name)
            folder.verify_stored(path, stored)
            if folder.seal and opener and name != "files.txt":
                folder.get(path, stored, NOWHERE, opener)
        except BackupKeyError:
            raise
        except FileNotFoundError:
            found.append(DamagedFile(f"{snapshot.name}/{name}", "it is not there", (snapshot.name,)))
        except (BackupError, OSError, ValueError) as error:
            found.append(DamagedFile(f"{snapshot.name}/{name}", str(error), (snapshot.name,)))
    return found


def _named(snapshots: list[Snapshot]) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Every file that these snapshots name, once, in order, with the snapshots that name it."""

    def of(snapshot: Snapshot) -> Iterator[tuple[str, int, str]]:
        return ((sha256, size, snapshot.name) for sha256, size in snapshot.files())

    for sha256, lines in groupby(merge(*map(of, snapshots)), key=lambda line: line[0]):
        both = list(lines)
        yield sha256, both[0][1], tuple(name for _, _, name in both)


def _verdict(folder: BackupFolder, index: dict[str, Stored], opener: Opener | None, sha256: str) -> str:
    place, stored = folder.place(sha256), index.get(sha256)
    try:
        if folder.seal and opener:
            folder.get(place, Stored(sha256, 0, "", 0), NOWHERE, opener)
        elif stored is not None:
            folder.verify_stored(place, stored)
        elif not place.exists():
            return "it is not there"
        elif folder.seal:
            return "its size has changed"
        else:  # its line in the index was lost, or its size has changed: its name says what it should be
            folder.verify_stored(place, Stored(sha256, 0, sha256, 0))
    except BackupKeyError:
        raise
    except FileNotFoundError:
        return "it is not there"
    except ValueError as error:
        return str(error)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def surplus_snapshots(folder: BackupFolder, keep: int) -> list[Snapshot]:
    """The snapshots beyond the newest `keep`; never the newest that is sound and has every file.

    Raises BackupError when none is sound and whole: none is let go then.
    """
    if keep < 1:
        raise BackupError("--keep 1 or more: a backup that keeps no snapshot is none")
    snapshots = folder.snapshots()
    good = next((one for one in reversed(snapshots) if _good(folder, one)), None)
    if len(snapshots) > keep and good is None:
        raise BackupError(
            f"No snapshot in {folder.path} is sound and has every file, so none is let go; "
            "mien db backup --check says why"
        )
    return [one for one in snapshots[:-keep] if good is None or one.name != good.name]


def _good(folder: BackupFolder, snapshot: Snapshot) -> bool:
    return not check_snapshot(folder, snapshot, None) and not snapshot.manifest()["lacking"]


def prune_snapshots(folder: BackupFolder, snapshots: list[Snapshot]) -> tuple[int, int]:
    """Move snapshots to dropped/, and remove for good what has been there longer than TERM, with its files.

    How many files went, and their bytes.
    """
    with folder.locked(), room(folder.path):
        dropped = folder.path / "dropped"
        dropped.mkdir(mode=0o700, exist_ok=True)
        for snapshot in snapshots:
            target = dropped / f"{snapshot.name}.{utc_now():%Y%m%dT%H%M%SZ}"
            snapshot.path.replace(target)
        fsync_folder(dropped)
        expired = [path for path in sorted(dropped.iterdir()) if _dropped_at(path.name) < utc_now() - TERM]
        for path in expired:
            shutil.rmtree(path)
        return _sweep(folder) if expired else (0, 0)


def _dropped_at(name: str) -> datetime:
    try:
        return datetime.strptime(name.rpartition(".")[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:  # not ours
        return utc_now()


def _sweep(folder: BackupFolder) -> tuple[int, int]:
    """Remove the files that no snapshot names any more. One whose list cannot be read keeps everything."""
    waiting = [Snapshot(folder, path) for path in sorted((folder.path / "dropped").iterdir())]
    everything = [*folder.snapshots(), *waiting]
    for snapshot in everything:
        if damage := check_list(snapshot):
            raise BackupError(f"Nothing is removed from {folder.path}/files: {damage}")
    gone, size, named = 0, 0, _named(everything)
    upcoming = next(named, None)
    for part in sorted((folder.path / "files").iterdir()):
        kept: set[str] = set()
        while upcoming is not None and upcoming[0][:2] <= part.name:
            if upcoming[0][:2] == part.name:
                kept.add(upcoming[0])
            upcoming = next(named, None)
        left = []
        for sha256, stored in sorted(folder.index(part.name).items()):
            if sha256 in kept:
                left.append(stored)
                continue
            folder.place(sha256).unlink(missing_ok=True)
            gone, size = gone + 1, size + stored.stored_bytes
        folder.rewrite_index(part.name, left)
    return gone, size


def check_list(snapshot: Snapshot) -> str:
    """What is wrong with a snapshot's list of files; empty when nothing is."""
    try:
        path, stored = snapshot.part(snapshot.manifest(), "files.txt")
        snapshot.folder.verify_stored(path, stored)
    except (BackupError, OSError, ValueError) as error:
        return f"the list of files of {snapshot.name} cannot be trusted ({error})"
    return ""
