"""A studio's own photographs as samples: pictures with the faces that `mien face fit` found in them.

    DIR/<name>.jpg (or .png, .tif, ...)     the photograph
    DIR/<name>.fit.json                     its fit, as `mien face fit DIR/<name>.jpg --out DIR` writes it

A fit is no truth, but it is of skin, hair, glasses and light as they are, which renders are not. Those whose verdict
asks a person to look are left out. The people in them must have agreed to be learned from.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.array_types import Floats, Ints64
from common.bounded.json_toml import read_json
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.face_state import identity_of
from processing.learning.regressor.face_crop import five_points
from processing.single_view.photo_camera import WEAK_DISTANCE_MM
from processing.single_view.photograph_files import read_photograph
from processing.training.regressor.renders import seen_five, shard_of, write_shard
from processing.training.regressor.settings import RegressorError, RegressorSettings

SUFFIX = ".fit.json"
_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_ROOM = 1.9  # of the picture that is kept, by the extent of the face's landmarks
_MOST_BYTES = 8 << 20


def photograph_shards(
    folder: Path,
    work: Path,
    model: FaceModel,
    vertices: Ints64,
    settings: RegressorSettings,
    *,
    progress: Progress = no_progress,
) -> list[Path]:
    """Files as renders have them, of all photographs in a folder whose fit was good; made once.

    Raises RegressorError where there is none, or a fit is of another model.
    """
    from common.identity_model.face_features import FaceFeatures

    fits = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not fits:
        raise RegressorError(f"{folder} holds no <name>{SUFFIX}: fit the photographs there (mien face fit ... --out)")
    work.mkdir(parents=True, exist_ok=True)
    finder = FaceFeatures(problem=RegressorError)
    rows: list[dict[str, Any]] = []
    pictures: list[Any] = []
    for number, path in enumerate(fits):
        progress(number / len(fits), f"photograph {number + 1} of {len(fits)}")
        sample = photograph_sample(path, model, vertices, settings, finder)
        if sample is not None:
            pictures.append(sample.pop("picture"))
            rows.append(sample)
    if not rows:
        raise RegressorError(f"of {len(fits)} fits in {folder} none was good enough to learn from")
    paths = []
    for start in range(0, len(rows), settings.shard):
        part = slice(start, start + settings.shard)
        paths.append(work / f"photographs-{start // settings.shard:05d}.npz")
        write_shard(paths[-1], shard_of(rows[part], pictures[part]))
    return paths


def photograph_sample(
    fit_path: Path, model: FaceModel, vertices: Ints64, settings: RegressorSettings, finder: Any
) -> dict[str, Any] | None:
    """One photograph cut out about its face, and what its fit says; None for a fit that a person should look at."""
    name = fit_path.name.removesuffix(SUFFIX)
    try:
        said = read_json(fit_path, most=_MOST_BYTES)
        if said["model"]["topology"] != model.topology.topology or len(said["scores"]) != model.identity_count:
            raise RegressorError(
                f"{fit_path} is a fit of model {str(said['model']['name'])[:40]}; fit the photographs with {model.name}"
            )
        if said["review"]["verdict"] != "accept":
            return None
        scores = np.array(said["scores"], np.float64)
        weights = np.array([said["weights"][unit] for unit in model.units], np.float64)
        K, R, t = _camera(said["camera"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise RegressorError(f"{fit_path} is no fit of a photograph ({error}); fit it again") from None
    picture = next((p for end in _PICTURES if (p := fit_path.with_name(name + end)).is_file()), None)
    if picture is None:
        raise RegressorError(f"there is no photograph {name}.jpg beside {fit_path}: put the photographs there")
    image = read_photograph(picture).image
    face = model.face(identity_of(model, scores), weights)
    landmarks = model.topology.landmark_points(face)
    matrix = _cut(_projected(landmarks, K, R, t), settings.render_px)
    size = (settings.render_px, settings.render_px)
    way = cv2.INTER_AREA if matrix[0, 0] < 1 else cv2.INTER_LINEAR
    cut = np.asarray(cv2.warpAffine(image, matrix, size, flags=way, borderValue=(128, 128, 128)), np.uint8)
    K = np.vstack([matrix, [0, 0, 1]]) @ K
    five_px = _projected(five_points(landmarks), K, R, t)
    _, stored = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return {
        "picture": np.asarray(stored, np.uint8).ravel(), "points_mm": face[vertices], "scores": scores,
        "weights": weights, "K": K, "R": R, "t": t, "five_px": five_px,
        "found_px": seen_five(finder.find(cut), five_px, settings.render_px),
    }  # fmt: skip


def _camera(said: dict[str, Any]) -> tuple[Floats, Floats, Floats]:
    """K, R and t of a fit's camera; one without perspective stands far away."""
    R = np.array(said["R"], np.float64)
    if said["projection"] == "perspective":
        K, t = np.array(said["K"], np.float64), np.array(said["t"], np.float64)
    else:
        focal = float(said["scale"]) * WEAK_DISTANCE_MM
        K = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]])
        t = np.r_[np.array(said["t"], np.float64) / float(said["scale"]), WEAK_DISTANCE_MM]
    if R.shape != (3, 3) or K.shape != (3, 3) or t.shape != (3,) or not np.isfinite(np.r_[R, K, t[None]]).all():
        raise ValueError("its camera is none")
    return K, R, t


def _projected(points: Floats, K: Floats, R: Floats, t: Floats) -> Floats:
    seen = (points @ R.T + t) @ K.T
    return np.asarray(seen[:, :2] / seen[:, 2:])


def _cut(landmarks_px: Floats, size_px: int) -> Floats:
    """(2, 3) from the photograph to the piece about the face."""
    low, high = landmarks_px.min(axis=0), landmarks_px.max(axis=0)
    scale = size_px / (_ROOM * float((high - low).max()))
    shift = (size_px - 1) / 2 - scale * (low + high) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
