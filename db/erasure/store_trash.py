"""What was removed from a store lies in its trash for a term, and can be brought back.

    trash/20261128T171500Z-1f2e3d4c/sha256/ab/ab12…     each under the path that it had
    trash/20261128T171500Z-1f2e3d4c/about.json          when, by which command, by whom

One batch an act. An erasure of a person does not come here: it removes for good, from the trash as well.
"""

import json
import os
import re
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.files.hashes import file_sha256
from db.audit import audit_log
from db.engine import utc_now
from db.errors import MissingObject, NotFound, RottenObject, StoreError
from db.store import Store

FOLDER = "trash"
TERM = timedelta(days=30)
ABOUT = "about.json"
_BATCH = re.compile(r"^(\d{8}T\d{6}Z)-[0-9a-f]{8}$")
_FILE = re.compile(r"^sha256/[0-9a-f]{2}/[0-9a-f]{64}$")
_ANY = re.compile(r"^(sha256/[0-9a-f]{2}|runs)/[^/]+$")


@dataclass(frozen=True)
class TrashedFile:
    """A file in the trash."""

    path: str  # what it had in the store, as in 'sha256/ab/ab12…'
    bytes: int

    @property
    def sha256(self) -> str | None:
        """The hash that it was filed under; None for what was no file of the store."""
        return self.path.rsplit("/", 1)[-1] if _FILE.match(self.path) else None


@dataclass(frozen=True)
class TrashBatch:
    """What one act removed."""

    name: str
    thrown_at: datetime
    command: str  # as its note says, empty when it lost it
    actor: str  # ... likewise
    files: tuple[TrashedFile, ...]

    @property
    def until(self) -> datetime:
        """When its term ends."""
        return self.thrown_at + TERM


