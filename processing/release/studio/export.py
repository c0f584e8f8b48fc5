"""A release's files under FaceScape's names, from the store into a folder: take by take, in parallel, resumable.

    <id>/models_reg/<k>_<name>.obj .obj.mtl .jpg     <id>/dpmap/<k>_<name>.png .exr     mesh/<id>/<k>_<name>.ply
    img/<id>/<k>_<name>/<view>.jpg, params.json      meta/<id>/<k>_<name>.json     checks/<id>.png
    topology/<id>.*     rigs/<rig>-<calibration>.json     lists, datasheet, conventions, Croissant

A take that was written leaves a record of its files' hashes. A build that was interrupted reads the records, hashes
those files again, and writes only what is missing or changed. What is in the folder and belongs to no take goes.
"""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from common.files.atomic_write import atomic_write
from common.processors import usable_cpus
from common.progress import Progress, no_progress
from db.store import Store
from processing.release.formats.croissant import CROISSANT, croissant
from processing.release.formats.data_card import CARD, data_card
from processing.release.formats.datacite import DATACITE, datacite
from processing.release.formats.errors import ReleaseError
from processing.release.formats.json_documents import write_json_document
from processing.release.formats.manifest import FileEntry, hash_files
from processing.release.formats.responsible_ai import ReleaseCounts, counted_stages
from processing.release.formats.signing import STUDIO_PUBLIC, PublicKey, public_file
from processing.release.formats.tombstones import NoLonger, Tombstone
from processing.release.studio import release_lists
from processing.release.studio.conventions import CONVENTIONS, conventions
from processing.release.studio.datasheet import DATASHEET, HISTOGRAM, LICENCE, datasheet, histogram_svg
from processing.release.studio.facescape_predef import PREDEF, write_predef
from processing.release.studio.release_lists import ReleaseFacts
from processing.release.studio.selection import Selection
from processing.release.studio.selection_rules import Options
from processing.release.studio.take_export import (
    DisplacementEncoding,
    TakeJob,
    TakeRecord,
    export_take,
    load_template,
    take_jobs,
)
from processing.release.studio.take_metadata import rig_file
from processing.release.studio.topology_files import topology_id, write_topology

# A process more is worth its start where it has this many takes to write.
TAKES_A_WORKER = 8
TakeRecords = Mapping[tuple[int, str], TakeRecord]


@dataclass(frozen=True)
class ExportPlan:
    """What is written where. done: the folder of the takes' records."""

    selection: Selection
    store: Store
    folder: Path
    done: Path
    facts: ReleaseFacts
    options: Options
    licence_text: str
    tombstones: tuple[Tombstone, ...] = ()
    no_longer: tuple[NoLonger, ...] = ()
    public_key: PublicKey | None = None


def export(plan: ExportPlan, *, workers: int | None = None, progress: Progress = no_progress) -> dict[str, FileEntry]:
    """Write everything but the manifest; every file by its path.

    workers: processes (as many as are worth it by default). Every copy from the store is checked against its hash; the
    bytes do not depend on the number of processes or of interruptions. A release without a take has its lists and its
    tombstones alone. Raises ReleaseError, and what the store raises.
    """
    jobs = [job for subject in plan.selection.subjects for job in take_jobs(subject, plan.options)]
    if not jobs and not plan.tombstones:
        raise ReleaseError("No take was selected: there is nothing to release")
    plan.done.mkdir(parents=True, exist_ok=True)
    progress(0.0, "looking at what is there")
    records = _finished(plan, jobs)
    todo = [job for job in jobs if (job.subject.index, job.take.label) not in records]
    total = len(jobs)
    for record in _write_takes(plan, todo, workers):
        records[record.index, record.label] = record
        progress(0.98 * len(records) / total, f"{record.index} {record.label}")
    records = {(job.subject.index, job.take.label): records[job.subject.index, job.take.label] for job in jobs}
    entries = {entry.path: entry for record in records.values() for entry in record.files}
    _remove_strangers(plan.folder, entries.keys())
    progress(0.99, "lists and datasheet")
    written = _write_shared(plan, records)
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


