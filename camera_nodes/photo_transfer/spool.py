"""Photographs on the node's disk, from the camera until the controller has stored them.

An entry is a folder `<entry>/` with `photo` and `entry.json` (what is known of it).  It is made under a name
beginning with a dot, each file and the folder synced, then renamed: it appears whole or not at all.  A node killed
before the rename finds the folder at its next start: when the hash agrees it is a whole photograph and is taken in,
otherwise it is set aside in `damaged/` and named, never silently deleted.
"""

import errno
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from camera_nodes.errors import SpoolError, SpoolFull
from common.computer import computer_id
from common.files.atomic_write import write_new
from common.files.durable import fsync_folder
from common.files.hashes import file_sha256
from common.photograph_facts import Id, PhotographFacts, Sha256

_MAKING = "."  # begins the name of a folder not yet whole
_GOING = "~"  # ends the name of one being deleted; no entry's name has it
STRAYS = "strays"
_ASIDE = ("damaged", "rejected", STRAYS)
_ID = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")


class StrayFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file that is no exposure's; the content of its entry.json in the tray."""

    camera: Id  # the rig's name of the camera
    path: str  # where on the body it was
    sha256: Sha256  # of its bytes
    bytes: int  # how many
    reason: str  # why it was set aside
    found_at: str  # UTC, ISO 8601
    take_id: str = ""  # the take that it was looked at for


