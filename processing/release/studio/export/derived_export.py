"""Export of what is made of many takes: rigs of subjects, face models of a study; resumable as takes are."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from common.files.atomic_write import atomic_write
from db.store import Store
from processing.face_models.blendshapes.rig import read_rig
from processing.face_models.exports.facescape_model import write_facescape_model
from processing.face_models.exports.rig_targets import rig_targets
from processing.face_models.model_card import ModelCard
from processing.face_models.model_file import read_card, read_model
from processing.files.morph_targets.gltf import write_glb
from processing.files.morph_targets.morph_target_model import Rights
from processing.release.formats.manifest import FileEntry, hash_files
from processing.release.formats.metadata.release_description import ReleaseFacts
from processing.release.formats.released_files import (
    LAYOUT,
    MODEL,
    MODEL_FACESCAPE,
    RIG,
    RIG_GLB,
    ReleasedFile,
)
from processing.release.studio.export.take_export import load_template
from processing.release.studio.selection.derived_selection import SelectedModel, derived_files
from processing.release.studio.selection.selection import SelectedSubject, Selection
from processing.release.studio.selection.selection_rules import Options

# Counts up when the same rig or model gives other bytes: what an interrupted build left is then made anew.
EXPORT_VERSION = 1


class DerivedRecord(msgspec.Struct, frozen=True):
    """What was written of a rig or a model."""

    #: Of all that determines the bytes.
    key: str
    files: tuple[FileEntry, ...]


@dataclass(frozen=True)
class DerivedJob:
    """A rig or a model to write."""

    #: Of its record: 'rig_12', 'model_faces-2'.
    name: str
    #: Of all that determines the bytes.
    key: str
    #: Writes it under a folder; the paths.
    write: Callable[[Path], list[str]]


def derived_jobs(
    selection: Selection, store: Store, facts: ReleaseFacts, licence: str, options: Options
) -> list[DerivedJob]:
    """The work for all rigs and models of a selection. licence: LICENCE.txt."""
    rights = Rights(facts.licence, licence, tuple(facts.about.made_by), facts.citation, f"{facts.name} {facts.version}")
    jobs = []
    for subject in selection.subjects if options.rigs else ():
        if subject.rig is not None:
            jobs.append(_rig_job(subject, store, rights, facts))
    for model in selection.models if options.models else ():
        jobs.append(_model_job(model, store, facescape=options.facescape))
    return jobs


def model_cards(folder: Path, selection: Selection, options: Options) -> dict[str, ModelCard]:
    """'faces-2' -> the card of each model that was written under `folder`. Raises ModelError."""
    folders = [model.folder for model in selection.models] if options.models else []
    return {name: read_card(folder / MODEL.at(model=name))[2] for name in folders}


def write_derived(folder: Path, done: Path, jobs: Sequence[DerivedJob]) -> Iterator[FileEntry]:
    """Every file of rigs and models; what an interrupted build left is used as far as it is still what it would write.

    Raises DataError for a rig or a model that cannot be read, StoreError.
    """
    for job in jobs:
        record = _finished(folder, done / f"{job.name}.json", job.key)
        if record is None:
            paths = job.write(folder)
            hashes = hash_files(folder, paths)
            entries = (FileEntry(path, (folder / path).stat().st_size, str(hashes[path])) for path in paths)
            record = DerivedRecord(job.key, tuple(entries))
            with atomic_write(done / f"{job.name}.json") as temporary:
                temporary.write_bytes(msgspec.json.encode(record))
        yield from record.files


def _finished(folder: Path, path: Path, key: str) -> DerivedRecord | None:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=DerivedRecord)
    except (OSError, msgspec.DecodeError):
        return None
    hashes = hash_files(folder, [entry.path for entry in record.files])
    whole = record.key == key and all(hashes[entry.path] == entry.sha256 for entry in record.files)
    return record if whole else None


def _rig_job(subject: SelectedSubject, store: Store, rights: Rights, facts: ReleaseFacts) -> DerivedJob:
    rig = subject.rig
    assert rig is not None
    said: dict[str, str | int] = {"release": facts.name, "version": facts.version, "subject": subject.index}
    files = derived_files(LAYOUT.subject_files, rig.files)

    def write(folder: Path) -> list[str]:
        (folder / RIG.at(subject.index)).parent.mkdir(parents=True, exist_ok=True)
        for file, sha256 in files:
            store.copy(sha256, folder / file.at(subject.index))
        template = load_template(store.local_path(rig.template))
        # Without the texture: it would show the eyes, and is here as a file of its own.
        made = rig_targets(
            read_rig(folder / RIG.at(subject.index)),
            template.mesh,
            f"subject_{subject.index}",
            rights=rights,
            facts=said,
        )
        write_glb(folder / RIG_GLB.at(subject.index), made)
        return [*(file.at(subject.index) for file, _ in files), RIG_GLB.at(subject.index)]

    key = _key("rig", subject.index, [sha256 for _, sha256 in files], rig.template, rights, said)
    return DerivedJob(f"rig_{subject.index}", key, write)


def _model_job(model: SelectedModel, store: Store, *, facescape: bool) -> DerivedJob:
    files = model.files

    def at(file: ReleasedFile) -> str:
        return file.at(model=model.folder)

    def write(folder: Path) -> list[str]:
        (folder / at(MODEL)).parent.mkdir(parents=True, exist_ok=True)
        for file, sha256 in files:
            store.copy(sha256, folder / at(file))
        paths = [at(file) for file, _ in files]
        if facescape:
            write_facescape_model(folder / at(MODEL_FACESCAPE), read_model(folder / at(MODEL)))
            paths.append(at(MODEL_FACESCAPE))
        return paths

    return DerivedJob(
        f"model_{model.folder}", _key("model", model.folder, [sha256 for _, sha256 in files], facescape), write
    )


def _key(*what: object) -> str:
    plain = msgspec.to_builtins((EXPORT_VERSION, *what), str_keys=True, order="sorted")
    return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()
