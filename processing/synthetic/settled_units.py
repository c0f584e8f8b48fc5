"""Units of a synthetic face whose lips, lids and eyes do not pass through each other: real ones never do."""

from functools import lru_cache

import numpy as np

from common.array_types import Floats
from processing.synthetic.face_population import Population
from processing.template.part_separation import PartSeparation

_LEFT_ALONE = "mouthClose"  # undoes an open jaw: alone it has lips in each other
_TOGETHER = {"mouthRollUpper": "mouthRoll", "mouthRollLower": "mouthRoll"}
DEEPEST_MM = 0.3  # what crosses no deeper is left


@lru_cache(maxsize=4)
def _separation(people: Population) -> PartSeparation:
    template = people.template
    return PartSeparation.of(template.mesh, template.parts, template.landmark_points(template.mesh.vertices_mm))


def settled(people: Population, neutral_mm: Floats, offsets_mm: Floats) -> tuple[Floats, Floats]:
    """A neutral (V, 3) and units' offsets (U, V, 3) over the template, with their parts drawn apart.

    Units that act together, such as both sides of one, are settled together, each as far as it moves what is moved.
    """
    separation = _separation(people)
    neutral = separation(neutral_mm)
    offsets = offsets_mm.copy()
    groups: dict[str, list[int]] = {}
    for number, unit in enumerate(people.units):
        if unit != _LEFT_ALONE and offsets_mm[number].any():
            stem = _TOGETHER.get(unit, unit.removesuffix("Left").removesuffix("Right"))
            groups.setdefault(stem, []).append(number)
    for members in groups.values():
        posed = neutral + offsets[members].sum(axis=0)
        if max(separation.deepest(posed).values()) < DEEPEST_MM:
            continue
        moved = separation(posed) - posed
        length = np.linalg.norm(offsets[members], axis=2) + 1e-6
        share = length**2 / (length**2).sum(axis=0)
        offsets[members] += share[:, :, None] * moved
    return neutral, offsets
