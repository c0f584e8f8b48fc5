"""All that is kept of one person in one archive: for who asks to see it, or to carry it elsewhere.

The archive is written beside its place and takes it when it is whole; its owner alone may read it. Files pass through a
block at a time, so that a person's hundred gigabytes need no memory.
"""

import fcntl
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import Engine

from db.audit import audit_log
from db.audit_replay import one_snapshot
from db.consents.study_settings import StudySettings
from db.engine import reading, transaction, utc_now
from db.errors import AlreadyThere, MissingObject, PersonalKeyError, RecordError, StoreError
from db.store import Store
from db.subject_data.consent_receipts import as_html, as_record, receipt_of
from db.subject_data.personal_data import has_personal, personal_of
from db.subject_data.subject_rows import Holders, KeptFile, SubjectRecords, subject_records
from db.subjects import get_subject

_BLOCK = 1 << 20
_MAGIC = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}


@dataclass(frozen=True)
class ExportReport:
    """What an archive holds."""

    code: str
    path: Path
    files: int
    bytes: int
    missing: tuple[tuple[str, str], ...]  # files that the store could not give, and why
    personal: str  # 'none is kept', 'in personal.json', or why not


def export_subject(
    engine: Engine,
    store: Store,
    study: StudySettings,
    code: str,
    target: Path,
    *,
    holders: Holders | None = None,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> ExportReport:
    """Write all that is kept of `code` to a new ZIP file.

    told: called with how many files are in, of how many. What the store cannot give is named in the archive.
    Raises NotFound, AlreadyThere for a file that is there, RecordError where it cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise AlreadyThere(f"{target} is there already: another name, or remove it first")
    with reading(engine) as tx:
        one_snapshot(tx)
        subject = get_subject(tx, code)
        records, receipt = subject_records(tx, subject, holders), receipt_of(tx, subject, study)
    person, personal = _personal(engine, code)
    with _whole(target) as (file, archive):
        _write_json(archive, "records.json", dict(records.tables))
        _write_json(archive, "receipt.json", as_record(receipt))
        archive.writestr(_entry("receipt.html"), as_html(receipt))
        if person is not None:
            _write_json(archive, "personal.json", person)
        missing = []
        for number, kept in enumerate(records.files, start=1):
            problem = _copy(store, kept, archive)
            if problem:
                missing.append((kept.name, problem))
            told(number, len(records.files))
        archive.writestr(_entry("README.txt"), _readme(records, personal, missing))
        archive.close()
        file.flush()
        size = file.tell()
    with transaction(engine) as tx:
        detail = {"files": len(records.files) - len(missing), "missing": len(missing), "bytes": size}
        audit_log.record(tx, "subject.export", "subject", code, {**detail, "personal": person is not None})
    return ExportReport(code, target, len(records.files) - len(missing), size, tuple(missing), personal)


def _personal(engine: Engine, code: str) -> tuple[Mapping[str, str] | None, str]:
    with transaction(engine) as tx:
        subject = get_subject(tx, code)
        if not has_personal(tx, subject):
            return None, "none is kept"
        try:
            return personal_of(tx, subject), "in personal.json"
        except PersonalKeyError:
            return None, "sealed, and the key was not there: export again with MIEN_PERSONAL_KEY_FILE set"


@contextmanager
def _whole(target: Path) -> Iterator[tuple[IO[bytes], zipfile.ZipFile]]:
    """A new file that takes its name when all of it is on the disk, or is gone."""
    prefix = f".{target.name}."
    try:
        _sweep(target.parent, prefix)
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=target.parent)  # 0600
    except OSError as error:
        raise RecordError(f"{target} cannot be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                yield file, archive
            file.flush()
            os.fsync(handle)
            if target.exists():
                raise AlreadyThere(f"{target} came meanwhile: another name, or remove it first")
            temporary.rename(target)
    except OSError as error:
        if error.filename is None:
            error.filename = str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(folder: Path, prefix: str) -> None:
    """Remove what a process that was killed left: faces lie in it. One that is being written is locked, and stays."""
    for left in folder.glob(f"{prefix}*.part"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _copy(store: Store, kept: KeptFile, archive: zipfile.ZipFile) -> str:
    """Copy a file of the store in; what is wrong with it, empty when nothing is."""
    try:
        source = store.open(kept.sha256)
    except MissingObject:
        return "not in the store"
    except StoreError as error:
        return str(error)
    digest = hashlib.sha256()
    with source:
        block = source.read(_BLOCK)
        name = kept.name
        if "." not in name.rpartition("/")[2]:
            name += next((end for magic, end in _MAGIC.items() if block.startswith(magic)), ".bin")
        with archive.open(_entry(name), "w", force_zip64=True) as target:
            while block:
                digest.update(block)
                target.write(block)
                block = source.read(_BLOCK)
    return "" if digest.hexdigest() == kept.sha256 else "damaged in the store: the copy here is as it lies there"


def _entry(name: str) -> zipfile.ZipInfo:
    now = utc_now()
    entry = zipfile.ZipInfo(name, date_time=(now.year, now.month, now.day, now.hour, now.minute, now.second))
    entry.external_attr = 0o600 << 16
    return entry


def _write_json(archive: zipfile.ZipFile, name: str, value: object) -> None:
    archive.writestr(_entry(name), json.dumps(value, indent=1, ensure_ascii=False))


def _readme(records: SubjectRecords, personal: str, missing: list[tuple[str, str]]) -> str:
    counts = {folder: sum(kept.name.startswith(f"{folder}/") for kept in records.files) for folder in _FOLDERS}
    lines = [
        f"All that is kept of {records.code}, as of {utc_now():%Y-%m-%d %H:%M} UTC",
        "",
        "receipt.html      what you allowed, when, for how long, and how to withdraw it; receipt.json for programs",
        "records.json      every row of the study's records that is about you, by table:",
        *(f"                  {name}: {_TABLES.get(name, 'more')}" for name, rows in records.tables.items() if rows),
        f"personal.json     your name and how to reach you: {personal}",
        *(f"{folder + '/':<18}{what} ({counts[folder]} files)" for folder, what in _FOLDERS.items()),
        "",
        "Times are UTC. SHA-256 in records.json are the fingerprints of the files.",
        "The signed forms are on paper or with the study's office: this archive has their fingerprints alone.",
        "The names of the people who worked for the study are left out.",
    ]
    if records.left_out:
        lines.append(f"{records.left_out} results were made from you and other people together, and are not here.")
    if records.tables["release"] and not records.tables["release_holder"]:
        lines.append("Who holds the releases that you are in: ask the study, it keeps that.")
    if missing:
        lines += ["", "Not here, or not as it was:", *(f"  {name}: {why}" for name, why in missing)]
    return "\n".join(lines) + "\n"


_FOLDERS = {
    "photographs": "your photographs, by take and camera",
    "raw": "the cameras' raw files, where they were kept",
    "contact-sheets": "an overview of each take",
    "made": "scans, meshes, textures and pictures that were made from them",
}
_TABLES = {
    "subject": "your code, and your age, gender and job where you said them",
    "subject_change": "what you had said before it was put right",
    "consent": "what you consented to, and withdrew",
    "retention_term": "until when your data is kept, where it was agreed with you",
    "session": "when you were photographed",
    "take": "each expression that was photographed",
    "take_withdrawal": "takes that you withdrew",
    "skipped_expression": "expressions that were left out, and why",
    "take_review": "how each take was looked at", "take_check": "what was found in it",
    "take_absence": "cameras that lack in a take", "frame": "each photograph",
    "frame_measure": "how sharp and bright it is",
    "raw_file": "each raw file", "job": "what was computed", "run_review": "how the results were judged",
    "artefact": "each result", "release_item": "what left the study of you", "release": "in which releases",
    "release_holder": "who holds these", "erasure": "what was erased", "camera": "the cameras that photographed you",
    "expression": "the expressions that you were asked for", "audit_event": "what was done with your data, and when",
}  # fmt: skip
