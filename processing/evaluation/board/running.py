"""Running a method over photographs: in batches, again from where it was interrupted, each failure found and counted.

What a mesh was made by is kept beside it as a hash of method, model and photograph; a mesh of another hash is made
anew. A command that crashes or hangs is run again for the two photographs that can be the cause, each alone: the last
that it wrote (which may be half written) and the next. So a fault stands with the photograph that it is of, and the
others have their meshes.
"""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common.files.atomic_write import write_whole
from common.files.hashes import file_sha256
from common.files.json_object import read_json_object
from common.files.locks import try_lock
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.evaluation.board.command_run import CommandEnd, last_words, run_command
from processing.evaluation.board.meshes import files_of, mesh_of
from processing.evaluation.board.methods import MethodFile

MADE, MESHES = "made.json", "meshes"
FAULT = ".fault.txt"  # <name>.fault.txt: why a method made no mesh of a photograph
FIRST_FAULTS = 3  # photographs alone, one after the other, without one mesh: the command is broken, not they


class MethodUnavailable(DataError):
    """A method's command says that it cannot run here."""


@dataclass(frozen=True)
class Photo:
    """A photograph that a method gets."""

    name: str
    path: Path
    focal_px: float | None  # as it is known to the benchmark; shown to methods that may see it


@dataclass(frozen=True)
class Made:
    """What a method's command did with a photograph."""

    key: str  # of method, model and photograph
    fault: str  # why there is no mesh; nothing where there is one
    seconds: float  # of the command, shared among the photographs of its run


@dataclass(frozen=True)
class MethodRun:
    """What `run_method` did."""

    folder: Path  # of the meshes
    made: Mapping[str, Made]  # of every photograph that was asked for
    fresh: int  # how many of them were tried now


@dataclass
class _Work:
    """A run under way."""

    file: MethodFile
    home: Path
    model: Path | None
    keys: Mapping[str, str]
    records: dict[str, Made]
    progress: Progress
    total: int
    faults_in_a_row: int = 0
    ever_made: bool = False
    fresh: list[str] = field(default_factory=list)

    @property
    def meshes(self) -> Path:
        return self.home / MESHES

    @property
    def making(self) -> Path:
        return self.home / "making"

    def note(self, photo: Photo, fault: str, seconds: float) -> None:
        self.records[photo.name] = Made(self.keys[photo.name], fault, round(seconds, 3))
        self.fresh.append(photo.name)
        self.faults_in_a_row = self.faults_in_a_row + 1 if fault else 0
        self.ever_made = self.ever_made or not fault

    def save(self) -> None:
        method = self.file.method
        told = {
            "format": 1, "method": asdict(method), "model": self.model.name if self.model else None,
            "images": {name: asdict(made) for name, made in sorted(self.records.items())},
        }  # fmt: skip
        write_whole(self.home / MADE, json.dumps(told, indent=1) + "\n")


def run_method(
    file: MethodFile, photos: Sequence[Photo], home: Path, *, model: Path | None = None, again: bool = False,
    progress: Progress = no_progress,
) -> MethodRun:  # fmt: skip
    """Make the meshes that are missing, into home/meshes; faults are kept and not tried again, unless `again`.

    home: the method's own folder. Interrupted, it keeps what is whole and goes on from there the next time.
    Raises MethodUnavailable when the command says that it cannot run here, MethodError, DataError.
    """
    key = file.key(model)
    keys = {photo.name: _photo_key(key, photo, file.method.sees_focal) for photo in photos}
    home.mkdir(parents=True, exist_ok=True)
    lock = try_lock(home / ".lock")
    if lock is None:
        raise DataError(f"another run of {file.method.name} works in {home}: wait for it, or give another --out")
    try:
        return _run(photos, _Work(file, home, model, keys, read_made(home), progress, len(photos)), again)
    finally:
        os.close(lock)


def _run(photos: Sequence[Photo], work: _Work, again: bool) -> MethodRun:
    keys, records = work.keys, work.records
    work.meshes.mkdir(exist_ok=True)
    work.ever_made = any(_has_mesh(work, photo) for photo in photos)
    missing = [photo for photo in photos if again or not _is_settled(work, photo)]
    for photo in missing:  # of another method's key, or of an interrupted run
        records.pop(photo.name, None)
        for path in files_of(work.meshes, photo.name):
            path.unlink()
    try:
        while missing:
            missing = _batch(work, missing)
            work.save()
    finally:
        shutil.rmtree(work.making, ignore_errors=True)
        work.save()
    return MethodRun(work.meshes, {name: records[name] for name in keys}, len(work.fresh))


def read_made(home: Path) -> dict[str, Made]:
    """What is known of a method's photographs, by name; empty where nothing is."""
    path = home / MADE
    if not path.is_file():
        return {}
    images = read_json_object(path, DataError, what="the record of a method's run").get("images")
    try:
        return {str(name): Made(**made) for name, made in dict(images or {}).items()}
    except (TypeError, ValueError):
        raise DataError(f"{path} is no record of a method's run; take it away, and its meshes are made anew") from None


