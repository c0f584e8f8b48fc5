"""Renders to batches: a crop as a detector would choose it and not quite, mirrored or not, spoiled, with its truth."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from common.array_types import Floats, Floats32, Image, Ints64
from processing.learning.regressor.face_crop import FaceCrop, changed_crop, crop_of_points, halved_crop
from processing.learning.regressor.face_mirror import FaceMirror
from processing.learning.regressor.face_network import five_inputs
from processing.learning.regressor.line_of_sight import line_of_sight
from processing.synthetic.training_photographs import Spoiling, spoil
from processing.training.regressor.renders import map_shard

_DETECTED = 0.75  # share of crops by the detector's points, where it had some; the others by the true ones
_UNTOLD = 0.08  # share of crops whose five points the network is not told
_POINTS_OFF = 0.05  # of the points' extent, by which true ones are moved at most (deviation)
_FAR = 0.12  # share of crops that are far off
#: Deviation of the turn (rad), the size (logarithm) and the place (sides) of crops that are nearly right; most of
#: those that are not.
_NEAR_OFF, _FAR_OFF = (0.08, 0.06, 0.025), (0.7, 0.3, 0.12)


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """B crops and their truth; lengths of the crop in its sides."""

    images: Image  # (B, S, S, 3) BGR
    five: Floats32  # (B, 11) as the network takes the five points
    points_mm: Floats32  # (B, M, 3) model's frame
    seen: Floats32  # (B, M, 2) where each is in the crop
    R: Floats32  # (B, 3, 3) model's frame to the line of sight's
    size: Floats32  # (B,) crop sides a mm
    distance_mm: Floats32  # (B,)
    scores: Floats32  # (B, n)
    weights: Floats32  # (B, U)
    known: Floats32  # (B,) 1 where scores and weights are


class Samples:
    """All photographs of some shards; the pictures stay in their files until they are looked at."""

    def __init__(
        self, paths: Sequence[Path], pivot_mm: Floats, mirror: FaceMirror, input_px: int, picture_px: int
    ) -> None:
        """picture_px: side of the pictures in the files."""
        self.shards = [map_shard(path) for path in paths]
        self.pivot_mm, self.mirror, self.input_px, self.picture_px = pivot_mm, mirror, input_px, picture_px
        lengths = [len(shard) for shard in self.shards]
        self._of = np.repeat(np.arange(len(lengths)), lengths)
        self._row = np.concatenate([np.arange(length) for length in lengths]) if lengths else np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._of)

    def batch(
        self,
        numbers: Ints64,
        rng: np.random.Generator | None,
        spoiling: Spoiling | None = None,
        *,
        size_px: int | None = None,
    ) -> FaceBatch:
        """rng: None for pictures as they are, cropped as they would be; else each drawn another way each time.
        size_px: of the crops, where it is not the network's.
        """
        rows = [self._one(int(n), rng, spoiling, size_px or self.input_px) for n in numbers]
        return FaceBatch(**{one.name: np.stack([row[one.name] for row in rows]) for one in fields(FaceBatch)})

    def blind(self, numbers: Ints64, rng: np.random.Generator) -> dict[str, Floats32]:
        """A batch without pictures, and `place` (B, 2), where the pivot is in the crop."""
        rows = [self._draw(int(n), rng, self.input_px)[0] for n in numbers]
        found = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        return found | {"place": np.stack([self._pivot_place(row) for row in rows])}

    def _one(
        self, number: int, rng: np.random.Generator | None, spoiling: Spoiling | None, size_px: int
    ) -> dict[str, Any]:
        row, crop, mirrored, eyes_px = self._draw(number, rng, size_px)
        half = crop.scale < 0.5
        image = self.shards[self._of[number]].image(int(self._row[number]), half=half)
        seen_by = halved_crop(crop) if half else crop
        taken = seen_by.take(np.ascontiguousarray(image[:, ::-1]) if mirrored else image)
        if rng is not None:
            taken = spoil(rng, taken, eyes_px=crop.to_crop(eyes_px), how=spoiling)
        return {"images": taken, **row}

    def _draw(
        self, number: int, rng: np.random.Generator | None, size_px: int
    ) -> tuple[dict[str, Any], FaceCrop, bool, Floats]:
        """All but the picture; the crop, whether it is of the mirrored picture, and the eyes (2, 2) there."""
        shard, at = self.shards[self._of[number]], int(self._row[number])
        R, t, K = (a[at].astype(np.float64) for a in (shard.R, shard.t, shard.K))
        points, scores, weights = shard.points_mm[at], shard.scores[at], shard.weights[at]
        five, found = shard.five_px[at].astype(np.float64), shard.found_px[at].astype(np.float64)
        mirrored = rng is not None and rng.random() < 0.5
        if mirrored:
            five, found = (_mirrored_px(p, self.picture_px) for p in (five, found))
            points, scores = self.mirror.points(points), self.mirror.scores(scores)
            weights = self.mirror.weights(weights)
            flip = np.diag([-1.0, 1.0, 1.0])
            R, t, K = flip @ R @ flip, flip @ t, K.copy()
            K[0, 2] = self.picture_px - 1 - K[0, 2]
        crop, points_px = _crop(five, found, size_px, rng)
        told = None if points_px is None else (crop.to_crop(points_px) + 0.5) / crop.size_px
        known = float(np.isfinite(scores).all() and np.isfinite(weights).all())
        row = {
            "five": five_inputs(told), "points_mm": points, **_truth(points, R, t, K, crop, self.pivot_mm),
            "scores": np.nan_to_num(scores), "weights": np.nan_to_num(weights), "known": np.float32(known),
        }  # fmt: skip
        return row, crop, mirrored, five[:2]

    def _pivot_place(self, row: dict[str, Any]) -> Floats32:
        """(2,) of the pivot in the crop, by the points."""
        y = (row["points_mm"] - self.pivot_mm) @ row["R"].T
        flat = row["size"] * y[:, :2] / (1 + y[:, 2:] / row["distance_mm"])
        return np.asarray((row["seen"] - flat).mean(axis=0), np.float32)


def _truth(points: Floats32, R: Floats, t: Floats, K: Floats, crop: FaceCrop, pivot_mm: Floats) -> dict[str, Floats32]:
    in_camera = points @ R.T + t
    pixels = in_camera[:, :2] / in_camera[:, 2:] * [K[0, 0], K[1, 1]] + K[:2, 2]
    pivot = R @ pivot_mm + t
    turned = np.eye(3)
    turned[:2, :2] = crop.turn
    seen = (crop.to_crop(pixels) + 0.5) / crop.size_px
    values = {
        "seen": seen, "R": turned @ line_of_sight(pivot) @ R, "size": crop.scale * K[0, 0] / pivot[2] / crop.size_px,
        "distance_mm": np.linalg.norm(pivot),
    }  # fmt: skip
    return {key: np.asarray(value, np.float32) for key, value in values.items()}


def _crop(five: Floats, found: Floats, size_px: int, rng: np.random.Generator | None) -> tuple[FaceCrop, Floats | None]:
    """A crop, and the five points (5, 2) px of the picture that are told with it."""
    detected = bool(np.isfinite(found).all())
    if rng is None:
        points = found if detected else five
        return crop_of_points(points, size_px), points
    points = found
    if not (detected and rng.random() < _DETECTED):  # as a face once looked at has them
        width = np.linalg.norm(np.ptp(five, axis=0))
        points = five + rng.standard_normal((5, 2)) * rng.uniform(0, _POINTS_OFF) * width
    crop, told = crop_of_points(points, size_px), None if rng.random() < _UNTOLD else points
    if rng.random() < _FAR:
        turn, size, shift = _FAR_OFF
        off = rng.uniform(-1, 1, 4)
        return changed_crop(crop, off[0] * turn, float(np.exp(off[1] * size)), off[2:] * shift), told
    turn, size, shift = _NEAR_OFF
    off = rng.standard_normal(4)
    return changed_crop(crop, off[0] * turn, float(np.exp(off[1] * size)), off[2:] * shift), told


def _mirrored_px(points: Floats, width: int) -> Floats:
    """(5, 2) as the mirrored picture has them, left and right counted anew."""
    out = points[[1, 0, 2, 4, 3]].copy()
    out[:, 0] = width - 1 - out[:, 0]
    return out