class Trash:
    """The trash of a store. What it raises is StoreError; a file is never in neither place."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fs, self._root = store.fs, f"{store.root}/{FOLDER}"

    def begin(self, command: str) -> "OpenBatch":
        """A new batch, made with the first file that comes into it."""
        return OpenBatch(self._store, f"{utc_now():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}", command)

    def batches(self) -> list[TrashBatch]:
        """What lies in the trash, oldest first."""
        return [self._batch(name) for name in self._names()]

    def find(self, sha256: str) -> list[str]:
        """Paths of this file in the trash."""
        paths = (f"{self._root}/{name}/sha256/{sha256[:2]}/{sha256}" for name in self._names())
        with _told(self._store, "look into the trash"):
            return [path for path in paths if self._fs.exists(path)]

    def restore(self, batch: str) -> tuple[int, list[str]]:
        """Bring a batch back: how many files, and the paths of those that stay because their bytes have changed.

        A file that has been put again meanwhile stays as it is in the store. Raises NotFound.
        """
        found = self._require(batch)
        back, rotten = 0, []
        for thrown in found.files:
            source = f"{self._root}/{batch}/{thrown.path}"
            if thrown.sha256 is not None:
                if not self.put_back(source, thrown.sha256):
                    rotten.append(thrown.path)
                    continue
            else:
                with _told(self._store, f"restore {thrown.path}"):
                    self._move(source, f"{self._store.root}/{thrown.path}")
            back += 1
        if not rotten:
            self._drop(batch)
        return back, rotten

    def put_back(self, source: str, sha256: str) -> bool:
        """File what lies in the trash again, when it has its hash; whether it has."""
        with _told(self._store, f"restore {sha256}"):
            if self._store.is_local:
                if file_sha256(Path(source)) != sha256:
                    return False
                self._store.adopt_file(Path(source), sha256)
                return True
            try:
                self._store.verify_at(source, sha256)
            except (RottenObject, MissingObject):
                return False
            self._move(source, f"{self._store.root}/sha256/{sha256[:2]}/{sha256}")
        return True

    def empty(self, batch: str) -> int:
        """Remove a batch for good; how many files. Raises NotFound."""
        found = self._require(batch)
        self._drop(batch)
        return len(found.files)

    def index(self) -> dict[str, list[str]]:
        """Paths of every file in the trash, and of those set aside as rotten, by the hash they were filed under."""
        found: dict[str, list[str]] = {}
        for batch in self.batches():
            for thrown in batch.files:
                if thrown.sha256:
                    found.setdefault(thrown.sha256, []).append(f"{self._root}/{batch.name}/{thrown.path}")
        with suppress(FileNotFoundError), _told(self._store, "look at what was set aside"):
            for path in self._fs.ls(f"{self._store.root}/rotten", detail=False):
                found.setdefault(str(path).rsplit("/", 1)[-1], []).append(str(path))
        return found

    def purge(self, paths: Collection[str]) -> int:
        """Remove what lies at these paths of the index, for good; how many bytes."""
        freed = 0
        for path in paths:
            with suppress(FileNotFoundError), _told(self._store, "remove from the trash"):
                freed += int(self._fs.info(path).get("size") or 0)
                self._fs.rm_file(path)
        return freed

    def _names(self) -> list[str]:
        try:
            with _told(self._store, "look into the trash"):
                found = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        names = (str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)
        return sorted(name for name in names if _BATCH.match(name))

    def _require(self, batch: str) -> TrashBatch:
        if batch not in self._names():
            raise NotFound(f"There is no batch '{batch}' in the trash; mien db trash list names them")
        return self._batch(batch)

    def _batch(self, name: str) -> TrashBatch:
        root = f"{self._root}/{name}"
        with _told(self._store, "look into the trash"):
            found: dict[str, dict[str, Any]] = self._fs.find(root, detail=True)
            about: Any = {}
            with suppress(OSError, ValueError):
                about = json.loads(self._fs.cat_file(f"{root}/{ABOUT}"))
        about = about if isinstance(about, dict) else {}
        prefix = root.strip("/") + "/"
        files = []
        for path, info in sorted(found.items()):
            inside = str(path).strip("/").removeprefix(prefix)
            if _ANY.match(inside):
                files.append(TrashedFile(inside, int(info.get("size") or 0)))
        when = datetime.strptime(name.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return TrashBatch(
            name, when, str(about.get("command", ""))[:200], str(about.get("actor", ""))[:100], tuple(files)
        )

    def _move(self, source: str, target: str) -> None:
        self._fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
        self._fs.mv(source, target)

    def _drop(self, batch: str) -> None:
        with _told(self._store, "empty the trash"), suppress(FileNotFoundError):
            self._fs.rm(f"{self._root}/{batch}", recursive=True)


class OpenBatch:
    """A batch that files are coming into."""

    def __init__(self, store: Store, name: str, command: str) -> None:
        self._store, self.name, self._command = store, name, command
        self._root = f"{store.root}/{FOLDER}/{name}"
        self._begun = False

    def take(self, sha256: str, *, untouched_since: datetime) -> int | None:
        """Move a file of the store here: its bytes, 0 when it is gone already; this machine's copy of it goes.

        None when it was put again after `untouched_since`: it is left, for a row may be about to refer to it.
        """
        inside = f"sha256/{sha256[:2]}/{sha256}"
        try:
            found = self._store.filed(sha256)
        except MissingObject:
            return 0
        if found.modified > untouched_since:
            return None
        self._begin()
        source, target = f"{self._store.root}/{inside}", f"{self._root}/{inside}"
        with _told(self._store, f"move {sha256} to the trash"):
            if not self._store.is_local:
                self._store.fs.mv(source, target)
                self._store.drop_cached(sha256)
                return found.bytes
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            try:
                Path(source).replace(target)  # from here on, whoever puts these bytes files them anew
            except FileNotFoundError:
                return 0
            if datetime.fromtimestamp(Path(target).stat().st_mtime, UTC) > untouched_since:
                with suppress(FileExistsError):
                    os.link(target, source)
                Path(target).unlink()
                return None
        return found.bytes

    def take_path(self, path: Path) -> None:
        """Move a file that lies beside the store's own (a run's note) here."""
        self._begin()
        folder = self._store.folder
        assert folder is not None
        target = Path(self._root) / path.relative_to(folder)
        with _told(self._store, f"move {path.name} to the trash"), suppress(FileNotFoundError):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def _begin(self) -> None:
        if self._begun:
            return
        about = {"command": self._command, "actor": audit_log.actor(), "until": (utc_now() + TERM).isoformat()}
        with _told(self._store, "begin a batch of the trash"):
            self._store.fs.makedirs(self._root, exist_ok=True)
            self._store.fs.pipe_file(f"{self._root}/{ABOUT}", json.dumps(about, indent=1).encode())
        self._begun = True


class _told:  # noqa: N801
    """What a place raises becomes a StoreError that says what could not be done; a file that is not there stays so."""

    def __init__(self, store: Store, doing: str) -> None:
        self._root, self._doing = store.root, doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, (StoreError, FileNotFoundError)) or not isinstance(error, Exception):
            return
        said = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
        raise StoreError(f"The store {self._root} could not {self._doing}: {said}; nothing was lost") from error
