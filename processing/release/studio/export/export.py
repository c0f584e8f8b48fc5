"""Export of a selection from the store into a release's folder: take by take, in parallel, resumable.

What is written where stands in processing.release.formats.released_files.

A take that was written leaves a record of its files' hashes. A build that was interrupted reads the records, hashes
those files again, and writes only what is missing or changed. What is in the folder and belongs to no take goes.
"""

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from common.files.atomic_write import atomic_write
from common.processors import usable_cpus
from common.progress import Progress, no_progress
from db.store import Store
from processing.release.formats.assets.displacement_encoding import DisplacementEncoding
from processing.release.formats.errors import ReleaseError
from processing.release.formats.json_documents import write_json_document
from processing.release.formats.manifest import FileEntry, hash_files
from processing.release.formats.metadata.croissant import croissant
from processing.release.formats.metadata.data_card import data_card
from processing.release.formats.metadata.datacite import datacite
from processing.release.formats.metadata.release_description import ReleaseFacts, datasheet_of_tombstones
from processing.release.formats.metadata.responsible_ai import ReleaseCounts, counted_stages
from processing.release.formats.released_files import (
    CARD,
    CONVENTIONS,
    CROISSANT,
    DATACITE,
    DATASHEET,
    HISTOGRAM,
    INFO_LIST,
    LICENCE,
    MISSING,
    MOSAICKED_LIST,
    NO_LONGER,
    PREDEF,
    PUBLIC_KEY,
    PUBLISHABLE_LIST,
    RT_SCALE,
    SUBJECTS,
    TAKES,
    TOMBSTONES,
    SharedFile,
)
from processing.release.formats.signing import PublicKey, public_file
from processing.release.formats.tombstones import NoLonger, Tombstone
from processing.release.studio.export import release_lists
from processing.release.studio.export.conventions import conventions
from processing.release.studio.export.datasheet import datasheet, histogram_svg
from processing.release.studio.export.derived_export import derived_jobs, model_cards, write_derived
from processing.release.studio.export.facescape_predef import write_predef
from processing.release.studio.export.take_export import TakeJob, TakeRecord, export_take, load_template, take_jobs
from processing.release.studio.export.take_metadata import rig_file
from processing.release.studio.export.topology_files import topology_id, topology_paths, write_topology
from processing.release.studio.selection.selection import Selection
from processing.release.studio.selection.selection_rules import Options
from processing.template.template import Template

# A process more is worth its start where it has this many takes to write.
TAKES_A_WORKER = 8
TakeRecords = Mapping[tuple[int, str], TakeRecord]


@dataclass(frozen=True)
class ExportPlan:
    """What is written where."""

    selection: Selection
    #: Of the takes' files.
    store: Store
    #: The release's, as long as it is built.
    folder: Path
    #: That of the takes' records.
    done: Path
    #: What its texts say of it.
    facts: ReleaseFacts
    options: Options
    #: LICENCE.txt.
    licence_text: str
    #: What is withdrawn of earlier versions.
    tombstones: tuple[Tombstone, ...] = ()
    #: What of earlier versions is not here, and may be kept.
    no_longer: tuple[NoLonger, ...] = ()
    #: Of the key that will sign the manifest.
    public_key: PublicKey | None = None


def export(plan: ExportPlan, *, workers: int | None = None, progress: Progress = no_progress) -> dict[str, FileEntry]:
    """Write everything but the manifest; every file by its path.

    workers: processes (as many as are worth it by default). Every copy from the store is checked against its hash; the
    bytes do not depend on the number of processes or of interruptions. A release without a take has its lists and its
    tombstones alone. Raises ReleaseError, and what the store raises.
    """
    jobs = [job for subject in plan.selection.subjects for job in take_jobs(subject, plan.options)]
    derived = derived_jobs(plan.selection, plan.store, plan.facts, plan.licence_text, plan.options)
    if not jobs and not plan.tombstones:
        raise ReleaseError("No take was selected: there is nothing to release")
    plan.done.mkdir(parents=True, exist_ok=True)
    progress(0.0, "looking at what is there")
    records = _finished(plan, jobs)
    todo = [job for job in jobs if (job.subject.index, job.take.label) not in records]
    total = len(jobs)
    for record in _write_takes(plan, todo, workers):
        records[record.index, record.label] = record
        progress((0.9 if derived else 0.98) * len(records) / total, f"{record.index} {record.label}")
    records = {(job.subject.index, job.take.label): records[job.subject.index, job.take.label] for job in jobs}
    entries = {entry.path: entry for record in records.values() for entry in record.files}
    progress(0.98, "rigs and models")
    entries |= {entry.path: entry for entry in write_derived(plan.folder, plan.done, derived)}
    _remove_strangers(plan.folder, entries.keys())
    progress(0.99, "lists and datasheet")
    written = _write_shared(plan, records, list(entries.values()))
    for path, found in hash_files(plan.folder, written).items():
        if isinstance(found, OSError):
            raise ReleaseError(f"{path} cannot be read back: {found.strerror}")
        entries[path] = FileEntry(path, (plan.folder / path).stat().st_size, found)
    return entries