def _write_shared(plan: ExportPlan, records: TakeRecords) -> list[str]:
    """Topologies, rigs, lists, texts; their paths."""
    folder, selection, subjects = plan.folder, plan.selection, plan.selection.subjects
    relief = _shared_relief(selection, records) if records else None
    takes = [take for subject in subjects for take in subject.takes]
    topologies = [
        write_topology(folder, load_template(plan.store.local_path(sha256)), sha256)
        for sha256 in sorted({take.template for take in takes})
    ]
    ends = (".json", ".npz", "_landmarks.png")
    written = [f"topology/{about['topology']}{end}" for about in topologies for end in ends]
    for sha256 in sorted({take.template for take in takes}):
        at = PREDEF if len(topologies) == 1 else f"{PREDEF}/{topology_id(sha256)}"
        written += write_predef(folder, load_template(plan.store.local_path(sha256)), at)
    for capture in {rig_file(take.capture): take.capture for take in takes}.values():
        name = rig_file(capture)
        if name is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            about = {"rig": capture.rig, "id": capture.rig_id, "calibration": capture.calibration_version}
            cameras = {"method": capture.calibration_method, "cameras": dict(capture.calibration)}
            write_json_document(folder / name, about | cameras)
            written.append(name)
    texts = {
        release_lists.INFO_LIST: release_lists.info_list(subjects),
        release_lists.PUBLISHABLE_LIST: release_lists.publishable_list(subjects),
        release_lists.MOSAICKED_LIST: release_lists.mosaicked_list(subjects),
        release_lists.SUBJECTS: release_lists.subjects_csv(subjects),
        release_lists.TAKES: release_lists.takes_csv(selection, records),
        release_lists.MISSING: release_lists.missing_csv(selection, records),
        release_lists.TOMBSTONES: release_lists.tombstones_csv(plan.tombstones),
        release_lists.NO_LONGER: release_lists.no_longer_csv(plan.no_longer),
        LICENCE: plan.licence_text.rstrip("\n") + "\n",
    }
    if plan.public_key is not None:
        texts[STUDIO_PUBLIC] = public_file(plan.public_key)
    if relief is None:
        texts[DATASHEET] = release_lists.tombstones_alone(plan.facts, selection.day, plan.tombstones)
    else:
        texts[DATASHEET] = datasheet(plan.facts, selection, records, relief, plan.options, plan.tombstones)
        texts[HISTOGRAM] = histogram_svg(subjects)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    if relief is None:
        return list(texts)
    write_json_document(folder / release_lists.RT_SCALE, release_lists.rt_scale(records))
    write_json_document(
        folder / CONVENTIONS,
        conventions(
            relief,
            plan.options,
            topologies,
            colour_profiles=sorted({name for record in records.values() for name in record.colour_profiles}),
            synthetic=plan.facts.synthetic,
        ),
    )
    figures = release_figures(plan, records)
    day = selection.day.isoformat()
    (folder / CARD).write_text(data_card(plan.facts, figures), encoding="utf-8")
    files = [entry for record in records.values() for entry in record.files]
    sizes = {"files": len(files), "bytes": sum(entry.bytes for entry in files)}
    write_json_document(folder / DATACITE, datacite(plan.facts, figures, day, sizes))
    hashes = hash_files(folder, texts)
    described = {name: ((folder / name).stat().st_size, str(hashes[name])) for name in texts}
    write_json_document(folder / CROISSANT, croissant(plan.facts, figures, day, described))
    return [*written, *texts, release_lists.RT_SCALE, CONVENTIONS, CROISSANT, CARD, DATACITE]


def release_figures(plan: ExportPlan, records: TakeRecords) -> ReleaseCounts:
    """What can be counted of a release, for what it says of itself to reviewers."""
    subjects = plan.selection.subjects
    takes = [take for subject in subjects for take in subject.takes]
    runs = {run.key: (run.stage, run.version) for take in takes for run in take.runs.values()}
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


def _shared_relief(selection: Selection, records: TakeRecords) -> DisplacementEncoding:
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
