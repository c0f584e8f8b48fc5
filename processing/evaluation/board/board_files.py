"""`mien benchmark run` and `evaluate`: methods over a benchmark's images, their figures and lineage into a folder.

RESULTS/benchmark.json              what they were measured on
RESULTS/<method>/meshes/, made.json what a method made, and by what
RESULTS/<method>/scores.csv         a row an image: every figure, or the reason why there is none
RESULTS/<method>/summary.json       means, successes, lineage
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from common.files.atomic_write import write_whole
from common.files.hashes import file_sha256
from common.files.json_object import read_json_object
from common.guarding.safe_text import is_plain
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark, BenchmarkImage
from processing.evaluation.board.aggregates import MethodScores, focal_groups, mean_of, pose_groups
from processing.evaluation.board.evaluating import Outcome, evaluate_folder, evaluator_version
from processing.evaluation.board.methods import MethodFile, read_method
from processing.evaluation.board.running import MethodUnavailable, Photo, read_made, run_method
from processing.evaluation.board.score_rows import FIGURES, ScoreRow

BENCHMARK, SUMMARY = "benchmark.json", "summary.json"
FORMAT = 1


@dataclass(frozen=True)
class RunChoice:
    """What is run, and how."""

    model: Path | None = None
    only: tuple[str, ...] = ()  # names or subjects of images, with * and ?; all of them otherwise
    again: bool = False  # also what is there, or failed, already
    workers: int | None = None  # processes that measure


@dataclass(frozen=True)
class MethodDone:
    """What was done of a method."""

    name: str
    images: int
    failed: int
    made: int  # meshes that were tried now
    measured: int  # images that were measured now
    unavailable: str = ""  # why it could not run here
    figures: tuple[tuple[str, float | None], ...] = ()

    def as_report(self) -> dict[str, Any]:
        told = {key: getattr(self, key) for key in ("name", "images", "failed", "made", "measured", "unavailable")}
        return told | {"figures": dict(self.figures)}


def run_methods(
    bench: Path, methods: Sequence[Path], out: Path, choice: RunChoice, *, progress: Progress = no_progress
) -> list[MethodDone]:
    """Run and measure methods on a benchmark, one after the other; one that cannot run here does not stop the others.

    Interrupted, all goes on from there the next time. Raises DataError for what is wrong with benchmark or methods.
    """
    benchmark = Benchmark.open(bench)
    images = chosen_images(benchmark, choice.only)
    files = [read_method(path) for path in methods]
    names = [file.method.name for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"two methods are called {twice[0]}; their results would lie in one folder: rename one")
    for file in files:
        file.words(Path(), Path(), choice.model)  # refused before anything runs
    _note_benchmark(benchmark, out)
    done = []
    for number, file in enumerate(files):
        share = part(progress, number / len(files), (number + 1) / len(files))
        done.append(_run_method(benchmark, images, file, out / file.method.name, choice, share))
    return done


def evaluate_meshes(
    bench: Path, folder: Path, name: str, out: Path, *, only: Sequence[str] = (), workers: int | None = None,
    progress: Progress = no_progress,
) -> MethodDone:  # fmt: skip
    """Measure a folder of meshes that somebody made, under a name of one's own. Raises DataError."""
    benchmark = Benchmark.open(bench)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of meshes (<image>.obj or .ply, <image>.camera.json)")
    if not 0 < len(name) <= 64 or Path(name).name != name or name.startswith(".") or not is_plain(name):
        raise DataError(f"{name[:80]!r} cannot be a method's name: its results lie in a folder of that name")
    images = chosen_images(benchmark, only)
    _note_benchmark(benchmark, out)
    home = out / name
    found = evaluate_folder(benchmark, images, folder, home, workers=workers, progress=progress)
    described = {"name": name, "description": "a folder of meshes"}
    return _summarise(benchmark, home, found.rows, described, folder, (0, found.fresh))


def chosen_images(benchmark: Benchmark, only: Sequence[str]) -> list[BenchmarkImage]:
    """The images whose name or subject is like one of `only`. Raises DataError where there are none."""
    images = list(benchmark.images)
    if not only:
        return images
    kept = [i for i in images if any(fnmatchcase(i.name, like) or fnmatchcase(i.subject, like) for like in only)]
    if not kept:
        raise DataError(
            f"no image or subject of {benchmark.folder} is like {', '.join(only)}; its first is {images[0].name} "
            f"of subject {images[0].subject}"
        )
    return kept