def _photo_key(key: str, photo: Photo, sees_focal: bool) -> str:
    try:
        content = file_sha256(photo.path)
    except OSError as error:
        raise DataError(f"{photo.path} cannot be read: {error.strerror or error}") from None
    return hashlib.sha256(f"{key} {content} {photo.focal_px if sees_focal else None}".encode()).hexdigest()


def _has_mesh(work: _Work, photo: Photo) -> bool:
    made = work.records.get(photo.name)
    if made is None or made.fault or made.key != work.keys[photo.name]:
        return False
    return mesh_of(work.meshes, photo.name) is not None


def _is_settled(work: _Work, photo: Photo) -> bool:
    """Whether there is a mesh, or a fault; of a command that never made a mesh the fault is not the photograph's."""
    made = work.records.get(photo.name)
    failed = made is not None and bool(made.fault) and made.key == work.keys[photo.name]
    return _has_mesh(work, photo) or (failed and work.ever_made)


def _batch(work: _Work, missing: Sequence[Photo]) -> list[Photo]:
    """Run the command on the next photographs; what is still missing afterwards."""
    photos, rest = list(missing[: work.file.method.batch]), list(missing[work.file.method.batch :])
    end, left = _call(work, photos)
    if end.how == "well":
        for photo in left:
            work.note(photo, _fault(work, photo, end), 0.0)
        return rest
    suspects = left[:1] if len(photos) == 1 else [p for p in photos if p in left][:2]
    for photo in suspects:
        if len(photos) > 1:
            end, alone = _call(work, [photo])
            if not alone:
                continue
        work.note(photo, end.reason if end.how != "well" else _fault(work, photo, end), end.seconds)
        if work.faults_in_a_row >= FIRST_FAULTS and not work.ever_made:
            return _give_up(work, [p for p in (*left, *rest) if p.name not in work.records])
    return [p for p in left if p.name not in work.records] + rest


def _give_up(work: _Work, rest: Sequence[Photo]) -> list[Photo]:
    """Count all that was not tried: the command never made a mesh."""
    for photo in rest:
        work.note(photo, f"not tried: the command failed on the first {FIRST_FAULTS} photographs", 0.0)
    return []


def _call(work: _Work, photos: Sequence[Photo]) -> tuple[CommandEnd, list[Photo]]:
    """One run of the command on photographs: how it ended, and those of which there is no whole mesh.

    Of a run that did not end well the last photograph that it wrote counts as not made: its files may be half written.
    """
    shutil.rmtree(work.making, ignore_errors=True)
    out = work.making / "out"
    out.mkdir(parents=True)
    listed, said = work.making / "images.csv", work.making / "said.txt"
    _write_list(listed, photos, work.file.method.sees_focal)
    words = work.file.words(listed, out, work.model)
    before = len(work.records)

    def count() -> int:
        return sum(mesh_of(out, photo.name) is not None for photo in photos)

    def look() -> None:
        done = before + count()
        work.progress(min(1.0, done / work.total), f"{work.file.method.name}: {done} of {work.total}")

    end, whole = None, False
    try:
        end = run_command(words, work.file.method, work.file.here, said, count, look)
        whole = end.how == "well"
    finally:  # interrupted, too: what is whole is kept
        for path in out.glob("*"):
            if path.is_symlink():  # to what is not the method's, or gone tomorrow
                path.unlink()
        made = [photo for photo in photos if mesh_of(out, photo.name) is not None]
        if not whole and made:
            made.remove(max(made, key=lambda photo: _written(out, photo)))
        seconds = end.seconds / len(photos) if end else 0.0
        for photo in made:
            for path in files_of(out, photo.name):
                path.replace(work.meshes / path.name)
            work.note(photo, "", seconds)
    if end.how == "unavailable":
        raise MethodUnavailable(f"{work.file.method.name} cannot run here: {end.reason}")
    if whole and last_words(said):
        end = CommandEnd(end.how, last_words(said), end.seconds)
    return end, [photo for photo in photos if photo not in made]


def _fault(work: _Work, photo: Photo, end: CommandEnd) -> str:
    """Why there is no mesh of a photograph after a run that ended well: in the method's words, if it says any of it."""
    own = work.making / "out" / f"{photo.name}{FAULT}"
    words = last_words(own) if own.is_file() else end.reason
    return f"no mesh was made of it: {words}" if words else "no mesh was made of it"


def _written(out: Path, photo: Photo) -> int:
    return max(path.stat().st_mtime_ns for path in files_of(out, photo.name))


def _write_list(path: Path, photos: Sequence[Photo], sees_focal: bool) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "path", "focal_px"))
        for photo in photos:
            focal = photo.focal_px if sees_focal and photo.focal_px is not None else ""
            writer.writerow((photo.name, photo.path.resolve(), focal))
