"""A subject's photographs in folders -> release layout in a folder, with no database."""

import fcntl
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.files.hashes import file_sha256
from common.progress import Progress, no_progress
from common.take_codes import NEUTRAL, TakeLabel
from processing.errors import DataError, TakeError
from processing.farm.display.quality_figures import figures, findings, pictures
from processing.farm.display.subject_report import Report, ReportTake, write_report
from processing.farm.execution import subject_layout
from processing.farm.execution.in_process import RunCache, execute_runs, results_of
from processing.farm.execution.process_listener import ProcessListener
from processing.farm.execution.stage_run import DiskFull, Results, disk_full, made, named_disk_errors
from processing.farm.execution.subject_layout import ProcessedSubject
from processing.farm.scheduling.content_keys import take_digest
from processing.farm.scheduling.stage_graph import TakeInput, plan
from processing.farm.template_files import shared_files, template_file
from processing.files.stage_files import read_json
from processing.files.subject_folder import find_takes
from processing.files.take_folder import Take, read_photos, read_take
from processing.stages.base import TAKE
from processing.stages.discovery import Stages
from processing.stages.outputs import REVIEW, TAKE_FIGURES

WORK = ".work"
OF_SUBJECT = ""  # in the place of a take's name: what was made of all takes together
ROOM_PER_TAKE = 60e6  # bytes that a take of 68 photographs of 1 MP leaves, about; larger photographs leave more


def read_takes(
    subject: Path, expressions: Sequence[str] | None, progress: Progress = no_progress, out: Path | None = None
) -> tuple[list[Take], list[str]]:
    """The subject's takes, every photograph looked at, and what was passed over, in words.

    expressions: some of the takes, and the neutral always.  out: where results go, which is no take.
    Raises TakeError with everything that is wrong with all of them.
    """
    found = find_takes(subject, out)
    folders = _chosen(subject, found.takes, expressions) if expressions else found.takes
    takes: list[Take] = []
    problems: list[str] = []
    for number, folder in enumerate(folders.values()):
        progress(number / len(folders), f"checking {folder.name}")
        try:
            takes.append(read_photos(read_take(folder))[0])
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise TakeError("\n".join([*problems, *found.passed_over]))
    renamed = [f"{folder.name} is take {label}" for label, folder in folders.items() if folder.name != str(label)]
    return takes, [*renamed, *found.passed_over]


def _chosen(subject: Path, folders: Mapping[TakeLabel, Path], expressions: Sequence[str]) -> dict[TakeLabel, Path]:
    known = {name for label, folder in folders.items() for name in (label.name, str(label), folder.name)}
    unknown = [e for e in expressions if e not in known]
    if unknown:
        raise TakeError(f"{subject} has no take {', '.join(unknown)}; it has {', '.join(map(str, folders))}")
    wanted = {*expressions, NEUTRAL}
    return {label: f for label, f in folders.items() if wanted & {label.name, str(label), f.name}}


@dataclass(frozen=True)
class ProcessOptions:
    """How a subject is processed."""

    template: str | None = None  # a file; None: Mien's own
    expressions: Sequence[str] | None = None  # some of the takes, and the neutral always; None: all
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # stage -> where it differs from the defaults
    device: str = "cpu"  # or a torch device


