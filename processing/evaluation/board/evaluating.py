"""Measuring a folder of meshes on a benchmark: in several processes, only what is not measured yet, every failure kept.

A row of figures belongs to what it was measured on: a hash of truth, camera, prediction and the evaluator's own code.
"""

import hashlib
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from common.files.hashes import file_sha256
from common.processors import usable_cpus
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.evaluation import metrics
from processing.evaluation.benchmark_files import Benchmark, BenchmarkImage
from processing.evaluation.board.meshes import prediction_hash
from processing.evaluation.board.score_rows import SCORES, ScoreRow, figures_of, read_rows, write_rows
from processing.evaluation.metrics.evaluate import evaluate_image
from processing.evaluation.metrics.predictions import TruthFace, read_prediction
from processing.evaluation.metrics.scores import ImageScores

A_JOB = 11  # images of one subject that a process gets at a time
SAVE_S = 15.0  # rows are written at least so often: what an interruption loses


@dataclass(frozen=True)
class Outcome:
    """What a method's run says of an image."""

    fault: str = ""  # why there is no mesh
    seconds: float | None = None


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate_folder` did."""

    rows: list[ScoreRow]  # of every image that was asked for, now or before
    fresh: int  # how many were measured now


def evaluate_folder(
    benchmark: Benchmark,
    images: Sequence[BenchmarkImage],
    folder: Path,
    home: Path,
    *,
    outcomes: Mapping[str, Outcome] | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> Evaluated:
    """Measure the meshes of a folder (<name>.ply or .obj, <name>.camera.json) and write home/scores.csv.

    outcomes: what is known of the images' meshes otherwise. workers: processes; as many as are worth it by default.
    Interrupted, what is measured is kept. Raises DataError for a benchmark or figures that cannot be read.
    """
    outcomes = outcomes or {}
    keys = {image.name: _key(benchmark, image, folder, outcomes.get(image.name, Outcome())) for image in images}
    home.mkdir(parents=True, exist_ok=True)
    known = {row.name: row for row in read_rows(home / SCORES)}
    for image in benchmark.images:  # those of earlier runs are kept while they hold
        if image.name in known and image.name not in keys:
            keys[image.name] = _key(benchmark, image, folder, outcomes.get(image.name, Outcome()))
    known = {name: row for name, row in known.items() if row.key == keys.get(name)}
    todo = []
    for image in images:
        row, outcome = known.get(image.name), outcomes.get(image.name, Outcome())
        if row is not None and row.key == keys[image.name]:
            continue
        known.pop(image.name, None)
        if outcome.fault or not prediction_hash(folder, image.name):
            reason = outcome.fault or "there is no mesh"
            known[image.name] = ScoreRow(image.name, keys[image.name], reason, {}, about_image(image), outcome.seconds)
        else:
            todo.append(image)
    saved = time.monotonic()
    try:
        for done, (image, scores) in enumerate(_measure(benchmark, todo, folder, workers), 1):
            seconds = outcomes.get(image.name, Outcome()).seconds
            known[image.name] = _row(image, keys[image.name], scores, seconds)
            progress(done / len(todo), f"measured {done} of {len(todo)}")
            if time.monotonic() - saved > SAVE_S:
                write_rows(home / SCORES, list(known.values()))
                saved = time.monotonic()
    finally:
        write_rows(home / SCORES, list(known.values()))
    return Evaluated(sorted(known.values(), key=lambda row: row.name), len(todo))


def about_image(image: BenchmarkImage) -> dict[str, str]:
    """What the benchmark says of an image, as a row has it."""
    names = ("subject", "pose_deg", "yaw_deg", "pitch_deg", "focal_px", "expression", "bin")
    found = {name: getattr(image, name) for name in names}
    return {name: "" if value is None else _spelt(value) for name, value in found.items()}


@cache
def evaluator_version() -> str:
    """12 hexadecimal digits of the evaluator's own code."""
    own = Path(metrics.__file__).parent
    content = [path.name + file_sha256(path) for path in sorted(own.glob("*.py"))]
    return hashlib.sha256(" ".join(content).encode()).hexdigest()[:12]


def _spelt(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(image: BenchmarkImage, key: str, scores: ImageScores, seconds: float | None) -> ScoreRow:
    figures = {} if scores.reason else figures_of(scores)
    return ScoreRow(image.name, key, scores.reason or "", figures, about_image(image), seconds, scores.notes)


def _key(benchmark: Benchmark, image: BenchmarkImage, folder: Path, outcome: Outcome) -> str:
    truth = [_hash(path) for path in _measured_files(benchmark, image)]
    try:
        prediction = prediction_hash(folder, image.name)
    except OSError as error:
        raise DataError(f"a mesh of {folder} cannot be read: {error}") from None
    said = [*truth, prediction, outcome.fault, evaluator_version()]
    return hashlib.sha256(" ".join(said).encode()).hexdigest()


def _measured_files(benchmark: Benchmark, image: BenchmarkImage) -> list[Path]:
    """All that an image's figures depend on but for the prediction."""
    truth = benchmark.folder / "truth" / f"{benchmark.key(image)}.ply"
    beside = truth.with_suffix(".npz")
    camera = benchmark.folder / "cameras" / f"{image.name}.json"
    return [truth, *([beside] if beside.is_file() else []), camera]


@lru_cache(maxsize=4096)
def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise DataError(f"{path} of the benchmark cannot be read: {error.strerror or error}") from None


def _measure(
    benchmark: Benchmark, images: Sequence[BenchmarkImage], folder: Path, workers: int | None
) -> Iterator[tuple[BenchmarkImage, ImageScores]]:
    """Figures as they are there, images of one subject together: a process reads a truth once."""
    jobs = [part for group in _by_subject(images) for part in _parts(group)]
    count = min(usable_cpus(), len(images) // 8 + 1) if workers is None else workers
    if count <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield from _one_by_one(benchmark, job, folder)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        waiting: set[Future[list[tuple[BenchmarkImage, ImageScores]]]] = set()
        try:
            for job in jobs:
                waiting.add(pool.submit(_measure_job, benchmark.folder, job, folder))
                if len(waiting) >= 2 * count:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield from future.result()
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _measure_job(
    folder: Path, images: Sequence[BenchmarkImage], meshes: Path
) -> list[tuple[BenchmarkImage, ImageScores]]:
    """In a process of its own."""
    return list(_one_by_one(_opened(folder), images, meshes))


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Benchmark:
    return Benchmark.open(folder)


def _one_by_one(
    benchmark: Benchmark, images: Sequence[BenchmarkImage], folder: Path
) -> Iterator[tuple[BenchmarkImage, ImageScores]]:
    truth: TruthFace | None = None
    of = ""
    for image in images:
        if truth is None or benchmark.key(image) != of:
            truth, of = benchmark.truth(image), benchmark.key(image)
        try:
            prediction = read_prediction(folder, image.name)
        except DataError as error:
            yield image, ImageScores(reason=f"its mesh cannot be used: {error}".replace(f"{folder}/", ""))
            continue
        try:
            yield image, evaluate_image(truth, benchmark.camera(image), prediction)
        except DataError as error:
            raise DataError(f"image {image.name} of {benchmark.folder}: {error}") from error


def _by_subject(images: Sequence[BenchmarkImage]) -> list[list[BenchmarkImage]]:
    groups: dict[str, list[BenchmarkImage]] = {}
    for image in images:
        groups.setdefault(image.subject, []).append(image)
    return list(groups.values())


def _parts(images: list[BenchmarkImage]) -> list[list[BenchmarkImage]]:
    return [images[start : start + A_JOB] for start in range(0, len(images), A_JOB)]
