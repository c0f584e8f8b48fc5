"""Manifest of a release: every file with its size and SHA-256, and the manifest's own hash beside it.

manifest.json          written last, so a folder without it is no release
manifest.json.sha256   the manifest's hash, in the form that `sha256sum --check` reads
manifest.json.minisig  its signature (or .sig, by ssh-keygen -Y); see processing.release.formats.signing

Schema 4: tombstones of face models. Schema 3: tombstones name kinds, expressions and versions; `no_longer`.
Schema 2: tombstones, selection_sha256.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from common.bounded.files import read_bytes
from common.bounded.limits import OutOfBounds
from common.files.atomic_write import write_new
from common.files.hashes import file_sha256
from common.guarding.safe_text import shown
from common.processors import usable_cpus
from processing.release.formats import manifest_limits
from processing.release.formats.errors import ManifestError
from processing.release.formats.tombstones import NoLonger, Tombstone

SCHEMA_VERSION = 4
MANIFEST = "manifest.json"
SIDECAR = "manifest.json.sha256"
SIGNATURES = ("manifest.json.minisig", "manifest.json.sig")  # in minisign's form, in OpenSSH's
OWN = (MANIFEST, SIDECAR, *SIGNATURES)  # what stands beside the files and is not among them
_HASH = re.compile(r"[0-9a-f]{64}")
_BATCH = 32


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A file of the release."""

    #: Relative, with '/'.
    path: str
    #: How many it has.
    bytes: int
    #: Of its content.
    sha256: str


@dataclass(frozen=True)
class ManifestHead:
    """What a manifest says beside its files: the fields of Manifest of these names."""

    name: str
    version: int
    #: ISO 8601.
    consent_day: str
    #: The studio's codes.
    subjects: tuple[str, ...]
    tombstones: tuple[Tombstone, ...] = ()
    selection_sha256: str | None = None
    no_longer: tuple[NoLonger, ...] = ()


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a release consists of."""

    #: SCHEMA_VERSION once it is read.
    schema_version: int
    name: str
    version: int
    #: The day on which every consent was valid, ISO 8601.
    consent_day: str
    #: The studio's codes.
    subjects: tuple[str, ...]
    files: tuple[FileEntry, ...]
    #: What is withdrawn of earlier versions.
    tombstones: tuple[Tombstone, ...] = ()
    #: Of the reviewed file it was built from; None where nobody reviewed one.
    selection_sha256: str | None = None
    #: What of earlier versions is not here, and may be kept.
    no_longer: tuple[NoLonger, ...] = ()

    @property
    def by_path(self) -> Mapping[str, FileEntry]:
        return {entry.path: entry for entry in self.files}

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files)


def hash_files(folder: Path, paths: Iterable[str], workers: int | None = None) -> dict[str, str | OSError]:
    """SHA-256 of files under `folder` in parallel (hashing releases the interpreter's lock); an error where unreadable.

    Symbolic links are never followed.
    """
    names = list(paths)
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
    if names and len(batches) < 4 * (workers or usable_cpus()):
        batches = [[name] for name in names]
    with ThreadPoolExecutor(workers or usable_cpus(), thread_name_prefix="mien-hash") as pool:
        hashed = pool.map(lambda batch: [(name, _hash(folder, name)) for name in batch], batches)
        return {name: digest for batch in hashed for name, digest in batch}


def make_manifest(folder: Path, files: Iterable[str], head: ManifestHead) -> Manifest:
    """Hash the files of a finished folder. Raises ManifestError for a file that cannot be read."""
    hashes = hash_files(folder, sorted(files))
    entries = []
    for path, digest in hashes.items():
        if isinstance(digest, OSError):
            raise ManifestError(f"{folder / path} cannot be read back: {digest.strerror}")
        entries.append(FileEntry(path, (folder / path).stat().st_size, digest))
    return Manifest(
        SCHEMA_VERSION,
        head.name,
        head.version,
        head.consent_day,
        head.subjects,
        tuple(entries),
        head.tombstones,
        head.selection_sha256,
        head.no_longer,
    )


def write_manifest(folder: Path, manifest: Manifest) -> str:
    """Write manifest and sidecar, durably, and return the manifest's hash."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    digest = hashlib.sha256(data).hexdigest()
    for name, content in ((SIDECAR, f"{digest}  {MANIFEST}\n".encode()), (MANIFEST, data)):
        write_new(folder / name, content)
    return digest


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a release folder and its hash. Raises ManifestError when it is not there or is not one.

    Says nothing about the files: see processing.release.holder.verify.
    """
    path = folder / MANIFEST
    try:
        data = read_bytes(path, manifest_limits.MAX_BYTES)
    except OutOfBounds as error:
        raise ManifestError(f"{path} is no manifest that is read: {error}") from None
    except OSError as error:
        raise ManifestError(f"{folder} is no release: its {MANIFEST} cannot be read ({error.strerror})") from None
    return decode_manifest(data, str(path)), hashlib.sha256(data).hexdigest()


def decode_manifest(data: bytes | bytearray, where: str) -> Manifest:
    """A manifest from its bytes, brought to today's schema. where: how messages call it. Raises ManifestError."""
    manifest_limits.check_size(data, where)
    try:
        manifest = _decoded(data, where)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"{where} is no manifest: {shown(error)}") from None
    manifest_limits.check_values(manifest, manifest.files, where)
    return manifest


