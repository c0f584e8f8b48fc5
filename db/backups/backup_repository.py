"""A folder of backups: dated snapshots of the database, and one store of files that they share.

    mien-backup.json                 what this folder is; for whom it is sealed
    key.age                          with a passphrase: the private key, under it
    files/ab/<sha256>[.age]          each file once, however many snapshots name it
    files/ab/index.txt               one line a file that was checked on its way in
    snapshots/2026-11-28T020000Z/    manifest.json, studio.sqlite[.age], about.json[.age], files.txt, the home's *.toml
    damaged.txt                      what --check found, to be copied anew
    dropped/                         snapshots that --keep took away, for a week more
    tmp/                             half-written; of no worth to anybody

A snapshot's folder appears whole or not at all, after all its files. Everything is its owner's alone.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from common.files.append_lines import append_lines
from common.files.atomic_write import write_whole
from common.files.hashes import is_sha256, stream_sha256
from common.files.json_object import read_json_object
from db.backups.age_encryption import Opener, Seal
from db.errors import BackupError

FORMAT = 1
MARK = "mien-backup.json"
MANIFEST, DATABASE, ABOUT, SETTINGS, LIST = "manifest.json", "studio.sqlite", "about.json", "studio.toml", "files.txt"
DAMAGED = "damaged.txt"
BLOCK = 1 << 20
LARGEST_JSON = 256 << 20  # bytes
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Stored:
    """What a file is (sha256, bytes), and what lies in the backup for it: the same, or its sealed form."""

    sha256: str
    bytes: int
    stored_sha256: str
    stored_bytes: int

    def line(self) -> str:
        """As its line of an index says it."""
        return f"{self.sha256} {self.bytes} {self.stored_sha256} {self.stored_bytes}\n"

    @classmethod
    def of_line(cls, line: str) -> "Stored | None":
        """What a line of an index says; None for one that is cut off or no such line."""
        parts = line.split()
        if (
            len(parts) != 4
            or not is_sha256(parts[0])
            or not is_sha256(parts[2])
            or not (parts[1] + parts[3]).isdecimal()
        ):
            return None
        return cls(parts[0], int(parts[1]), parts[2], int(parts[3]))


class Snapshot:
    """One dated state of a studio in a folder of backups. Nothing of it is believed before its hash was compared."""

    def __init__(self, folder: "BackupFolder", path: Path) -> None:
        self.folder, self.path, self.name = folder, path, path.name

    def manifest(self) -> dict[str, Any]:
        """Raises BackupError when it is damaged."""
        written = read_json_object(self.path / MANIFEST, BackupError, most=LARGEST_JSON)
        seal = written.pop("sha256", None)
        if written.get("format") != FORMAT:
            raise BackupError(
                f"{self.path}: format {written.get('format')!r} is not {FORMAT}; use the Mien that made it"
            )
        if seal != json_hash(written):
            raise BackupError(f"{self.path / MANIFEST} has changed since it was written; use another snapshot")
        return written

    def part(self, manifest: Mapping[str, Any], name: str) -> tuple[Path, Stored]:
        """A file of the snapshot and what it should be. Raises BackupError when the manifest has none."""
        try:
            part = manifest["parts"][name]
            return self.path / Path(str(part["name"])).name, Stored(
                str(part["sha256"]), int(part["bytes"]), str(part["stored_sha256"]), int(part["stored_bytes"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BackupError(f"{self.path}: the manifest names no {name}") from error

    def files(self) -> Iterator[tuple[str, int]]:
        """(SHA-256, bytes) of every file that the snapshot's rows name and that is in the backup."""
        try:
            with (self.path / LIST).open(encoding="ascii", errors="replace") as lines:
                for line in lines:
                    sha256, _, size = line.strip().partition(" ")
                    if is_sha256(sha256) and size.isdecimal():
                        yield sha256, int(size)
        except OSError as error:
            raise BackupError(f"{self.path / LIST} cannot be read: {error.strerror}") from error