@dataclass
class Spool:
    """A folder of entries, held by one node."""

    folder: Path  # where
    min_free_bytes: int = 200_000_000  # left free on its disk
    damaged: list[str] = field(default_factory=list)  # what was set aside when it was opened, in words
    _entries: dict[str, PhotographFacts] = field(default_factory=dict)  # by name

    def __post_init__(self) -> None:
        """Raises SpoolError when the folder cannot be made or read."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(self.folder.iterdir()):
                if path.is_dir() and path.name not in _ASIDE:
                    self._take_in(path)
        except OSError as error:
            raise SpoolError(f"the spool {self.folder} cannot be used: {error.strerror}") from None

    def disk(self, computer: str) -> str:
        """Names the disk under the spool, alike for all nodes of this computer; empty where that cannot be told.

        computer: the name under which the studio is to show this computer; its host name when empty.
        """
        here = computer_id(computer)
        try:
            return f"{here}:{self.folder.stat().st_dev}" if here else ""
        except OSError:
            return ""

    def _take_in(self, path: Path) -> None:
        if path.name.endswith(_GOING):
            shutil.rmtree(path, ignore_errors=True)
            return
        unfinished = path.name.startswith(_MAKING)
        entry = _read_entry(path)
        if entry is not None and (path / "photo").is_file():
            whole = (path / "photo").stat().st_size == entry.bytes
            if whole and unfinished:  # the rename is what was missing; it is worth the reading
                whole = file_sha256(path / "photo") == entry.sha256
            if whole and (unfinished or entry.entry == path.name):
                if unfinished:
                    path.rename(self.folder / entry.entry)
                    fsync_folder(self.folder)
                self._entries[entry.entry] = entry
                return
        if unfinished and not any(path.iterdir()):
            path.rmdir()
            return
        kept = self._set_aside(path, "damaged")
        self.damaged.append(f"a photograph was cut off while it was written; what there is of it is in {kept}")

    def put(self, photo: PhotographFacts, data: bytes) -> None:
        """Write a photograph, or the raw file of the same exposure; when this returns it survives a power cut.

        photo: what is known of it, the hash and the length of `data` too.  Raises SpoolFull (nothing is left behind)
        or SpoolError.
        """
        key = photo.entry
        if not _ID.match(key):
            raise SpoolError(f"{key!r} cannot name an entry")
        if key in self._entries:
            raise SpoolError(f"the spool holds a photograph of {key} already")
        if self.free_bytes() - len(data) < self.min_free_bytes:
            raise SpoolFull(f"the disk of the spool {self.folder} is full: {self.free_bytes() / 1e6:.0f} MB are free")
        self._make(self.folder / key, data, photo)
        self._entries[key] = photo

    def put_stray(self, stray: StrayFile, data: bytes) -> Path:
        """Put a file that is no exposure's into the tray; once only, however often it is found.

        Returns its folder there (`photo`, `entry.json`).  Raises SpoolFull or SpoolError.
        """
        tray = self.folder / STRAYS
        for folder in self.strays():
            if (known := read_stray_file(folder)) is not None and known.sha256 == stray.sha256:
                return folder
        if self.free_bytes() - len(data) < self.min_free_bytes:
            raise SpoolFull(f"the disk of the spool {self.folder} is full: {self.free_bytes() / 1e6:.0f} MB are free")
        tray.mkdir(exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", stray.path.rpartition("/")[2])[:100].lstrip(".") or "file"
        target = tray / f"{stray.sha256[:12]}-{name}"
        self._make(target, data, stray)
        return target

    def strays(self) -> list[Path]:
        """What is in the tray, a folder each."""
        tray = self.folder / STRAYS
        return sorted(path for path in tray.iterdir() if not path.name.startswith(_MAKING)) if tray.is_dir() else []

    def _make(self, target: Path, data: bytes, about: msgspec.Struct) -> None:
        making = target.with_name(f"{_MAKING}{target.name}")
        try:
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            write_new(making / "photo", data)
            write_new(making / "entry.json", msgspec.json.encode(about))
            fsync_folder(making)
            making.rename(target)
            fsync_folder(target.parent)
        except OSError as error:
            shutil.rmtree(making, ignore_errors=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFull(f"the disk of the spool {self.folder} is full") from None
            raise SpoolError(f"the spool {self.folder} cannot be written: {error.strerror}") from None

    def entries(self) -> list[PhotographFacts]:
        """Whole files waiting, photographs before raw files, oldest name first."""
        return sorted(self._entries.values(), key=lambda entry: (entry.kind, entry.entry))

    def get(self, key: str) -> PhotographFacts | None:
        """The entry of that name, or None."""
        return self._entries.get(key)

    def holds(self, key: str) -> bool:
        """Whether the entry waits here, or was set aside here."""
        return key in self._entries or any((self.folder / aside / key).exists() for aside in _ASIDE)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def total_bytes(self) -> int:
        """Bytes of all photographs waiting."""
        return sum(entry.bytes for entry in list(self._entries.values()))

    def free_bytes(self) -> int:
        """Bytes free on the spool's disk."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def read(self, key: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on.  Raises SpoolError for an unknown entry or an unreadable file."""
        if key not in self._entries:
            raise SpoolError(f"the spool holds no {key}")
        try:
            with (self.folder / key / "photo").open("rb") as stream:
                stream.seek(offset)
                return stream.read(size)
        except OSError as error:
            raise SpoolError(f"{self.folder / key} cannot be read: {error.strerror}") from None

    def remove(self, key: str, sha256: str) -> bool:
        """Delete an entry that the controller has stored.  False, and nothing done, when name or hash do not agree."""
        entry = self._entries.get(key)
        if entry is None or entry.sha256 != sha256:
            return False
        del self._entries[key]
        gone = self.folder / f"{_MAKING}{key}{_GOING}"  # first out of sight, then away: never half an entry
        (self.folder / key).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def reject(self, key: str) -> Path | None:
        """Set an entry aside that the controller has no use for.  Returns where it is now."""
        if self._entries.pop(key, None) is None:
            return None
        return self._set_aside(self.folder / key, "rejected")

    def _set_aside(self, path: Path, where: str) -> Path:
        (self.folder / where).mkdir(exist_ok=True)
        name = path.name.lstrip(_MAKING)
        target = self.folder / where / name
        number = 1
        while target.exists():
            number += 1
            target = self.folder / where / f"{name}.{number}"
        path.rename(target)
        return target


def read_stray_file(path: Path) -> StrayFile | None:
    """What the tray says of the file in this folder."""
    try:
        return msgspec.json.decode((path / "entry.json").read_bytes(), type=StrayFile)
    except (OSError, msgspec.MsgspecError):
        return None


def _read_entry(path: Path) -> PhotographFacts | None:
    try:
        return msgspec.json.decode((path / "entry.json").read_bytes(), type=PhotographFacts)
    except (OSError, msgspec.MsgspecError):
        return None