def benchmark_hash(folder: Path) -> str:
    """12 hexadecimal digits of what a benchmark says it is. Raises DataError."""
    try:
        return "".join(file_sha256(folder / name)[:6] for name in ("benchmark.json", "images.csv"))
    except OSError as error:
        raise DataError(f"{folder} is no benchmark: {error}; make one with mien benchmark make") from None


def _run_method(
    benchmark: Benchmark, images: Sequence[BenchmarkImage], file: MethodFile, home: Path, choice: RunChoice,
    progress: Progress,
) -> MethodDone:  # fmt: skip
    photos = [Photo(i.name, benchmark.picture_path(i), i.focal_px) for i in images]
    try:
        run = run_method(file, photos, home, model=choice.model, again=choice.again, progress=part(progress, 0.0, 0.7))
    except MethodUnavailable as error:
        return MethodDone(file.method.name, 0, 0, 0, 0, unavailable=str(error))
    outcomes = {name: Outcome(made.fault, made.seconds) for name, made in read_made(home).items()}
    found = evaluate_folder(
        benchmark, images, run.folder, home, outcomes=outcomes, workers=choice.workers,
        progress=part(progress, 0.7, 1.0),
    )  # fmt: skip
    method = file.method
    described = {
        "name": method.name, "description": method.description, "reference": method.reference,
        "projection": method.projection, "sees_focal": method.sees_focal, "command": list(method.command),
        "values": dict(method.values), "model": choice.model.name if choice.model and file.needs_model else None,
        "key": file.key(choice.model),
    }  # fmt: skip
    return _summarise(benchmark, home, found.rows, described, run.folder, (run.fresh, found.fresh))


def _summarise(
    benchmark: Benchmark, home: Path, rows: Sequence[ScoreRow], described: dict[str, Any], meshes: Path,
    fresh: tuple[int, int],
) -> MethodDone:  # fmt: skip
    """Write summary.json: means over all and by group, successes, and where they come from."""
    scores = MethodScores(described["name"], rows)
    groups = [*pose_groups(benchmark.kind, rows), *focal_groups(rows)]
    means = {figure: mean_of(rows, figure) for figure in FIGURES}
    told = {
        "format": FORMAT,
        "method": described,
        "benchmark": {"name": benchmark.name, "kind": benchmark.kind, "hash": benchmark_hash(benchmark.folder)},
        "evaluator": evaluator_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "meshes": os.path.relpath(meshes, home),
        "images": [row.name for row in rows],
        "failed": {row.name: row.reason for row in scores.failed},
        "success": scores.success,
        "seconds": scores.seconds,
        "means": means,
        "by_group": {
            group.label: {figure: mean_of(group.of(rows), figure) for figure in FIGURES}
            | {"images": len(group.of(rows))}
            for group in groups
        },
    }
    write_whole(home / SUMMARY, json.dumps(told, indent=1) + "\n")
    figures = tuple((figure, means[figure]) for figure in ("cd_mm", "mne_rad", "completeness", "icp_mm"))
    return MethodDone(described["name"], len(rows), len(scores.failed), *fresh, figures=figures)


def _note_benchmark(benchmark: Benchmark, out: Path) -> None:
    """Say what the results are of. Raises DataError where they are of another benchmark."""
    path, own = out / BENCHMARK, benchmark_hash(benchmark.folder)
    if path.is_file():
        found = read_json_object(path, DataError, what="the results' benchmark")
        if found.get("hash") != own:
            raise DataError(
                f"{out} holds results of benchmark {found.get('name')} ({found.get('hash')}), not of "
                f"{benchmark.name} ({own}): give another --out"
            )
    out.mkdir(parents=True, exist_ok=True)
    told = {
        "format": FORMAT, "name": benchmark.name, "kind": benchmark.kind, "hash": own,
        "images": len(benchmark.images), "folder": os.path.relpath(benchmark.folder, out),
    }  # fmt: skip
    write_whole(path, json.dumps(told, indent=1) + "\n")
