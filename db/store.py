"""A content-addressed store: a file is filed under the SHA-256 of its bytes, in a folder or any fsspec place.

Files appear whole or not at all, are never changed, and equal bytes are kept once.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from db.errors import MissingObject, RottenObject, StoreError

_BLOCK = 1 << 20


def hash_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """A store at a folder or an fsspec URL ('s3://bucket/prefix'); `cache` is where remote files are brought."""

    def __init__(self, place: str | Path, cache: Path | None = None) -> None:
        try:
            self._fs, root = fsspec.core.url_to_fs(str(place))
        except (ValueError, ImportError) as error:
            raise StoreError(f"'{place}' is not a place for a store: {error}") from error
        self._root = str(root).rstrip("/")
        self.is_local = isinstance(self._fs, LocalFileSystem)
        self._cache = Path(self._root) if self.is_local else (cache or Path(tempfile.gettempdir()) / "mien-store-cache")

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
            with _room(path), path.open("rb") as file:
                os.fsync(file.fileno())
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
        if self.exists(digest):
            return digest
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
        return bool(self._fs.exists(self._key(sha256)))

    def size(self, sha256: str) -> int:
        """Bytes of the file. Raises MissingObject."""
        try:
            return int(self._fs.size(self._key(sha256)))
        except FileNotFoundError as error:
            raise self._missing(sha256) from error

    def local_path(self, sha256: str) -> Path:
        """A path on this machine to read the file from; never write to it. A remote file is fetched and checked once.

        Raises MissingObject, RottenObject.
        """
        place = self._place(sha256)
        if place.is_file():
            return place
        if self.is_local:
            raise self._missing(sha256)
        temporary = self._temporary()
        try:
            self._fs.get_file(self._key(sha256), str(temporary))
            if hash_file(temporary) != sha256:
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
        source = self.local_path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # another file system
            shutil.copyfile(source, target)

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
            return cast(IO[bytes], self._fs.open(self._key(sha256), "rb"))
        except FileNotFoundError as error:
            raise self._missing(sha256) from error

    def verify(self, sha256: str) -> None:
        """Read the filed file and compare. Raises MissingObject, RottenObject."""
        with self.open(sha256) as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
        if digest.hexdigest() != sha256:
            raise self._rotten(sha256)

    def __iter__(self) -> Iterator[str]:
        """Hashes of all files here."""
        if not self._fs.exists(f"{self._root}/sha256"):
            return
        for path in self._fs.find(f"{self._root}/sha256"):
            yield str(path).rsplit("/", 1)[-1]

    def _key(self, sha256: str) -> str:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise StoreError(f"'{sha256}' is not a SHA-256 in lower-case hexadecimal")
        return f"{self._root}/sha256/{sha256[:2]}/{sha256}"

    def _place(self, sha256: str) -> Path:
        self._key(sha256)
        return self._cache / "sha256" / sha256[:2] / sha256

    def _temporary(self) -> Path:
        folder = self._cache / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
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
        if self.exists(digest):
            return
        if self.is_local:
            _settle(temporary, self._place(digest))
        else:
            # An object store shows a put whole or not at all.
            self._fs.put_file(str(temporary), self._key(digest))

    def _missing(self, sha256: str) -> MissingObject:
        return MissingObject(
            f"The store {self._root} holds no file {sha256}; was it erased, or is this another studio?"
        )

    def _rotten(self, sha256: str) -> RottenObject:
        return RottenObject(f"The file {sha256} in the store {self._root} has changed; restore it from a copy")


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
        _flush_folder(place.parent.parent)
    temporary.chmod(0o444)
    temporary.replace(place)
    _flush_folder(place.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _room:  # noqa: N801
    """Turns 'no space left' into a message that says what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and error.filename is None:
            raise StoreError(f"The store cannot write to {self._path.parent}: {error.strerror}; make room") from error
