"""Renders to learn from, in files of some hundred: made once, by several processes, and not again where they are.

Shard `number` of a seed follows from both alone, so a preparation that was stopped goes on, and one with more
photographs keeps those that it has. They lie in the run's folder and show members' skin: they are as much to be
guarded as the release itself, and can be deleted once the training has ended.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32, Image, Ints64
from common.bounded.npz_files import map_npz, read_npz
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.learning.regressor.face_crop import five_points
from processing.synthetic.face_photographs import FacePhotography
from processing.synthetic.training_photographs import draw_photograph
from processing.training.regressor.face_draws import draw_face
from processing.training.regressor.settings import RegressorError, RegressorSettings

_MAPPED = ("jpeg", "points_mm")
_QUALITY = 95  # of the JPEGs that renders are kept as


@dataclass(frozen=True, eq=False)
class Shard:
    """Photographs and what is true of them."""

    jpeg: NDArray[np.uint8]  # (B,) all pictures, one after the other
    starts: Ints64  # (N + 1,) where each begins
    points_mm: Floats32  # (N, M, 3) of the compared vertices, model's frame
    scores: Floats32  # (N, n) deviations; NaN for a face that the model did not make
    weights: Floats32  # (N, U); NaN likewise
    K: Floats32  # (N, 3, 3)
    R: Floats32  # (N, 3, 3)
    t: Floats32  # (N, 3) mm
    five_px: Floats32  # (N, 5, 2) eyes, nose, mouth's corners as they are
    found_px: Floats32  # (N, 5, 2) as a detector sees them; NaN where it sees no face

    def image(self, number: int, *, half: bool = False) -> Image:
        """(H, W, 3) BGR; half: of half the size, which is decoded faster."""
        stored = self.jpeg[self.starts[number] : self.starts[number + 1]]
        return np.asarray(cv2.imdecode(stored, cv2.IMREAD_REDUCED_COLOR_2 if half else cv2.IMREAD_COLOR), np.uint8)

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class FaceSource:
    """Where faces to render come from: drawn from the model, or given meshes of people."""

    model: FaceModel
    textures: tuple[Image, ...]  # RGB
    meshes: tuple[tuple[Floats, Image], ...] = ()  # (V, 3) mm and BGR texture; some: these are rendered


def prepare_shards(
    folder: Path,
    count: int,
    source: FaceSource,
    vertices: Ints64,
    settings: RegressorSettings,
    *,
    seed: int,
    progress: Progress = no_progress,
) -> list[Path]:
    """The files of shards 0..count - 1 under `folder`, those that are not there yet rendered by several processes.

    Raises RegressorError where a process fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"shard-{number:05d}.npz" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    if not missing:
        return paths
    given = (source, vertices, settings, seed)
    if settings.processes == 1:
        _begin(*given)
        for done, number in enumerate(missing, 1):
            _render(paths[number], number)
            progress(done / len(missing), f"{done} of {len(missing)} files of renders")
        return paths
    workers = min(settings.processes, len(missing))
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, given) as pool:
        jobs = [pool.submit(_render, paths[number], number) for number in missing]
        for done, job in enumerate(as_completed(jobs), 1):
            try:
                job.result()
            except DataError:
                raise
            except Exception as error:
                raise RegressorError(f"renders could not be made: {error}") from error
            progress(done / len(missing), f"{done} of {len(missing)} files of renders")
    return paths


def read_shard(path: Path) -> Shard:
    """What a preparation wrote. Raises RegressorError."""
    return _shard(path, lambda names: read_npz(path, names))


def map_shard(path: Path) -> Shard:
    """`read_shard`, pictures and points left in the file until they are looked at. Raises RegressorError."""

    def mapped(names: tuple[str, ...]) -> Mapping[str, Any]:
        arrays, check = map_npz(path, names, _MAPPED)
        check()
        return arrays

    return _shard(path, mapped)


