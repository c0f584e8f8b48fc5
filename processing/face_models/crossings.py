"""Faces of a model whose parts pass through each other: counted over random people and expressions, and drawn apart.

A bilinear model knows nothing of contact: every face is a sum, and lips, lids and eyes of a sum of whole faces may lie
in each other. `FacePoser` poses a model and draws them apart (`processing.template.part_separation`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from common.array_types import Floats
from common.progress import Progress, no_progress
from processing.face_models.face_model import FaceModel
from processing.template.part_contacts import KINDS
from processing.template.part_separation import PartSeparation

ALLOWED_MM = 0.5  # a crossing no deeper than this is none
WITHIN = 2.0  # standard deviations within which people and expressions are drawn


class FacePoser:
    """A model made ready to be posed without parts in each other; the contacts are found once a model."""

    def __init__(self, model: FaceModel) -> None:
        topology = model.topology
        mesh = topology.mesh
        self._model = model
        self._separation = PartSeparation.of(mesh, topology.parts, topology.landmark_points(mesh.vertices_mm))

    def face(self, identity: Floats, weights: Floats) -> Floats:
        """(V, 3) mm: FaceModel.face with lips, lids, eyes and the mouth's inside drawn apart.

        identity: (n,), weights: (U,) in 0..1. No vertex away from eyes and mouth moves.
        """
        return self.drawn_apart(self._model.face(identity, weights))

    def drawn_apart(self, vertices_mm: Floats) -> Floats:
        """A face (V, 3) of the model likewise."""
        return self._separation(vertices_mm)

    def crossings(self, vertices_mm: Floats) -> dict[str, float]:
        """Kind of crossing -> the deepest of a face (V, 3), mm."""
        return self._separation.deepest(vertices_mm)


@dataclass
class CrossingCounts:
    """How many of some faces have parts in each other deeper than `ALLOWED_MM`."""

    faces: int = 0
    crossing: int = 0  # faces with any
    by_kind: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    deepest_mm: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    farthest_mm: float = 0.0  # that a vertex was moved
    mean_moved_mm: float = 0.0  # of what was moved at all, farther than a hundredth of a millimetre

    def add(self, found: dict[str, float]) -> None:
        self.faces += 1
        self.crossing += any(depth > ALLOWED_MM for depth in found.values())
        for kind, depth in found.items():
            self.by_kind[kind] += depth > ALLOWED_MM
            self.deepest_mm[kind] = max(self.deepest_mm[kind], depth)


def sampled_faces(model: FaceModel, count: int, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Identity (n,) and weights (U,) of random people and expressions, each within two standard deviations.

    Expressions are drawn from the model's mixture, whose parts are cut off likewise; what undoes an open jaw is no
    stronger than the jaw is open. Raises ModelError for a model without expression mixture.
    """
    close, jaw = (model.units.index(u) if u in model.units else -1 for u in ("mouthClose", "jawOpen"))
    for _ in range(count):
        identity = model.sample_identity(rng, within=WITHIN)
        weights = model.sample_weights(rng, within=WITHIN)
        if min(close, jaw) >= 0:
            weights[close] = min(weights[close], weights[jaw])
        yield identity, weights


def count_crossings(
    model: FaceModel, count: int, rng: np.random.Generator, *, progress: Progress = no_progress
) -> tuple[CrossingCounts, CrossingCounts]:
    """Of `count` random faces, the crossings as the model has them and as `FacePoser` poses them."""
    poser = FacePoser(model)
    plain, apart = CrossingCounts(), CrossingCounts()
    total, moved_vertices = 0.0, 0
    for number, (identity, weights) in enumerate(sampled_faces(model, count, rng)):
        face = model.face(identity, weights)
        plain.add(poser.crossings(face))
        corrected = poser.drawn_apart(face)
        apart.add(poser.crossings(corrected))
        moved = np.linalg.norm(corrected - face, axis=1)
        apart.farthest_mm = max(apart.farthest_mm, float(moved.max()))
        total += float(moved[moved > 0.01].sum())
        moved_vertices += int((moved > 0.01).sum())
        if number % 20 == 0:
            progress(number / count, f"face {number + 1} of {count}")
    apart.mean_moved_mm = total / max(moved_vertices, 1)
    return plain, apart
