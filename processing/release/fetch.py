"""A release, or a part of it, over HTTP: by ranges where a file was begun, every file by its hash, again after faults.

The server needs to know nothing: a release folder behind any web server is enough. What is fetched lies under its final
name only when its hash is right; until then it is NAME.part, and goes on from there.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote

import httpx

from processing.progress import Progress, silent
from processing.release.errors import FetchError
from processing.release.manifest import (
    MANIFEST,
    SIDECAR,
    SIGNATURES,
    FileEntry,
    Manifest,
    Tombstone,
    decode_manifest,
    path_problem,
    sidecar_hash,
)

TRIES = 5
TIMEOUT_S = 30.0
KINDS = {
    "mesh": ("*/models_reg/*.obj", "*/models_reg/*.obj.mtl"),
    "texture": ("*/models_reg/*.jpg",),
    "displacement": ("*/dpmap/*.png",),
    "exr": ("*/dpmap/*.exr",),
    "scan": ("mesh/*/*.ply",),
    "photographs": ("img/*/*/*",),
    "facts": ("meta/*/*.json", "checks/*.png"),
}
PART = ".part"


@dataclass(frozen=True)
class Wanted:
    """Which part: files that are all of this. subjects: codes or indexes; expressions: names or '2_smile'; kinds: of
    KINDS; patterns: of paths. What is nobody's (lists, conventions, topology, rigs) always comes.
    """

    subjects: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether a file is asked for. Raises FetchError for a kind that there is not."""
        unknown = sorted(set(self.kinds) - KINDS.keys())
        if unknown:
            raise FetchError(f"there is no kind '{unknown[0]}' of files; there are: {', '.join(KINDS)}")
        subject, label = whose(path)
        if subject is None:
            return True
        if self.subjects and subject not in {_index(s) for s in self.subjects}:
            return False
        if self.expressions and label is not None and not {label, label.partition("_")[2]} & set(self.expressions):
            return False
        if self.kinds and not any(fnmatchcase(path, pattern) for kind in self.kinds for pattern in KINDS[kind]):
            return False
        return not self.patterns or any(fnmatchcase(path, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class Fetched:
    """What came. files: asked for; fetched: of these, those that were not here yet; bytes: over the wire."""

    manifest: Manifest
    manifest_sha256: str
    files: int
    fetched: int
    bytes: int


def fetch_release(
    url: str,
    out: Path,
    *,
    wanted: Wanted | None = None,
    manifest_sha256: str | None = None,
    connections: int = 4,
    tries: int = TRIES,
    wait_s: float = 0.5,
    client: httpx.Client | None = None,
    auth: httpx.Auth | None = None,
    progress: Progress = silent,
) -> Fetched:
    """Fetch the release at `url` (its folder) into `out`; what is there already and right is not fetched again.

    manifest_sha256: as published; without it the manifest is believed if its sidecar agrees.  tries: of each file,
    with pauses that double from wait_s.  auth: of a gated server, see processing.release.access.
    Raises FetchError naming the files that did not come: the same command then goes on. Raises ManifestError for a
    manifest that is none.
    """
    wanted = wanted or Wanted()
    own = client is None
    client = client or httpx.Client(
        timeout=TIMEOUT_S, follow_redirects=True, headers={"Accept-Encoding": "identity"}, auth=auth
    )
    try:
        base = url.rstrip("/").removesuffix(f"/{MANIFEST}")
        fetcher = _Fetcher(client, base, out, tries, wait_s)
        manifest, digest = fetcher.manifest(manifest_sha256)
        climbing = [(entry.path, why) for entry in manifest.files if (why := path_problem(entry.path))]
        if climbing:
            path, why = climbing[0]
            raise FetchError(f"the manifest at {base} names '{path}', which {why}: nothing was fetched")
        entries = [entry for entry in manifest.files if wanted.takes(entry.path)]
        somebody = any(whose(entry.path)[0] for entry in manifest.files)  # a version may hold tombstones alone
        if somebody and not any(whose(entry.path)[0] for entry in entries):
            raise FetchError("nothing of the release is what was asked for; mien release show URL lists what there is")
        fetcher.all(entries, connections, progress)
        return Fetched(manifest, digest, len(entries), fetcher.fetched, fetcher.received)
    finally:
        if own:
            client.close()


def fetch_manifest(
    url: str, *, tries: int = TRIES, wait_s: float = 0.5, auth: httpx.Auth | None = None
) -> tuple[Manifest, str]:
    """The manifest of the release at `url`, and its hash. Raises FetchError, ManifestError."""
    with httpx.Client(
        timeout=TIMEOUT_S, follow_redirects=True, headers={"Accept-Encoding": "identity"}, auth=auth
    ) as client:
        base = url.rstrip("/").removesuffix(f"/{MANIFEST}")
        return _Fetcher(client, base, None, tries, wait_s).manifest(None)


class _Fetcher:
    def __init__(self, client: httpx.Client, base: str, out: Path | None, tries: int, wait_s: float) -> None:
        self.client, self.base, self.out, self.tries, self.wait_s = client, base, out, tries, wait_s
        self.fetched, self.received = 0, 0
        self._count = threading.Lock()

    def manifest(self, published: str | None) -> tuple[Manifest, str]:
        """Read it, hold it against sidecar and published hash, and keep both files. Raises FetchError."""
        data, sidecar = self._small(MANIFEST), self._small(SIDECAR)
        digest = hashlib.sha256(data).hexdigest()
        if sidecar_hash(sidecar) != digest:
            raise FetchError(f"{self.base}/{MANIFEST} is not what its {SIDECAR} says: it was changed or cut short")
        if published is not None and published != digest:
            raise FetchError(f"{self.base}/{MANIFEST} has hash {digest}, published is {published}: do not use it")
        manifest = decode_manifest(data, f"{self.base}/{MANIFEST}")
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            old = self.out / MANIFEST
            if old.exists() and old.read_bytes() != data:
                raise FetchError(f"{self.out} holds another release or version; name another --out")
            for name, content in ((MANIFEST, data), (SIDECAR, sidecar)):
                temporary = self.out / f".{name}{PART}"
                temporary.write_bytes(content)
                temporary.replace(self.out / name)
            for name in SIGNATURES:
                signature = self._optional(name)
                if signature is not None:
                    (self.out / name).write_bytes(signature)
        return manifest, digest

    def all(self, entries: Sequence[FileEntry], connections: int, progress: Progress) -> None:
        """Every file, several at a time. Raises FetchError naming those that did not come."""
        total = sum(entry.bytes for entry in entries) or 1
        done = 0
        failed: list[str] = []
        with ThreadPoolExecutor(max(1, connections), thread_name_prefix="mien-fetch") as pool:
            outcomes = pool.map(self._one, entries)
            try:
                for entry, problem in zip(entries, outcomes, strict=True):
                    done += entry.bytes
                    progress(done / total, entry.path)
                    if problem is not None:
                        failed.append(f"{entry.path}  {problem}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failed:
            shown = "\n  ".join(failed[:20]) + (f"\n  and {len(failed) - 20} more" if len(failed) > 20 else "")
            raise FetchError(
                f"{len(failed)} of {len(entries)} files did not come; the same command goes on where it stopped:\n  "
                + shown
            )

    def _one(self, entry: FileEntry) -> str | None:
        """Why a file did not come; None when it is here."""
        assert self.out is not None
        path = self.out / entry.path
        problem = _in_the_way(self.out, entry.path)
        if problem is not None:
            return problem
        if path.exists() and path.stat().st_size == entry.bytes and _hash(path) == entry.sha256:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + PART)
        why = self._again(lambda: self._receive(entry, part))
        if why is None:
            part.replace(path)
            with self._count:
                self.fetched += 1
        return why

    def _receive(self, entry: FileEntry, part: Path) -> None:
        """Go on with a part to the end, and look at its hash; a whole file with a wrong hash is begun anew."""
        have = part.stat().st_size if part.exists() else 0
        if have > entry.bytes:
            part.unlink()
            have = 0
        if have < entry.bytes or entry.bytes == 0:
            headers = {"Range": f"bytes={have}-"} if have else {}
            url = f"{self.base}/{quote(entry.path)}"
            with self.client.stream("GET", url, headers=headers) as answer:
                if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.unlink(missing_ok=True)
                    raise _Fault("the server's file is shorter than the manifest says")
                if answer.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                    raise _Fault(f"the server answers {answer.status_code}", lasting=_lasting(answer.status_code))
                goes_on = answer.status_code == httpx.codes.PARTIAL_CONTENT and _starts_at(answer, have)
                self._write(answer, part, goes_on, entry.bytes)
        size = part.stat().st_size
        if size != entry.bytes:
            raise _Fault(f"{size} of {entry.bytes} bytes came")
        if _hash(part) != entry.sha256:
            part.unlink()
            raise _Fault("its content is not what the manifest says")

    def _write(self, answer: httpx.Response, part: Path, goes_on: bool, most: int) -> None:
        with part.open("ab" if goes_on else "wb") as file:
            try:
                for block in answer.iter_raw():  # as it comes: what came before a connection drops is kept
                    file.write(block)
                    with self._count:
                        self.received += len(block)
                    if file.tell() > most:
                        raise _Fault("the server's file is longer than the manifest says", lasting=True)
            finally:
                file.flush()
                os.fsync(file.fileno())

    def _small(self, name: str) -> bytes:
        found: list[bytes] = []

        def receive() -> None:
            answer = self.client.get(f"{self.base}/{name}")
            if answer.status_code != httpx.codes.OK:
                raise _Fault(f"the server answers {answer.status_code}", lasting=_lasting(answer.status_code))
            found.append(answer.content)

        problem = self._again(receive)
        if problem is not None:
            raise FetchError(f"{self.base} is no release that can be fetched: {name}: {problem}")
        return found[-1]

    def _optional(self, name: str) -> bytes | None:
        """A file that not every release has; where one should be there, mien release verify tells."""
        try:
            return self._small(name)
        except FetchError:
            return None

    def _again(self, receive: Callable[[], None]) -> str | None:
        """Try until it is done, or say why it is not."""
        why = "no attempt"
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self.wait_s * 2 ** (attempt - 1))
            try:
                receive()
                return None
            except _Fault as fault:
                why = str(fault)
                if fault.lasting:
                    return why
            except httpx.InvalidURL as error:
                return f"is no address: {error}"
            except httpx.UnsupportedProtocol as error:
                return f"{error}"
            except httpx.HTTPError as error:
                why = f"{type(error).__name__}: {error}".rstrip(": ")
            except OSError as error:
                return f"cannot be written: {error.strerror}"
        return f"{why} ({self.tries} tries)"


class _Fault(Exception):
    """One attempt failed. lasting: another would too."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        super().__init__(why)
        self.lasting = lasting


def withdrawn_by(manifests: Iterator[Manifest] | Sequence[Manifest]) -> list[Tombstone]:
    """Everyone who has withdrawn by these later versions."""
    return [stone for manifest in manifests for stone in manifest.tombstones]


def _lasting(status: int) -> bool:
    """Whether a status stays: a missing file does, an overloaded server does not."""
    return 400 <= status < 500 and status not in (408, 425, 429)


def _starts_at(answer: httpx.Response, have: int) -> bool:
    said = str(answer.headers.get("Content-Range", ""))
    return said.removeprefix("bytes ").startswith(f"{have}-")


def _in_the_way(out: Path, path: str) -> str | None:
    """A link or a file where a folder should be: never written through."""
    at = out
    parts = Path(path).parts
    for number, part in enumerate(parts):
        at = at / part
        if at.is_symlink():
            return f"{at} is a symbolic link; remove it"
        if number < len(parts) - 1 and at.exists() and not at.is_dir():
            return f"{at} is no folder; move it away"
    return None


def _hash(path: Path) -> str | None:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
    return None


def whose(path: str) -> tuple[str | None, str | None]:
    """Index and label that a file belongs to: '1/dpmap/2_smile.png' -> ('1', '2_smile')."""
    parts = path.split("/")
    if parts[0].isdecimal() and len(parts) > 2:
        return parts[0], parts[2].partition(".")[0]
    if parts[0] in ("img", "mesh", "meta") and len(parts) > 2:
        return parts[1], parts[2].partition(".")[0]
    if parts[0] == "checks" and len(parts) == 2:
        return parts[1].partition(".")[0], None
    return None, None


def _index(subject: str) -> str:
    """'S012' or '12' -> '12'."""
    return str(int(subject.lstrip("Ss"))) if subject.lstrip("Ss").isdecimal() else subject
