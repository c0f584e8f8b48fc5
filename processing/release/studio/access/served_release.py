"""Served release: its folder as a server gives it, what the manifest names and nothing else, no link followed."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from common.files.hashes import file_sha256
from processing.release.formats.errors import ReleaseError
from processing.release.formats.manifest import MANIFEST, OWN, read_manifest
from processing.release.formats.release_paths import path_problem
from processing.release.formats.released_files import LAYOUT, LICENCE, SHARED_KIND

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True)
class ServedFile:
    """A file that may leave."""

    #: In the release.
    path: str
    #: Its place in the manifest; None for what lies beside.
    number: int | None
    #: As the manifest has it.
    bytes: int
    sha256: str
    #: Of released_files.LAYOUT; SHARED_KIND for what everybody gets.
    kind: str


class NotServed(Exception):
    """A file is not what the manifest says, or is reached by a link: it does not leave."""


class ServedRelease:
    """One version, ready to be given. licence_sha256: of its LICENCE.txt, which a recipient must have signed."""

    def __init__(self, folder: Path) -> None:
        """Raises ReleaseError for a folder that is no release, or that names what no release may."""
        self.folder = folder.resolve()
        self.manifest, self.manifest_sha256 = read_manifest(self.folder)
        self.name, self.version = self.manifest.name, self.manifest.version
        self.place = f"{self.name}-{self.version}"
        self.items: dict[str, ServedFile] = {}
        for number, entry in enumerate(self.manifest.files):
            problem = path_problem(entry.path)
            if problem is not None or entry.path in self.items:
                raise ReleaseError(f"{folder}: its manifest names '{entry.path}', which {problem or 'stands twice'}")
            kind = LAYOUT.kind_of(entry.path)
            self.items[entry.path] = ServedFile(entry.path, number, entry.bytes, entry.sha256, kind)
        for name in OWN:
            self._beside(name)
        if self.items[MANIFEST].sha256 != self.manifest_sha256:
            raise ReleaseError(f"{folder}: its {MANIFEST} is being changed; a release never changes")
        licence = self.items.get(LICENCE.path)
        if licence is None:
            raise ReleaseError(f"{folder} has no {LICENCE.path}: nobody can have signed it")
        self.licence_sha256 = licence.sha256
        self._wanted: dict[frozenset[str], frozenset[int]] = {}

    def wanted(self, kinds: frozenset[str]) -> frozenset[int]:
        """The numbers of all files that these kinds, with what is everybody's, come to."""
        if kinds not in self._wanted:
            self._wanted[kinds] = frozenset(
                item.number
                for item in self.items.values()
                if item.number is not None and (not item.kind or item.kind in kinds)
            )
        return self._wanted[kinds]

    def open(self, item: ServedFile) -> int:
        """A descriptor of the file, as large as it was released. Raises NotServed."""
        at = os.open(self.folder, _FLAGS | os.O_DIRECTORY)
        try:
            *folders, name = item.path.split("/")
            for part in folders:
                deeper = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=at)
                os.close(at)
                at = deeper
            file = os.open(name, _FLAGS | os.O_NONBLOCK, dir_fd=at)
        except OSError as error:
            raise NotServed(f"{self.place}/{item.path} cannot be opened: {error.strerror}") from None
        finally:
            os.close(at)
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size != item.bytes:
            os.close(file)
            raise NotServed(f"{self.place}/{item.path} is not the file that was released")
        return file

    def _beside(self, name: str) -> None:
        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            return
        self.items[name] = ServedFile(name, None, path.stat().st_size, file_sha256(path), SHARED_KIND)