def process_subject(
    subject: Path, out: Path, stages: Stages, options: ProcessOptions, listener: ProcessListener
) -> ProcessedSubject:
    """Run every stage that is missing, then place the results and a report under `out`.

    Finished runs are kept under `out/.work` and never made again, so an interrupted or failed call goes on where it
    was. Nothing is placed unless everything was made. Raises DataError.
    """
    begun = time.monotonic()
    takes, passed_over = read_takes(subject, options.expressions, listener.checking, out)
    identified = [TakeInput(t.name, t.expression, take_digest(t.folder)) for t in takes]
    plan(identified, {}, stages, options.params)  # what is wrong with takes or parameters is said before any work
    with _only_one(out) as work:
        _check_room(out, work, len(takes))
        file = template_file(options.template, lambda text: listener.checking(1.0, text))
        beside = None if options.template is None else work  # beside Mien's own template they are kept for all
        files = shared_files(file, stages, lambda text: listener.checking(1.0, text), beside)
        shared = {source: file_sha256(path) for source, path in files.items()}
        runs = plan(identified, shared, stages, options.params)
        listener.planned(runs)
        sources = {(t.name, TAKE): t.folder for t in takes} | {("", source): path for source, path in files.items()}
        cache = RunCache(work)
        count = execute_runs(runs, stages, cache, sources, device=options.device, started=listener.started)
        results = results_of(runs, cache)
        quality = {t.name: read_json(made(results[t.name], TAKE_FIGURES)) for t in takes}
        warnings = list(passed_over)
        warnings += [f"{t.name}: {note}" for t in takes for note in t.notes]
        warnings += [f"{t.name}: view {v} is not used: {why}" for t in takes for v, why in t.skipped.items()]
        warnings += [f"{name}: {said}" for name, found in quality.items() for said in findings(found)]
        warnings += _said_of_subject(results.get(OF_SUBJECT, {}))
        processed = ProcessedSubject(out, quality, warnings, count, time.monotonic() - begun)
        _place(out, work, file, results, processed, subject)
    return processed


def _place(
    out: Path,
    work: Path,
    template: Path,
    results: Mapping[str, Results],
    processed: ProcessedSubject,
    subject: Path,
) -> None:
    from processing.template.template_file import read_template

    prepared = work / ".placing"
    shutil.rmtree(prepared, ignore_errors=True)
    loaded = read_template(template)
    takes, of_subject = {name: results[name] for name in processed.quality}, results.get(OF_SUBJECT, {})
    files = subject_layout.prepare(prepared, loaded, takes, of_subject)
    sections = [ReportTake(name, figures(processed.quality[name]), pictures(takes[name])) for name in takes]
    if together := pictures(of_subject):
        sections.append(ReportTake("all takes together", {}, together))
    report = Report(
        title=f"Subject {subject.resolve().name}",
        takes=sections,
        facts={
            "Takes": str(len(takes)),
            "Template": f"{loaded.name} version {loaded.version}, {len(loaded.mesh.vertices_mm):,} vertices",
            "This run": f"{processed.runs} stage runs in {processed.seconds:.0f} s",
        },
        notes=[
            "Distances are from the registered mesh's skin to the scan, over its area; with relief: after the "
            "displacement map was applied. They say how well the mesh follows the scan, not how true the scan is."
        ],
        warnings=processed.warnings,
    )
    with named_disk_errors(out):
        write_report(prepared / subject_layout.REPORT, report)
    subject_layout.place(prepared, [*files, Path(subject_layout.REPORT)], out, work)


def _said_of_subject(results: Results) -> list[str]:
    """Why what was made of all takes together is not simply accepted."""
    said = []
    for stage, outputs in results.items():
        review = read_json(outputs[REVIEW].path) if REVIEW in outputs else {}
        said += [f"{stage}, {review['verdict']}: {reason}" for reason in review.get("reasons", [])]
    return said


@contextmanager
def _only_one(out: Path) -> Iterator[Path]:
    """The work folder under `out`, held by this process alone. Raises DataError when another one has it."""
    work = out / WORK
    try:
        with named_disk_errors(out):
            work.mkdir(parents=True, exist_ok=True)
            lock = (work / "lock").open("w")
    except (FileExistsError, NotADirectoryError):
        raise DataError(f"{out} is a file; name a folder for --out") from None
    except PermissionError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}; name another folder for --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another mien process is working in {out}; wait for it, or name another --out") from None
        yield work


def _check_room(out: Path, work: Path, takes: int) -> None:
    """Refuse to begin what cannot end. Raises DiskFull."""
    there = sum(p.stat().st_size for p in work.rglob("*") if p.is_file())
    if shutil.disk_usage(out).free + there < takes * ROOM_PER_TAKE:
        raise DiskFull(f"{disk_full(out)} {takes} takes need about {takes * ROOM_PER_TAKE / 1e6:.0f} MB.")
