"""Fetching a release, or a part of it, over HTTP: by ranges where a file was begun, by hash, again after faults.

The server needs to know nothing: a release folder behind any web server is enough. What is fetched lies under its final
name only when its hash is right; until then it is NAME.part, and goes on from there.
"""

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

import httpx

from common.bounded.files import read_bytes
from common.bounded.limits import OutOfBounds
from common.files.hashes import file_sha256
from common.guarding.safe_text import shown
from common.progress import Progress, no_progress
from common.take_codes import SubjectCode, TakeLabel
from processing.release.formats.errors import FetchError
from processing.release.formats.manifest import (
    MANIFEST,
    SIDECAR,
    SIGNATURES,
    FileEntry,
    Manifest,
    decode_manifest,
    sidecar_hash,
)
from processing.release.formats.manifest_limits import MAX_BYTES, SIDECAR_BYTES
from processing.release.formats.release_paths import PART, collisions, path_problem
from processing.release.formats.released_files import LAYOUT, SHARED_KIND
from processing.release.holder.download import TIMEOUT, Downloader, DownloadFault, WrongRange
from processing.release.holder.parallel_map import ordered_parallel_map

SHOWN = 20  # files that did not come
HOPELESS = 200  # failures, nearly all that was tried: the rest is not
SLOW_TRIES = 2  # of a file that comes too slowly
SILENT_TRIES = 3  # of a server that says nothing
SIGNATURE_BYTES = 1 << 16


