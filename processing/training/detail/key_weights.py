"""The blendshape weights of a protocol's key expressions: what people of the study do when they are asked for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.array_types import Floats
from common.bounded.json_toml import read_json
from common.files.atomic_write import atomic_write
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.vertex_fit import VertexFitSettings, fit_meshes
from processing.training.detail.face_maps import FaceMaps


@dataclass(frozen=True, eq=False)
class KeyWeights:
    """Weights (E, U) of the key expressions, and the units' names."""

    weights: Floats
    units: tuple[str, ...]


_CELL_MM = 6.0  # one vertex in so much is looked at: weights are asked for, not surfaces
_ITERATIONS = 4


def key_weights(model: FaceModel, maps: FaceMaps, subjects: Sequence[str], work: Path) -> Floats:
    """(E, U) mean weights of the subjects' takes, the neutral's all zero: the fixed weights of equation 8.

    The model is fitted to each subject's registered meshes together. Kept in `work` for the next start.
    """
    kept = work / "key_weights.json"
    request = [model.name, model.version, list(maps.labels), list(subjects)]
    if kept.is_file() and (said := read_json(kept))["request"] == json.loads(json.dumps(request)):
        return np.asarray(said["weights"], np.float64)
    total = np.zeros((len(maps.labels), len(model.units)))
    counts = np.zeros(len(maps.labels))
    settings = VertexFitSettings(robust=True, cell_mm=_CELL_MM, iterations=_ITERATIONS)
    for subject in subjects:
        number = maps.number(subject)
        own = np.flatnonzero(maps.there[number])
        fits = fit_meshes(model, [maps.vertices(number, int(label)) for label in own], settings=settings)
        total[own] += [fit.weights for fit in fits]
        counts[own] += 1
    weights: Floats = total / counts.clip(1)[:, None]
    weights[0] = 0.0
    with atomic_write(kept) as temporary:
        temporary.write_text(json.dumps({"request": request, "weights": weights.tolist()}) + "\n", encoding="utf-8")
    return weights