def _write_takes(plan: ExportPlan, jobs: Sequence[TakeJob], workers: int | None) -> Iterator[TakeRecord]:
    """Takes as they are done, in this process or in others."""
    count = min(usable_cpus(), len(jobs) // TAKES_A_WORKER) if workers is None else min(workers, len(jobs))
    if count <= 1:
        for job in jobs:
            yield _write_take(job, plan.store, plan.folder, plan.done)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        waiting: set[Future[TakeRecord]] = set()
        try:
            for job in jobs:  # few at a time: a job holds the cameras of its rig
                waiting.add(pool.submit(_write_take, job, plan.store, plan.folder, plan.done))
                if len(waiting) >= 3 * count:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            yield from (future.result() for future in waiting)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _write_take(job: TakeJob, store: Store, folder: Path, done: Path) -> TakeRecord:
    record = export_take(job, store, folder)
    with atomic_write(done / f"{record.index}_{record.label}.json") as temporary:
        temporary.write_bytes(msgspec.json.encode(record))
    return record


def _finished(plan: ExportPlan, jobs: Sequence[TakeJob]) -> dict[tuple[int, str], TakeRecord]:
    """Takes that an earlier build wrote from the same inputs, their files read again and found whole."""
    found: dict[tuple[int, str], TakeRecord] = {}
    for job in jobs:
        path = plan.done / f"{job.subject.index}_{job.take.label}.json"
        try:
            record = msgspec.json.decode(path.read_bytes(), type=TakeRecord)
        except (OSError, msgspec.DecodeError):
            continue
        if record.key == job.key:
            found[record.index, record.label] = record
    paths = [entry.path for record in found.values() for entry in record.files]
    hashes = hash_files(plan.folder, paths) if paths else {}
    return {
        key: record
        for key, record in found.items()
        if all(hashes[entry.path] == entry.sha256 for entry in record.files)
    }


def _remove_strangers(folder: Path, wanted: Any) -> None:
    """Files that no take of this build wrote: of subjects no longer selected, half-written ones, old lists."""
    for at, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(at) / name
            if path.relative_to(folder).as_posix() not in wanted:
                path.unlink()
        if Path(at) != folder and not any(Path(at).iterdir()):
            Path(at).rmdir()


def _write_shared(plan: ExportPlan, records: TakeRecords, entries: Sequence[FileEntry]) -> list[str]:
    """Topologies, calibrations, lists, texts, metadata; their paths. entries: all other files."""
    encoding = _shared_encoding(plan.selection, records) if records else None
    if encoding is None:
        datasheet_text = datasheet_of_tombstones(plan.facts, plan.selection.day, plan.tombstones)
        return _write_texts(plan.folder, _lists(plan, records) | {DATASHEET: datasheet_text})
    topologies, written = _write_topologies(plan)
    written += _write_calibrations(plan)
    texts = _lists(plan, records) | {
        DATASHEET: datasheet(
            plan.facts,
            plan.selection,
            records,
            encoding,
            plan.options,
            plan.tombstones,
            model_cards(plan.folder, plan.selection, plan.options),
        ),
        HISTOGRAM: histogram_svg(plan.selection.subjects),
    }
    written += _write_texts(plan.folder, texts)
    colour_profiles = sorted({name for record in records.values() for name in record.colour_profiles})
    said = conventions(
        encoding, plan.options, topologies, colour_profiles=colour_profiles, synthetic=plan.facts.synthetic
    )
    figures = release_figures(plan, records)
    day = plan.selection.day.isoformat()
    written += _write_texts(plan.folder, {CARD: data_card(plan.facts, figures)})
    sizes = {"files": len(entries), "bytes": sum(entry.bytes for entry in entries)}
    described = _sizes_and_hashes(plan.folder, texts)
    documents = {
        RT_SCALE: release_lists.rt_scale(records),
        CONVENTIONS: said,
        DATACITE: datacite(plan.facts, figures, day, sizes),
        CROISSANT: croissant(plan.facts, figures, day, described),
    }
    for file, value in documents.items():
        write_json_document(plan.folder / file.path, value)
    return [*written, *(file.path for file in documents)]


def _templates(plan: ExportPlan) -> list[tuple[str, Template]]:
    """The templates of all takes, by their hashes."""
    hashes = sorted({take.template for subject in plan.selection.subjects for take in subject.takes})
    return [(sha256, load_template(plan.store.local_path(sha256))) for sha256 in hashes]


def _write_topologies(plan: ExportPlan) -> tuple[list[dict[str, Any]], list[str]]:
    """What is said of each topology, and the paths of its files and of those that FaceScape's notebooks read."""
    templates = _templates(plan)
    topologies: list[dict[str, Any]] = []
    written: list[str] = []
    for sha256, template in templates:
        topologies.append(write_topology(plan.folder, template, sha256))
        written += topology_paths(topology_id(sha256))
        at = PREDEF if len(templates) == 1 else f"{PREDEF}/{topology_id(sha256)}"
        written += write_predef(plan.folder, template, at)
    return topologies, written


def _write_calibrations(plan: ExportPlan) -> list[str]:
    """The calibrations of all takes; their paths."""
    captures = [take.capture for subject in plan.selection.subjects for take in subject.takes]
    written = []
    for path, capture in {rig_file(capture): capture for capture in captures}.items():
        if path is not None:
            (plan.folder / path).parent.mkdir(exist_ok=True)
            about = {"rig": capture.rig, "id": capture.rig_id, "calibration": capture.calibration_version}
            cameras = {"method": capture.calibration_method, "cameras": dict(capture.calibration)}
            write_json_document(plan.folder / path, about | cameras)
            written.append(path)
    return written


def _lists(plan: ExportPlan, records: TakeRecords) -> dict[SharedFile, str]:
    """The lists that every release has, its licence, and the studio's public key."""
    selection, subjects = plan.selection, plan.selection.subjects
    texts = {
        INFO_LIST: release_lists.info_list(subjects),
        PUBLISHABLE_LIST: release_lists.publishable_list(subjects),
        MOSAICKED_LIST: release_lists.mosaicked_list(subjects),
        SUBJECTS: release_lists.subjects_csv(subjects, plan.options),
        TAKES: release_lists.takes_csv(selection, records),
        MISSING: release_lists.missing_csv(selection, records, plan.options),
        TOMBSTONES: release_lists.tombstones_csv(plan.tombstones),
        NO_LONGER: release_lists.no_longer_csv(plan.no_longer),
        LICENCE: plan.licence_text.rstrip("\n") + "\n",
    }
    if plan.public_key is not None:
        texts[PUBLIC_KEY] = public_file(plan.public_key)
    return texts


def _write_texts(folder: Path, texts: Mapping[SharedFile, str]) -> list[str]:
    for file, text in texts.items():
        (folder / file.path).write_text(text, encoding="utf-8")
    return [file.path for file in texts]


def _sizes_and_hashes(folder: Path, files: Iterable[SharedFile]) -> dict[str, tuple[int, str]]:
    """Path -> (bytes, SHA-256) of files that were just written."""
    paths = [file.path for file in files]
    return {path: ((folder / path).stat().st_size, str(found)) for path, found in hash_files(folder, paths).items()}


def release_figures(plan: ExportPlan, records: TakeRecords) -> ReleaseCounts:
    """What can be counted of a release, for what it says of itself to reviewers."""
    subjects = plan.selection.subjects
    takes = [take for subject in subjects for take in subject.takes]
    made = [run for take in takes for run in take.runs.values()]
    made += [subject.rig.run for subject in subjects if subject.rig and plan.options.rigs]
    made += [model.run for model in plan.selection.models if plan.options.models]
    runs = {run.key: (run.stage, run.version) for run in made}
    return ReleaseCounts(
        subjects=len(subjects),
        takes=len(takes),
        photographs=sum(record.photographs for record in records.values()),
        publishable=sum(subject.publishable for subject in subjects),
        mosaicked=sum(subject.mosaic for subject in subjects),
        ages=tuple(subject.age for subject in subjects),
        genders=tuple(subject.gender for subject in subjects),
        cameras=max((len(take.photographs) + len(take.absent) for take in takes), default=0),
        stages=counted_stages(list(runs.values())),
        days=plan.facts.captured,
        synthetic=plan.facts.synthetic,
        missing=sum(len(record.absent) for record in records.values()),
    )


def _shared_encoding(selection: Selection, records: TakeRecords) -> DisplacementEncoding:
    """The encoding that all displacement maps of the release share. Raises ReleaseError where they differ."""
    codes = {(s.index, take.label): take.code for s in selection.subjects for take in s.takes}
    shared = next(iter(records.values())).relief
    for key, record in records.items():
        if record.relief != shared:
            raise ReleaseError(
                f"The displacement map of {codes[key]} has scale {record.relief.scale_mm} mm around "
                f"{record.relief.midpoint}, earlier ones {shared.scale_mm} mm around {shared.midpoint}; process all "
                "with the same stages"
            )
    return shared