@dataclass(frozen=True)
class FetchFilter:
    """Which part of a release: files that are all of this; empty: whatever it is.

    What is nobody's (lists, conventions, topology, calibrations) always comes; models where no subject and no
    expression is named.
    """

    #: Codes ('S012') or indexes ('12').
    subjects: tuple[str, ...] = ()
    #: Names ('smile') or labels ('2_smile').
    expressions: tuple[str, ...] = ()
    #: Of released_files.LAYOUT.
    kinds: tuple[str, ...] = ()
    #: Of paths, as in 'mesh/1/*'.
    patterns: tuple[str, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether a file is asked for. Raises FetchError for a kind that there is not."""
        unknown = sorted(set(self.kinds) - LAYOUT.kinds.keys())
        if unknown:
            raise FetchError(f"there is no kind '{unknown[0]}' of files; there are: {', '.join(LAYOUT.kinds)}")
        subject, label = LAYOUT.owner(path)
        if LAYOUT.kind_of(path) == SHARED_KIND:
            return True
        if subject is None and (self.subjects or self.expressions):  # a model is of many subjects
            return False
        if self.subjects and subject not in {_index(s) for s in self.subjects}:
            return False
        if self.expressions and label is not None and not _names(label) & set(self.expressions):
            return False
        if self.kinds and not any(fnmatchcase(path, pattern) for kind in self.kinds for pattern in LAYOUT.kinds[kind]):
            return False
        return not self.patterns or any(fnmatchcase(path, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class TransferSettings:
    """How files are asked for."""

    #: Files at a time.
    connections: int = 4
    #: Of each file.
    tries: int = 5
    #: Before a second try, s; doubled for each further one.
    wait_s: float = 0.5


@dataclass(frozen=True)
class FetchResult:
    """What came."""

    manifest: Manifest
    manifest_sha256: str
    #: How many were asked for.
    files: int
    #: Of these, those that were not here yet.
    fetched: int
    #: Over the wire.
    bytes: int


def fetch_release(
    url: str,
    out: Path,
    *,
    wanted: FetchFilter | None = None,
    manifest_sha256: str | None = None,
    transfer: TransferSettings | None = None,
    client: httpx.Client | None = None,
    auth: httpx.Auth | None = None,
    progress: Progress = no_progress,
) -> FetchResult:
    """Fetch the release at `url` (its folder) into `out`; what is there already and right is not fetched again.

    manifest_sha256: as published; without it the manifest is believed if its sidecar agrees.  auth: of a gated server,
    see processing.release.holder.token_access.
    Raises FetchError naming the files that did not come: the same command then goes on. Raises ManifestError for a
    manifest that is none.
    """
    wanted, transfer = wanted or FetchFilter(), transfer or TransferSettings()
    own = client is None
    client = client or httpx.Client(timeout=TIMEOUT, auth=auth)
    try:
        base = url.rstrip("/").removesuffix(f"/{MANIFEST}")
        fetcher = _Fetcher(client, base, out, transfer)
        manifest, digest = fetcher.manifest(manifest_sha256)
        entries = [entry for entry in manifest.files if wanted.takes(entry.path)]
        somebody = any(LAYOUT.kind_of(entry.path) for entry in manifest.files)  # a version may hold tombstones alone
        if somebody and not any(LAYOUT.kind_of(entry.path) for entry in entries):
            raise FetchError("nothing of the release is what was asked for; mien release show URL lists what there is")
        fetcher.check_room(entries)
        fetcher.keep_manifest()
        fetcher.all(entries, transfer.connections, progress)
        return FetchResult(manifest, digest, len(entries), fetcher.fetched, fetcher.received)
    finally:
        if own:
            client.close()


def fetch_manifest(
    url: str, *, transfer: TransferSettings | None = None, auth: httpx.Auth | None = None
) -> tuple[Manifest, str]:
    """The manifest of the release at `url`, and its hash. Raises FetchError, ManifestError."""
    with httpx.Client(timeout=TIMEOUT, auth=auth) as client:
        base = url.rstrip("/").removesuffix(f"/{MANIFEST}")
        return _Fetcher(client, base, None, transfer or TransferSettings()).manifest(None)


class _Fetcher:
    def __init__(self, client: httpx.Client, base: str, out: Path | None, transfer: TransferSettings) -> None:
        self.base, self.out, self.transfer = base, out, transfer
        self.downloader = Downloader(client)
        self.fetched, self.received = 0, 0
        self._count = threading.Lock()
        self._kept: dict[str, bytearray] = {}

    def manifest(self, published: str | None) -> tuple[Manifest, str]:
        """Read it and hold it against sidecar, published hash and what may stand in one. Raises FetchError."""
        sidecar, data = self._small(SIDECAR, SIDECAR_BYTES), self._small(MANIFEST, MAX_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        where = f"{shown(self.base)}/{MANIFEST}"
        if sidecar_hash(sidecar) != digest:
            raise FetchError(f"{where} is not what its {SIDECAR} says: it was changed or cut short")
        if published is not None and published != digest:
            raise FetchError(f"{where} has hash {digest}, published is {shown(published)}: do not use it")
        manifest = decode_manifest(data, where)
        wrong = next(((e.path, why) for e in manifest.files if (why := path_problem(e.path)) is not None), None)
        wrong = wrong or next(iter(collisions(entry.path for entry in manifest.files)), None)
        if wrong is not None:
            raise FetchError(f"{where} names '{shown(wrong[0])}', which {shown(wrong[1])}: nothing was fetched")
        self._kept = {MANIFEST: data, SIDECAR: sidecar}
        return manifest, digest

    def keep_manifest(self) -> None:
        """The manifest and its sidecar into the folder. Raises FetchError where another release is there."""
        assert self.out is not None
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            old = self.out / MANIFEST
            if os.path.lexists(old) and read_bytes(old, MAX_BYTES) != self._kept[MANIFEST]:
                raise FetchError(f"{self.out} holds another release or version; name another --out")
            for name, content in self._kept.items():
                temporary = self.out / f".{name}{PART}"
                with os.fdopen(_open_to_write(temporary, 0), "wb") as file:
                    file.write(content)
                temporary.replace(self.out / name)
            for name in SIGNATURES:
                signature = self._optional(name)
                if signature is not None:
                    (self.out / name).write_bytes(signature)
        except OutOfBounds:
            raise FetchError(f"{self.out} holds another release or version; name another --out") from None
        except OSError as error:
            raise FetchError(f"{self.out} cannot be fetched into: {error.strerror}") from None
        self._kept = {}

    def check_room(self, entries: Sequence[FileEntry]) -> None:
        """Raises FetchError when what is still to come is more than the disk has room for."""
        assert self.out is not None
        there = next(at for at in (self.out.absolute(), *self.out.absolute().parents) if at.exists())
        free = shutil.disk_usage(there).free
        if sum(entry.bytes for entry in entries) <= free:
            return
        left = sum(entry.bytes - _have(self.out / entry.path) for entry in entries)
        if left > free:
            raise FetchError(
                f"{left / 1e9:,.1f} GB are still to come and {there} has room for {free / 1e9:,.1f} GB; "
                "ask for a part (--subject, --kind), or name an --out on another disk"
            )

    def all(self, entries: Sequence[FileEntry], connections: int, progress: Progress) -> None:
        """Every file, several at a time. Raises FetchError naming those that did not come."""
        total = sum(entry.bytes for entry in entries) or 1
        done = tried = failures = 0
        failed: list[str] = []
        for entry, problem in ordered_parallel_map(self._one, entries, connections):
            done, tried = done + entry.bytes, tried + 1
            progress(done / total, shown(entry.path))
            if problem is None:
                continue
            failures += 1
            if len(failed) < SHOWN:
                failed.append(f"{shown(entry.path)}  {problem}")
            if failures >= HOPELESS and failures > 0.9 * tried:
                failed.append("and so on: the rest was not tried")
                break
        if failures:
            more = failures - SHOWN
            shown_too = "\n  ".join(failed) + (f"\n  and {more} more" if more > 0 else "")
            raise FetchError(
                f"{failures} of {len(entries)} files did not come; the same command goes on where it stopped:\n  "
                + shown_too
            )

    def _one(self, entry: FileEntry) -> str | None:
        """Why a file did not come; None when it is here."""
        assert self.out is not None
        path = self.out / entry.path
        part = path.with_name(path.name + PART)
        try:
            problem = _in_the_way(self.out, entry.path) or _in_the_way(self.out, entry.path + PART)
            if problem is not None:
                return problem
            if path.exists() and path.stat().st_size == entry.bytes and _hash(path) == entry.sha256:
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            anew = False

            def receive() -> None:
                nonlocal anew
                try:
                    self._receive(entry, part, 0 if anew else _have(part))
                except WrongRange:
                    anew = True
                    raise

            why = self._again(receive)
            if why is None:
                part.replace(path)
                with self._count:
                    self.fetched += 1
        except OSError as error:
            return f"cannot be written: {error.strerror}"
        return why

    def _receive(self, entry: FileEntry, part: Path, have: int) -> None:
        """Go on with a part to the end, and look at its hash; a whole file with a wrong hash is begun anew."""
        if have > entry.bytes:
            part.unlink()
            have = 0
        if have < entry.bytes or entry.bytes == 0:
            url = f"{self.base}/{quote(entry.path)}"
            with os.fdopen(_open_to_write(part, have), "wb", closefd=True) as file:
                try:
                    longer = "the server's file is longer than the manifest says"
                    for at, block in self.downloader.blocks(url, start=have, most=entry.bytes, longer=longer):
                        if at != file.tell():
                            file.seek(at)
                            file.truncate()
                        file.write(block)  # as it comes: what came before a connection drops is kept
                        with self._count:
                            self.received += len(block)
                finally:
                    file.flush()
                    os.fsync(file.fileno())
        size = part.stat().st_size
        if size != entry.bytes:
            raise DownloadFault(f"{size} of {entry.bytes} bytes came")
        if _hash(part) != entry.sha256:
            part.unlink()
            raise DownloadFault("its content is not what the manifest says")

    def _small(self, name: str, most: int) -> bytearray:
        """A file that is held in memory: manifest, sidecar. Raises FetchError."""
        found = bytearray()

        def receive() -> None:
            found.clear()
            longer = f"it has more than {most:,} bytes, and no more are read"
            looked = name != MANIFEST
            for _, block in self.downloader.blocks(f"{self.base}/{name}", start=0, most=most, longer=longer):
                found.extend(block)
                if not looked and len(found) >= 4096:  # before hundreds of megabytes of something else
                    looked = True
                    if not found.lstrip().startswith(b"{"):
                        raise DownloadFault("it is no manifest", lasting=True)

        problem = self._again(receive)
        if problem is not None:
            raise FetchError(f"{shown(self.base)} is no release that can be fetched: {name}: {problem}")
        return found

    def _optional(self, name: str) -> bytes | None:
        """A file that not every release has; where one should be there, mien release verify tells."""
        try:
            return bytes(self._small(name, SIGNATURE_BYTES))
        except FetchError:
            return None

    def _again(self, receive: Callable[[], None]) -> str | None:
        """Try until it is done, or say why it is not."""
        why = "no attempt"
        slow = silent_for = 0
        for attempt in range(self.transfer.tries):
            if attempt:
                time.sleep(self.transfer.wait_s * 2 ** (attempt - 1))
            try:
                receive()
                return None
            except DownloadFault as fault:
                why = str(fault)
                slow += fault.slow
                if fault.lasting or slow >= SLOW_TRIES:
                    return why
            except httpx.InvalidURL as error:
                return f"is no address: {shown(error)}"
            except httpx.UnsupportedProtocol as error:
                return shown(error)
            except httpx.HTTPError as error:
                why = f"{type(error).__name__}: {shown(error)}".rstrip(": ")
                silent_for += isinstance(error, httpx.TimeoutException)
                if silent_for >= SILENT_TRIES:
                    break
            except OSError as error:
                return f"cannot be written: {error.strerror}"
        return f"{why} ({attempt + 1} tries)"


def _in_the_way(out: Path, path: str) -> str | None:
    """A link, a file where a folder should be, or a pipe: never written through."""
    at = out
    parts = Path(path).parts
    for number, part in enumerate(parts):
        at = at / part
        if at.is_symlink():
            return f"{shown(at)} is a symbolic link; remove it"
        last = number == len(parts) - 1
        if at.exists() and not (at.is_file() if last else at.is_dir()):
            return f"{shown(at)} is no {'file' if last else 'folder'}; move it away"
    return None


def _have(path: Path) -> int:
    """Bytes of a file that are here already."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _open_to_write(path: Path, keep: int) -> int:
    """A descriptor at byte `keep` of a file, the rest of which is dropped; never through a link, never of a pipe."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o666)
    try:
        os.ftruncate(handle, keep)  # refused for what is no file
        os.lseek(handle, keep, os.SEEK_SET)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _hash(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return file_sha256(path, follow=False)
    return None


def _index(subject: str) -> str:
    """'S012' or '12' -> '12'."""
    code = SubjectCode.find(f"S{subject.lstrip('Ss')}")
    return subject if code is None else str(code.number)


def _names(label: str) -> set[str]:
    """What an expression may be called: '2_smile' -> '2_smile', 'smile'."""
    found = TakeLabel.find(label)
    return {label} if found is None else {label, found.name}
