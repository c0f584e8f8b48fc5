"""A content-addressed store: a file is filed under the SHA-256 of its bytes, in a folder or any fsspec place.

Files appear whole or not at all, are never changed, and equal bytes are kept once. A file that is put again is touched:
whoever removes files (db.fsck, db.erasure.erasures) leaves those alone that somebody may be about to refer to.
"""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from common.files.durable import fsync_file, fsync_folder
from common.files.hard_links import link_or_copy
from common.files.hashes import file_sha256, is_sha256, stream_sha256
from common.guarding.secret_masking import masked
from db.errors import MissingObject, RottenObject, StoreError
from db.store_parts import store_identity_notes
from db.store_parts.store_answers import answering
from db.store_parts.store_cache import StoreCache
from db.store_parts.store_identity_notes import StoreNote

_BLOCK = 1 << 20
SHARDS = tuple(f"{number:02x}" for number in range(256))
# A remote file is touched by sending it again, which costs: only when it is older than this.
_FRESH = timedelta(hours=1)
_DOOMED = "removing-"  # a file on its way out, by its hash: whoever is killed leaves it to be found


@dataclass(frozen=True)
class Filed:
    """A file of the store."""

    sha256: str
    bytes: int
    modified: datetime  # when it was put last


class Store:
    """A store at a folder or an fsspec URL ('s3://bucket/prefix'); `cache` is where remote files are brought."""

    def __init__(self, place: str | Path, cache: Path | None = None) -> None:
        try:
            self._fs, root = fsspec.core.url_to_fs(str(place), use_listings_cache=False)
        except (ValueError, ImportError) as error:
            hint = (
                " (pip install 'mien[s3]')" if str(place).startswith("s3:") and isinstance(error, ImportError) else ""
            )
            raise StoreError(masked(f"'{place}' is not a place for a store: {error}{hint}")) from None
        self._root = str(root).rstrip("/")
        self.is_local = isinstance(self._fs, LocalFileSystem)
        self._kept = StoreCache(Path(self._root) if self.is_local else cache)
        self._cache = self._kept.folder

    @property
    def root(self) -> str:
        """Where the store is, as its file system names it."""
        return self._root

    @property
    def fs(self) -> AbstractFileSystem:
        """The file system that the store is on, for what else of ours lies beside its files (notes, trash)."""
        return self._fs

    def absence(self) -> str:
        """Why there is no store at this place; empty when there is. A remote place is asked when it is read."""
        if not self.is_local:
            return ""
        place = Path(self._root)
        try:
            place.stat()
        except FileNotFoundError:
            return "it is a link to what is not there" if place.is_symlink() else "its folder is not there"
        except OSError as error:
            return f"its folder cannot be read: {error.strerror}"
        return "" if place.is_dir() else "it is not a folder"

    def identity(self) -> StoreNote | None:
        """What the store says of itself; None when it carries no identity. Raises StoreError. See db.store_identity."""
        return store_identity_notes.newest(self._fs, self._root)

    @property
    def folder(self) -> Path | None:
        """Where files are kept on this machine; None when they are elsewhere."""
        return Path(self._root) if self.is_local else None

    def put_file(self, path: Path, *, expected: str | None = None) -> str:
        """File a copy of `path` and return its hash.

        Raises StoreError when the hash is not the `expected` one, or when there is no room; nothing is filed then.
        """
        temporary, digest = self._copy_in(path)
        try:
            if expected is not None and digest != expected:
                raise StoreError(f"{path} has SHA-256 {digest}, expected {expected}; nothing was filed")
            self._file(temporary, digest)
        finally:
            temporary.unlink(missing_ok=True)
        return digest

    def adopt_file(self, path: Path, digest: str) -> None:
        """Take `path` itself into the store, under the hash that its bytes have just been found to have.

        On one file system this is a flush and a rename, whatever the file weighs; `path` is gone afterwards. A file
        already filed under that hash is replaced by the bytes just verified. Raises StoreError when there is no room.
        """
        if self.is_local:
            with _room(path):
                fsync_file(path)
            try:
                _settle(path, self._place(digest))
                return
            except OSError as error:
                if error.errno != errno.EXDEV:  # another file system: copy
                    raise StoreError(f"The store cannot write to {self._root}: {error.strerror}; make room") from error
        self.put_file(path, expected=digest)
        path.unlink(missing_ok=True)

    def put_bytes(self, data: bytes) -> str:
        """File `data` and return its hash."""
        digest = hashlib.sha256(data).hexdigest()
        temporary = self._temporary()
        try:
            with _room(temporary), temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._file(temporary, digest)
        finally:
            temporary.unlink(missing_ok=True)
        return digest

    def exists(self, sha256: str) -> bool:
        """Whether a file with this hash is filed here."""
        if self.is_local:
            return self._place(sha256).is_file()
        with self._answering():
            return bool(self._fs.exists(self._key(sha256)))

    def size(self, sha256: str) -> int:
        """Bytes of the file. Raises MissingObject."""
        return self.filed(sha256).bytes

    def filed(self, sha256: str) -> Filed:
        """Size and time of the file. Raises MissingObject."""
        try:
            if self.is_local:
                found = self._place(sha256).stat()
                return Filed(sha256, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
            with self._answering():
                return _filed(sha256, self._fs.info(self._key(sha256)))
        except FileNotFoundError as error:
            raise self._missing(sha256) from error

    def remove(self, sha256: str, *, untouched_since: datetime) -> int | None:
        """Remove the file for good, and this machine's copy of it: its bytes, 0 when it was gone already.

        None when it was put again after `untouched_since`: it is left, for a row may be about to refer to it.
        """
        if not self.is_local:
            return self._remove_remote(sha256, untouched_since)
        place, doomed = self._place(sha256), self._doomed(sha256)
        try:
            self.recover(sha256)
            doomed.parent.mkdir(exist_ok=True)
            try:
                place.replace(doomed)  # from here on, whoever puts these bytes files them anew
            except FileNotFoundError:
                return 0
            try:
                found = doomed.stat()
            except FileNotFoundError:  # another run of the same removal was here: the next one looks again
                return None
            if datetime.fromtimestamp(found.st_mtime, UTC) > untouched_since:
                self.recover(sha256)
                return None
            doomed.unlink(missing_ok=True)
            fsync_folder(doomed.parent)
            fsync_folder(place.parent)
        except OSError as error:
            raise StoreError(f"{place} cannot be removed: {error.strerror}; nothing else was") from error
        return found.st_size

    def recover(self, sha256: str) -> None:
        """Bring back what was being removed when its remover was killed; the next removal decides anew."""
        if not self.is_local:
            return
        doomed, place = self._doomed(sha256), self._place(sha256)
        with suppress(FileNotFoundError):
            with suppress(FileExistsError):
                os.link(doomed, place)
            doomed.unlink()
            fsync_folder(place.parent)

    def lacks_part(self, sha256: str) -> bool:
        """Whether the whole part (by the first two digits) that this file belongs to is away: not mounted, perhaps.

        Parts are folders only where the store is one; elsewhere nobody can tell.
        """
        return self.is_local and not self._place(sha256).parent.is_dir()

    def _remove_remote(self, sha256: str, untouched_since: datetime) -> int | None:
        key = self._key(sha256)
        try:
            found = self.filed(sha256)
            if found.modified > untouched_since:
                return None
            with self._answering():
                self._fs.rm_file(key)
        except (MissingObject, FileNotFoundError):
            found = None
        self._place(sha256).unlink(missing_ok=True)
        return 0 if found is None else found.bytes

    def local_path(self, sha256: str) -> Path:
        """A path on this machine to read the file from; never write to it. A remote file is fetched and checked once.

        Raises MissingObject, RottenObject.
        """
        place = self._place(sha256)
        if self.is_local:
            if place.is_file():
                return place
            raise self._missing(sha256)
        if self._kept.has(sha256):
            return place
        temporary = self._temporary()
        try:
            with self._answering():
                self._fs.get_file(self._key(sha256), str(temporary))
            if file_sha256(temporary) != sha256:
                raise self._rotten(sha256)
            _settle(temporary, place)
        except FileNotFoundError as error:
            raise self._missing(sha256) from error
        finally:
            temporary.unlink(missing_ok=True)
        return place

    def link(self, sha256: str, target: Path) -> None:
        """Put the file at `target` under a name with an ending, by hard link where possible. For readers only.

        Raises MissingObject; FileExistsError when `target` exists.
        """
        link_or_copy(self.local_path(sha256), target)

    def copy(self, sha256: str, target: Path) -> None:
        """Copy the file to `target`, for one who may change it or carry it away, checking its hash on the way.

        Raises MissingObject, RottenObject.
        """
        source = self.local_path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as reader, target.open("wb") as writer:
            if _copy_hashed(reader, writer) != sha256:
                target.unlink()
                raise self._rotten(sha256)

    def open(self, sha256: str) -> IO[bytes]:
        """The file, open for reading. Raises MissingObject."""
        try:
            with self._answering():
                return cast(IO[bytes], self._fs.open(self._key(sha256), "rb"))
        except FileNotFoundError as error:
            raise self._missing(sha256) from error

    def verify(self, sha256: str) -> None:
        """Read the filed file and compare. Raises MissingObject, RottenObject."""
        self.verify_at(self._key(sha256), sha256)

    def verify_at(self, path: str, sha256: str) -> None:
        """Read a file on the store's file system (a copy of it in the trash, say) and compare, as `verify` does."""
        try:
            with self._answering(), self._fs.open(path, "rb") as file:
                digest = stream_sha256(file)
        except FileNotFoundError as error:
            raise self._missing(sha256) from error
        if digest != sha256:
            raise self._rotten(sha256)

    def __iter__(self) -> Iterator[str]:
        """Hashes of all files here."""
        for shard in self.shards():
            yield from (filed.sha256 for filed in self.shard(shard)[0])

    def shards(self) -> list[str]:
        """The parts of the store that hold anything, by the first two digits of the hashes."""
        return [name for name, _ in self._listed("sha256") if name in SHARDS]

    def shard(self, shard: str) -> tuple[list[Filed], list[str]]:
        """The files of a part, and the paths of what lies there and is none, wherever it comes from."""
        found = self._listed(f"sha256/{shard}")
        strays = [f"sha256/{shard}/{name}" for name, _ in found if not _belongs(name, shard)]
        return [_filed(name, info) for name, info in found if _belongs(name, shard)], strays

    def strays(self) -> list[str]:
        """Paths of what lies beside the parts."""
        return [f"sha256/{name}" for name, _ in self._listed("sha256") if name not in SHARDS]

    def leftovers(self, before: datetime) -> list[Path]:
        """Temporary files on this machine that were last written before that time: their writers died."""
        folder = self._cache / "tmp"
        ours = (path for path in folder.glob("*") if not path.name.startswith(_DOOMED))
        old = (path for path in ours if path.lstat().st_mtime < before.timestamp())
        return sorted(old) if folder.is_dir() and not folder.is_symlink() else []  # another's files lie behind a link

    def half_removed(self) -> list[str]:
        """Hashes of files whose remover was killed half-way: see `recover`."""
        names = (path.name.removeprefix(_DOOMED) for path in (self._cache / "tmp").glob(f"{_DOOMED}*"))
        return sorted(name for name in names if self.is_local and _belongs(name, name[:2]))

    def cached(self) -> Iterator[str]:
        """Hashes of the copies that this machine keeps of a remote store's files."""
        if not self.is_local:
            for path in sorted((self._cache / "sha256").glob("??/*")):
                if _belongs(path.name, path.parent.name):
                    yield path.name

    def drop_cached(self, sha256: str) -> None:
        """Forget this machine's copy of a remote file."""
        if not self.is_local:
            self._place(sha256).unlink(missing_ok=True)

    def sound_copy(self, sha256: str) -> Path | None:
        """This machine's copy of a remote file, when it is there and has its hash."""
        place = self._place(sha256)
        return place if not self.is_local and self._kept.has(sha256) else None

    def set_aside(self, sha256: str) -> str:
        """Move a file out of the way, to rotten/ in the store, and return where it is. Raises MissingObject."""
        source, target = self._key(sha256), f"{self._root}/rotten/{sha256}"
        try:
            with self._answering():
                self._fs.makedirs(f"{self._root}/rotten", exist_ok=True)
                self._fs.mv(source, target)
        except FileNotFoundError as error:
            raise self._missing(sha256) from error
        return target

    def _listed(self, folder: str) -> list[tuple[str, dict[str, Any]]]:
        try:
            with self._answering():
                found = self._fs.ls(f"{self._root}/{folder}", detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        named = [(str(info["name"]).rstrip("/").rsplit("/", 1)[-1], info) for info in found]
        return sorted(named, key=lambda entry: entry[0])

    def _key(self, sha256: str) -> str:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise StoreError(f"'{sha256}' is not a SHA-256 in lower-case hexadecimal")
        return f"{self._root}/sha256/{sha256[:2]}/{sha256}"

    def _place(self, sha256: str) -> Path:
        self._key(sha256)
        return self._cache / "sha256" / sha256[:2] / sha256 if self.is_local else self._kept.place(sha256)

    def _doomed(self, sha256: str) -> Path:
        return self._cache / "tmp" / f"{_DOOMED}{sha256}"

    def _temporary(self) -> Path:
        folder = self._cache / "tmp"
        if self.is_local:
            folder.mkdir(parents=True, exist_ok=True)
        else:
            self._kept.temporaries()
        descriptor, name = tempfile.mkstemp(dir=folder)
        os.close(descriptor)
        return Path(name)

    def _copy_in(self, path: Path) -> tuple[Path, str]:
        temporary = self._temporary()
        try:
            with _room(temporary), path.open("rb") as source, temporary.open("wb") as target:
                digest = _copy_hashed(source, target)
                target.flush()
                os.fsync(target.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary, digest

    def _file(self, temporary: Path, digest: str) -> None:
        if self.is_local:
            try:
                os.utime(self._place(digest))
            except FileNotFoundError:
                _settle(temporary, self._place(digest))
            return
        with suppress(MissingObject):
            if self.filed(digest).modified > datetime.now(UTC) - _FRESH:
                return
        try:
            with self._answering():
                # An object store shows a put whole or not at all; of one in parts nothing shows before all are in.
                self._fs.put_file(str(temporary), self._key(digest))
        except FileNotFoundError as error:
            raise StoreError(f"The store {self._root} is not there: {error}") from error
        if self.size(digest) != temporary.stat().st_size:
            raise StoreError(f"The store {self._root} took {digest} with another size; put it again")

    def _answering(self) -> AbstractContextManager[None]:
        return answering(self._root, is_local=self.is_local)

    def _missing(self, sha256: str) -> MissingObject:
        what = f"The store {self._root} holds no file {sha256}; was it erased, or is this another studio?"
        return MissingObject(what, sha256)

    def _rotten(self, sha256: str) -> RottenObject:
        return RottenObject(f"The file {sha256} in the store {self._root} has changed; restore it from a copy")


def _belongs(name: str, shard: str) -> bool:
    return name.startswith(shard) and is_sha256(name)


def _filed(sha256: str, info: dict[str, Any]) -> Filed:
    """From what fsspec says of a file: folders say mtime in seconds, S3 LastModified, memory created."""
    when = info.get("mtime") or info.get("LastModified") or info.get("created") or 0.0
    modified = when if isinstance(when, datetime) else datetime.fromtimestamp(float(when), UTC)
    return Filed(sha256, int(info.get("size") or 0), modified.astimezone(UTC))


def _copy_hashed(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def _settle(temporary: Path, place: Path) -> None:
    """Move a finished file to its place, read-only, durably."""
    if not place.parent.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        fsync_folder(place.parent.parent)
    temporary.chmod(0o400)
    os.utime(temporary)
    temporary.replace(place)
    fsync_folder(place.parent)


class _room:  # noqa: N801
    """Turns 'no space left' into a message that says what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and error.filename is None:
            raise StoreError(f"The store cannot write to {self._path.parent}: {error.strerror}; make room") from error