class BackupFolder:
    """A folder of backups that is there."""

    def __init__(self, path: Path, seal: Seal | None, studio: str) -> None:
        self.path, self.seal, self.studio = path, seal, studio
        self.ending = ".age" if seal else ""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises BackupError when there is no backup at `path`."""
        if not (path / MARK).is_file():
            raise BackupError(f"{path} is no folder of backups: it has no {MARK}")
        written = read_json_object(path / MARK, BackupError)
        if written.get("format") != FORMAT:
            raise BackupError(f"{path} has format {written.get('format')!r}, not {FORMAT}; use the Mien that made it")
        recipients = tuple(str(one) for one in written.get("sealed_for") or ())
        return cls(path, Seal(recipients) if recipients else None, str(written.get("studio", "")))

    @classmethod
    def make(cls, path: Path, seal: Seal | None, key: bytes | None, studio: str) -> Self:
        """A new one, in an empty folder or one that is made. Raises BackupError when something else is there."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise BackupError(f"{path} has other things in it; give an empty folder, or one that Mien made")
        with room(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            (path / "files").mkdir(mode=0o700)
            if key is not None:
                write_whole(path / "key.age", key, mode=0o600)
            mark = {"format": FORMAT, "studio": studio, "sealed_for": list(seal.recipients) if seal else []}
            write_whole(path / MARK, json.dumps(mark, indent=2).encode(), mode=0o600)
        return cls(path, seal, studio)

    @contextmanager
    def read(self) -> Iterator[None]:
        """Nobody changes this folder meanwhile; it may lie on a medium that cannot be written."""
        with (self.path / MARK).open("rb") as file:
            self._lock(file, fcntl.LOCK_SH)
            yield

    def _lock(self, file: IO[bytes], how: int) -> None:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"Another program works on {self.path}; wait for it") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One program at a time changes this folder; what an earlier one left half-written is swept away."""
        with (self.path / MARK).open("rb") as file:
            self._lock(file, fcntl.LOCK_EX)
            shutil.rmtree(self.temporary, ignore_errors=True)
            with room(self.path):
                self.temporary.mkdir(mode=0o700)
            try:
                yield
            finally:
                shutil.rmtree(self.temporary, ignore_errors=True)

    def damaged(self) -> set[str]:
        """What --check found and no backup has mended yet."""
        with suppress(FileNotFoundError):
            return set((self.path / DAMAGED).read_text(encoding="ascii", errors="replace").split())
        return set()

    def note_damaged(self, damaged: set[str]) -> None:
        """Keep which files are not what was written; the next backup copies them anew."""
        with room(self.path):
            write_whole(self.path / DAMAGED, "".join(f"{sha256}\n" for sha256 in sorted(damaged)).encode(), mode=0o600)

    @property
    def temporary(self) -> Path:
        """Where files lie until they are whole."""
        return self.path / "tmp"

    def snapshots(self) -> list[Snapshot]:
        """Whole snapshots, oldest first."""
        folder = self.path / "snapshots"
        return [Snapshot(self, path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []

    def place(self, sha256: str) -> Path:
        """Where a file lies, by its hash in clear. Raises BackupError for what is no hash."""
        if not is_sha256(sha256):
            raise BackupError(f"'{sha256}' is not a SHA-256")
        return self.path / "files" / sha256[:2] / f"{sha256}{self.ending}"

    def index(self, shard: str) -> dict[str, Stored]:
        """Files of one part (two hexadecimal digits) that were checked when they came and are there in full size."""
        folder = self.path / "files" / shard
        try:
            text = (folder / "index.txt").read_text(encoding="ascii", errors="replace")
            sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
        except FileNotFoundError:
            return {}
        found = (Stored.of_line(line) for line in text.splitlines())
        return {
            stored.sha256: stored
            for stored in found
            if stored is not None and sizes.get(f"{stored.sha256}{self.ending}") == stored.stored_bytes
        }

    def add_to_index(self, shard: str, stored: list[Stored]) -> None:
        """Before their files take their places."""
        with room(self.path):
            append_lines(self.path / "files" / shard / "index.txt", "".join(one.line() for one in stored))

    def rewrite_index(self, shard: str, stored: list[Stored]) -> None:
        """After files went."""
        write_whole(
            self.path / "files" / shard / "index.txt", "".join(one.line() for one in stored).encode(), mode=0o600
        )

    def put(self, source: IO[bytes], target: Path) -> Stored:
        """Write a stream, sealed when the folder is, to `target`: whole or not at all.

        Raises OSError when the source cannot be read, BackupError when the folder cannot be written.
        """
        temporary = self.temporary / f"{target.name}.{os.getpid()}.{id(source)}"
        reader = Hashing(source)
        try:
            with room(self.path):
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with private(temporary) as file:
                    writer = Hashing(file)
                    if self.seal:
                        try:
                            self.seal.encrypt(reader, writer)
                        finally:  # the library words a failure beneath it anew, or even passes over the last one
                            beneath = writer.failed or reader.failed
                            if beneath is not None:
                                raise beneath
                    else:
                        while block := reader.read(BLOCK):
                            writer.write(block)
                    file.flush()
                    os.fsync(file.fileno())
                stored = Stored(reader.hexdigest(), reader.bytes, writer.hexdigest(), writer.bytes)
                temporary.replace(target)
        except OSError as error:
            if reader.failed is error:
                raise
            raise BackupError(f"{self.path} cannot be written: {error.strerror}; nothing was lost there") from error
        finally:
            temporary.unlink(missing_ok=True)
        return stored

    def get(self, path: Path, stored: Stored, target: IO[bytes], opener: Opener | None) -> None:
        """Write a file of the backup, opened, to `target`. Raises ValueError when it is damaged, OSError."""
        writer = Hashing(target)
        with path.open("rb") as source:
            reader = Hashing(source)
            if self.seal:
                if opener is None:
                    raise BackupError(f"{self.path} is sealed: give --identity or the passphrase")
                try:
                    opener.decrypt(reader, writer)
                finally:
                    beneath = writer.failed or reader.failed
                    if beneath is not None:
                        raise beneath
            else:
                while block := reader.read(BLOCK):
                    writer.write(block)
        if writer.hexdigest() != stored.sha256:
            raise ValueError("its bytes are others than those that were backed up")

    def verify_stored(self, path: Path, stored: Stored) -> None:
        """Compare what lies in the backup, without opening it. Raises ValueError, OSError."""
        with path.open("rb") as file:
            if stream_sha256(file) != stored.stored_sha256:
                raise ValueError("its bytes have changed")


class Hashing:
    """A stream whose bytes are hashed as they go by. failed: what went wrong beneath, which a library may hide."""

    def __init__(self, file: Any) -> None:
        self._file, self._sha256, self.bytes = file, hashlib.sha256(), 0
        self.failed: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            block: bytes = self._file.read(size)
        except Exception as error:
            self.failed = error
            raise
        self._sha256.update(block)
        self.bytes += len(block)
        return block

    def write(self, block: bytes) -> int:
        try:
            self._file.write(block)
        except Exception as error:
            self.failed = error
            raise
        self._sha256.update(block)
        self.bytes += len(block)
        return len(block)

    def flush(self) -> None:
        self._file.flush()

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


@contextmanager
def room(path: Path) -> Iterator[None]:
    """'No space left' becomes a message that says what to do and what is safe."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise BackupError(
            f"There is no room left for the backup in {path}. The snapshots that were there are as they were. "
            "Make room (or let old ones go: --keep N), then run the same command again: it goes on where it stopped"
        ) from error


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """An empty folder for its owner alone, for what may lie in clear for a while; it goes with the block."""
    shutil.rmtree(folder, ignore_errors=True)
    with room(folder):
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def private(path: Path) -> IO[bytes]:
    """A new file for its owner alone, open for writing."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


def json_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object with its keys in order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
