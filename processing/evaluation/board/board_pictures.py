"""The board's pictures: the same faces by all methods beside each other, and each method's worst."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from common.array_types import Image
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark, BenchmarkImage
from processing.evaluation.board.aggregates import MethodScores
from processing.evaluation.board.face_pictures import MOST_MM, predicted_pictures, true_picture
from processing.evaluation.metrics.predictions import TruthFace, read_prediction
from processing.files.image_files import write_image
from processing.geometry import rendering

WORST = 4  # images of each method
COMPARED = 4  # images that are shown by all methods


class Results(Protocol):
    """A method's figures and meshes."""

    @property
    def scores(self) -> MethodScores: ...
    @property
    def meshes(self) -> Path: ...


@dataclass(frozen=True)
class Shown:
    """A picture on the page."""

    file: str  # beside the page
    caption: str
    width: int
    height: int


@dataclass
class BoardPictures:
    """All pictures of a board."""

    compared: list[tuple[str, list[Shown]]] = field(default_factory=list)  # image; its pictures
    worst: list[tuple[str, list[Shown]]] = field(default_factory=list)  # method; its worst images
    most_mm: float = MOST_MM


class _Faces:
    """True faces, the last one kept."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.benchmark = benchmark
        self._key, self._truth = "", TruthFace.__new__(TruthFace)

    def of(self, image: BenchmarkImage) -> TruthFace:
        key = self.benchmark.key(image)
        if key != self._key:
            self._key, self._truth = key, self.benchmark.truth(image)
        return self._truth


def draw_pictures(
    benchmark: Benchmark, methods: Sequence[Results], out: Path, *, progress: Progress = no_progress
) -> BoardPictures:
    """Write the pictures into `out`, which lies beside the page; a mesh that cannot be shown has none."""
    by_name = {image.name: image for image in benchmark.images}
    ordered = sorted(methods, key=lambda method: _mean(method.scores))
    faces, found = _Faces(benchmark), BoardPictures()
    compared = compared_images(benchmark, [method.scores for method in methods])
    steps = len(compared) + len(ordered)
    for number, image in enumerate(compared):
        progress(number / steps, f"pictures of {image.name}")
        found.compared.append((_about(image), _beside(faces, image, ordered, out)))
    for number, method in enumerate(ordered, len(compared)):
        progress(number / steps, f"pictures of {method.scores.name}")
        rows = sorted((row for row in method.scores.rows if "cd_mm" in row.figures), key=lambda r: -r.figures["cd_mm"])
        worst = [(by_name[row.name], row.figures["cd_mm"]) for row in rows[:WORST]]
        shown = [_worst(faces, image, cd_mm, method, out) for image, cd_mm in worst]
        found.worst.append((method.scores.name, [one for one in shown if one is not None]))
    return found


def compared_images(benchmark: Benchmark, methods: Sequence[MethodScores]) -> list[BenchmarkImage]:
    """An image of each pose, of different subjects and focal lengths where there are several, that all succeeded on."""
    common = set.intersection(*({row.name for row in one.rows if row.succeeded} for one in methods))
    images = [image for image in benchmark.images if image.name in common]
    chosen: list[BenchmarkImage] = []
    for group in dict.fromkeys(image.bin for image in images):
        own = [image for image in images if image.bin == group]
        fresh = [i for i in own if i.subject not in {c.subject for c in chosen}] or own
        other = [i for i in fresh if i.focal_px not in {c.focal_px for c in chosen}] or fresh
        chosen.append(other[0])
    return chosen[:COMPARED]


def _beside(faces: _Faces, image: BenchmarkImage, methods: Sequence[Results], out: Path) -> list[Shown]:
    truth, camera = faces.of(image), faces.benchmark.camera(image)
    shown = [_write(out, f"{image.name}.photo.png", faces.benchmark.picture(image), "photograph")]
    shown.append(_write(out, f"{image.name}.truth.png", true_picture(truth, camera), "true face"))
    for method in methods:
        row = next(row for row in method.scores.rows if row.name == image.name)
        try:
            pictures = predicted_pictures(truth, camera, read_prediction(method.meshes, image.name))
        except DataError:
            continue
        caption = f"{method.scores.name}: {row.figures['cd_mm']:.2f} mm"
        both = rendering.beside([pictures.shaded, pictures.distances])
        shown.append(_write(out, f"{image.name}.{method.scores.name}.png", both, caption))
    return shown


def _worst(faces: _Faces, image: BenchmarkImage, cd_mm: float, method: Results, out: Path) -> Shown | None:
    truth, camera = faces.of(image), faces.benchmark.camera(image)
    try:
        pictures = predicted_pictures(truth, camera, read_prediction(method.meshes, image.name))
    except DataError:
        return None
    row = rendering.beside([faces.benchmark.picture(image), pictures.shaded, pictures.distances])
    return _write(out, f"worst.{method.scores.name}.{image.name}.png", row, f"{_about(image)}: {cd_mm:.2f} mm")


def _write(out: Path, name: str, picture: Image, caption: str) -> Shown:
    write_image(out / name, picture)
    return Shown(f"{out.name}/{name}", caption, picture.shape[1], picture.shape[0])


def _about(image: BenchmarkImage) -> str:
    focal = f", {image.focal_px:g} px" if image.focal_px else ""
    return f"{image.name} ({image.pose_deg:.0f}°{focal})"


def _mean(method: MethodScores) -> float:
    values = [row.figures["cd_mm"] for row in method.rows if "cd_mm" in row.figures]
    return sum(values) / len(values) if values else float("inf")