def _shard(path: Path, arrays_of: Callable[[tuple[str, ...]], Mapping[str, Any]]) -> Shard:
    names = tuple(one.name for one in fields(Shard))
    try:
        arrays = arrays_of(names)
        shard = Shard(**{name: arrays[name] for name in names})
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise RegressorError(f"{path} holds no renders ({error}); delete it, and it is made again") from None
    if len(shard.starts) != len(shard) + 1 or shard.starts[-1] != len(shard.jpeg):
        raise RegressorError(f"{path} is cut short; delete it, and it is made again")
    return shard


_given: tuple[FaceSource, Ints64, RegressorSettings, int] | None = None
_finder: Any = None


def _begin(source: FaceSource, vertices: Ints64, settings: RegressorSettings, seed: int) -> None:
    global _given, _finder  # of a process that renders, set once when it begins
    from common.identity_model.face_features import FaceFeatures

    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    _given, _finder = (source, vertices, settings, seed), FaceFeatures(problem=RegressorError)


def _render(path: Path, number: int) -> None:
    assert _given is not None
    source, vertices, settings, seed = _given
    write_shard(path, render_shard(source, vertices, settings, np.random.default_rng([seed, number]), _finder))


def write_shard(path: Path, shard: Shard) -> None:
    """Whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{one.name: getattr(shard, one.name) for one in fields(Shard)})


def render_shard(
    source: FaceSource, vertices: Ints64, settings: RegressorSettings, rng: np.random.Generator, finder: Any
) -> Shard:
    """`settings.shard` photographs, `views` of each face. finder: `.find(bgr)` gives YuNet's row of a face, or None."""
    model = source.model
    rows: list[dict[str, Any]] = []
    pictures: list[NDArray[np.uint8]] = []
    while len(rows) < settings.shard:
        scores, weights, vertices_mm, photography = _face(source, rng)
        five_mm = five_points(model.topology.landmark_points(vertices_mm))
        for _ in range(min(settings.views, settings.shard - len(rows))):
            drawn = draw_photograph(rng, photography, settings.limits)
            _, stored = cv2.imencode(".jpg", drawn.image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            pictures.append(np.asarray(stored, np.uint8).ravel())
            row = finder.find(drawn.image)
            five_px = drawn.camera.project(five_mm)
            rows.append({
                "points_mm": vertices_mm[vertices], "scores": scores, "weights": weights, "K": drawn.camera.K,
                "R": drawn.camera.R, "t": drawn.camera.t, "five_px": five_px,
                "found_px": seen_five(row, five_px, settings.render_px),
            })  # fmt: skip
    return shard_of(rows, pictures)


def shard_of(rows: Sequence[Mapping[str, Any]], pictures: Sequence[NDArray[np.uint8]]) -> Shard:
    """rows: of each photograph what Shard says of it.  pictures: as JPEG."""
    arrays = {key: np.stack([row[key] for row in rows]).astype(np.float32) for key in rows[0]}
    starts = np.r_[0, np.cumsum([len(one) for one in pictures])].astype(np.int64)
    return Shard(jpeg=np.concatenate(pictures), starts=starts, **arrays)


def _face(source: FaceSource, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, FacePhotography]:
    model = source.model
    if not source.meshes:
        face = draw_face(rng, model, source.textures)
        return face.scores, face.weights, face.vertices_mm, face.photography
    vertices_mm, texture = source.meshes[int(rng.integers(len(source.meshes)))]
    unknown = np.full(model.identity_count, np.nan), np.full(len(model.units), np.nan)
    return *unknown, vertices_mm, FacePhotography(model.topology.mesh.with_vertices(vertices_mm), texture)


def seen_five(row: Any, five_px: Floats, size_px: int) -> Floats:
    """(5, 2) of a detector's row (15,); NaN without one, or where it saw something else."""
    if row is None:
        return np.full((5, 2), np.nan)
    points = np.asarray(row[4:14], np.float64).reshape(5, 2)
    off = np.linalg.norm(points.mean(axis=0) - five_px.mean(axis=0))
    return points if off < 0.12 * size_px else np.full((5, 2), np.nan)
