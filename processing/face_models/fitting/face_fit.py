"""What a fit gives: who it is, what the face does, where the head is, and how well that is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.array_types import Floats
from processing.geometry.procrustes import Similarity


@dataclass(frozen=True, eq=False)
class FaceFit:
    """A face model fitted to a mesh or a scan."""

    identity: Floats  # (n,) the model's identity parameters
    scores: Floats  # (n,) the same, as deviations from the members' mean
    score_deviation: Floats  # (n,) by which they may be off (standard deviation); 1: the scan says nothing
    weights: Floats  # (U,) expression weights in 0..1
    motion: Similarity  # from the model's frame to the scan's
    vertices_mm: Floats  # (V, 3) the model's mesh where the scan is
    figures: Mapping[str, Any]  # names with units

    @property
    def R(self) -> Floats:
        """(3, 3) the head's turn."""
        return self.motion.R

    @property
    def t(self) -> Floats:
        """(3,) the head's place, in the scan's unit."""
        return self.motion.t

    @property
    def scale(self) -> float:
        """1 unless the scan's unit was unknown: what a millimetre of the model measures in the scan."""
        return self.motion.scale


def knowledge(scores: Floats, deviation: Floats) -> dict[str, float]:
    """How unusual somebody is among the members, and how much of that a scan told.

    scores, deviation: (n,).  `identity_rms`: 1 for a usual member.  `identity_known`: the share of the members'
    variance that the scan took away.  `condition`: of the scores' deviations, the largest by the least.
    """
    return {
        "identity_rms": float(np.sqrt(np.square(scores).mean())),
        "identity_known": float(1 - np.square(deviation).mean()),
        "condition": float(deviation.max() / max(deviation.min(), 1e-12)),
    }
