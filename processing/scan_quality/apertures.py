"""Apertures of mouth and eyes: how far they stand open in the photographs, and on a registered mesh."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats

# Pairs of Multi-PIE landmarks above and below each opening.
APERTURE_PAIRS = {
    "lips": ((61, 67), (62, 66), (63, 65)),
    "right_lids": ((37, 41), (38, 40)),
    "left_lids": ((43, 47), (44, 46)),
}


@dataclass(frozen=True)
class ApertureMeasure:
    """Mean distance of one opening's upper from its lower edge."""

    photographs_mm: float | None  # by the photographs' landmarks; None where unknown
    mesh_mm: float  # by the mesh's

    @property
    def off_mm(self) -> float | None:
        """By how much the mesh stands further open than the photographs show; negative: closed where they are open."""
        return None if self.photographs_mm is None else self.mesh_mm - self.photographs_mm


def measure_apertures(seen_mm: Floats, registered_mm: Floats) -> dict[str, ApertureMeasure]:
    """lips, right_lids and left_lids. seen_mm, registered_mm: (68, 3) landmarks of the photographs (NaN where unknown)
    and of the mesh. The template's landmarks are the same detector's, so that its habits cancel out."""
    found = {}
    for name, pairs in APERTURE_PAIRS.items():
        upper, lower = np.array(pairs).T
        seen = np.linalg.norm(seen_mm[upper] - seen_mm[lower], axis=1)
        mesh = np.linalg.norm(registered_mm[upper] - registered_mm[lower], axis=1)
        known = np.isfinite(seen)
        found[name] = ApertureMeasure(
            float(seen[known].mean()) if known.any() else None, float(mesh[known | ~known.any()].mean())
        )
    return found
