"""Limits of a manifest, before it is decoded and after: it comes from whoever runs the server.

A whole study with its photographs (847 subjects, 20 expressions, 76 files each) has 1.3 million files and 215 MB of
manifest. Decoded it takes some 450 MB; the bounds leave room for half as much again.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from common.bounded.json_toml import check_json
from common.bounded.limits import OutOfBounds
from common.guarding.safe_text import is_plain, shown
from processing.release.formats.errors import ManifestError
from processing.release.formats.release_paths import name_problem

MAX_BYTES = 400_000_000
MAX_FILES = 2_000_000
MAX_VALUES = 12_000_000  # commas and brackets: an entry of a file has four
MAX_FILE_BYTES = 1 << 42  # 4 TiB
MAX_VERSION = 1_000_000
SIDECAR_BYTES = 10_000
_HASH = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class _Entry(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...


class _Tombstone(Protocol):
    @property
    def code(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def last_version(self) -> int: ...
    @property
    def next(self) -> str: ...


class _Manifest(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def consent_day(self) -> str: ...
    @property
    def subjects(self) -> tuple[str, ...]: ...
    @property
    def tombstones(self) -> Sequence[_Tombstone]: ...


def check_size(data: bytes | bytearray, where: str) -> None:
    """Before it is decoded. Raises ManifestError."""
    try:
        check_json(data, MAX_BYTES, MAX_VALUES)
        if data.count(b"{") > MAX_FILES + 100_000:
            raise OutOfBounds(f"it names more than {MAX_FILES:,} files")
    except OutOfBounds as error:
        raise ManifestError(f"{where} is no manifest that is read: {error}") from None


def check_values(manifest: _Manifest, files: Sequence[_Entry], where: str) -> None:
    """Name, version, codes, sizes and hashes; paths are looked at by those who use them. Raises ManifestError."""
    why = name_problem(manifest.name)
    if why is not None:
        raise ManifestError(f"{where} calls its release '{shown(manifest.name)}', which {why}")
    if not 1 <= manifest.version <= MAX_VERSION:
        raise ManifestError(f"{where} has version {manifest.version}; versions are 1 to {MAX_VERSION:,}")
    if not _DAY.fullmatch(manifest.consent_day):
        raise ManifestError(f"{where} has the consent day '{shown(manifest.consent_day)}', which is no date")
    for tombstone in manifest.tombstones:
        if not 0 <= tombstone.index <= 1 << 31 or not 0 <= tombstone.last_version <= MAX_VERSION:
            raise ManifestError(f"{where} has a withdrawal with numbers that no release has")
        if len(tombstone.next) > 100 or (tombstone.next and not is_plain(tombstone.next)):
            raise ManifestError(f"{where} names a model '{shown(tombstone.next)}', which is no name")
    for code in (*manifest.subjects, *(tombstone.code for tombstone in manifest.tombstones)):
        if not 0 < len(code) <= 100 or not is_plain(code):
            raise ManifestError(f"{where} names a subject '{shown(code)}', which is no code")
    if len(files) > MAX_FILES:
        raise ManifestError(f"{where} names {len(files):,} files; at most {MAX_FILES:,} are read")
    for entry in files:
        if not 0 <= entry.bytes <= MAX_FILE_BYTES:
            raise ManifestError(f"{where} says that '{shown(entry.path)}' has {shown(entry.bytes, 40)} bytes")
        if not _HASH.fullmatch(entry.sha256):
            raise ManifestError(f"{where} has no SHA-256 for '{shown(entry.path)}'")
