"""What the landmark detector sees in renders whose truth is known: made once, beside the renders."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from common.array_types import Floats, Floats32
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.landmarks.detector import LandmarkDetector
from processing.single_view.fitting.landmark_places import POINTS
from processing.training.regressor.renders import Shard, read_shard
from processing.training.regressor.settings import RegressorError

_SUFFIX = ".landmarks.npz"


@dataclass(frozen=True, eq=False)
class Detections:
    """N renders in which a face was seen."""

    landmarks_px: Floats32  # (N, 478, 2)
    points_mm: Floats32  # (N, M, 3) compared points, model's frame
    scores: Floats32  # (N, n) NaN where the model did not make the face
    weights: Floats32  # (N, U) likewise
    K: Floats32  # (N, 3, 3)
    R: Floats32  # (N, 3, 3)
    t: Floats32  # (N, 3) mm

    def __len__(self) -> int:
        return len(self.scores)


def detections_of(shards: Sequence[Path], *, progress: Progress = no_progress) -> Detections:
    """Of files of renders, in their order; each is looked at once and what was seen is kept beside it.

    Raises RegressorError where no face is seen in any.
    """
    parts: dict[str, list[Floats32]] = {one.name: [] for one in fields(Detections)}
    with LandmarkDetector() as detector:
        for number, path in enumerate(shards):
            progress(number / len(shards), f"landmarks of file {number + 1} of {len(shards)}")
            shard = read_shard(path)
            landmarks = _seen(path.with_suffix(_SUFFIX), shard, detector)
            found = np.isfinite(landmarks).all(axis=(1, 2))
            parts["landmarks_px"].append(landmarks[found])
            for name, rows in parts.items():
                if name != "landmarks_px":
                    rows.append(getattr(shard, name)[found])
    whole = Detections(**{name: np.concatenate(rows) for name, rows in parts.items()})
    if not len(whole):
        raise RegressorError("the landmark detector sees no face in any render: train with --set reads=pixels")
    return whole


def _seen(kept: Path, shard: Shard, detector: LandmarkDetector) -> Floats32:
    """(N, 478, 2) px; NaN where no face was seen."""
    try:
        landmarks = np.asarray(read_npz(kept, {"landmarks_px"})["landmarks_px"], np.float32)
        if landmarks.shape == (len(shard), POINTS, 2):
            return landmarks
    except (OSError, KeyError, ValueError):
        pass  # not there, or not whole: looked at anew
    rows: list[Floats] = []
    for number in range(len(shard)):
        found = detector.detect(shard.image(number))
        rows.append(np.full((POINTS, 2), np.nan) if found is None else found[:POINTS])
    landmarks = np.stack(rows).astype(np.float32)
    with atomic_write(kept) as temporary, temporary.open("wb") as file:
        np.savez(file, landmarks_px=landmarks)
    return landmarks