def _decoded(data: bytes | bytearray, where: str) -> Manifest:
    head = msgspec.json.decode(data, type=_Head)
    if head.schema_version == SCHEMA_VERSION:  # most are, and may have a million files: not by way of plain values
        return msgspec.json.decode(data, type=Manifest)
    return msgspec.convert(_migrated(msgspec.json.decode(data), where), Manifest)


class _Head(msgspec.Struct, frozen=True):
    """What says how to read the rest."""

    schema_version: int


def _migrated(value: dict[str, Any], where: str) -> dict[str, Any]:
    """A manifest of an earlier schema as today's would say it. The folder is not touched: a release never changes."""
    version = value["schema_version"]
    if not 1 <= version <= SCHEMA_VERSION:
        raise ManifestError(
            f"{where} has schema version {version}, this Mien reads 1 to {SCHEMA_VERSION}; use a newer Mien"
        )
    for older, news in ((1, ("tombstones", "selection_sha256")), (2, ("no_longer",))):
        if version > older:
            continue
        later = sorted(set(news) & value.keys())
        if later:
            raise ManifestError(f"{where} says schema version {version} and has {', '.join(later)}: it was edited")
    if version == 2:  # whose tombstones meant every version up to the last
        for tombstone in _dicts(value.get("tombstones")):
            if {"takes", "versions"} & tombstone.keys() or tombstone.get("what") in ("take", "eyes"):
                raise ManifestError(f"{where} says schema version 2 and has tombstones of a later one: it was edited")
    if any("next" in stone or stone.get("what") == "model" for stone in _dicts(value.get("tombstones"))):
        raise ManifestError(f"{where} says schema version {version} and has tombstones of a later one: it was edited")
    value = {"tombstones": [], "selection_sha256": None, "no_longer": [], **value}
    value["schema_version"] = SCHEMA_VERSION
    return value


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def read_sidecar(folder: Path) -> str | None:
    """The manifest's hash as its sidecar has it; None when the sidecar is not there or says nothing."""
    try:
        return sidecar_hash(read_bytes(folder / SIDECAR, manifest_limits.SIDECAR_BYTES))
    except (OSError, OutOfBounds):
        return None


def sidecar_hash(data: bytes | bytearray) -> str | None:
    """The hash in a sidecar's bytes; None when they say none."""
    first = data.decode("ascii", "replace").split()
    return first[0] if first and _HASH.fullmatch(first[0]) else None


def _hash(folder: Path, name: str) -> str | OSError:
    try:
        return file_sha256(folder / name, follow=False)
    except OSError as error:
        return error
