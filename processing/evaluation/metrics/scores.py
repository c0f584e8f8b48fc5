"""What is measured of one predicted face."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.array_types import Floats

#: mm from the tip of the nose: what of a head counts for ARMSE.
ARMSE_RADII_MM = (80, 90, 95, 100, 110)


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured beside CD, MNE and CR."""

    armse: bool = True
    correspondence: bool = True
    #: The error of each true pixel of the cylinder is kept: for error maps.
    maps: bool = False


@dataclass(frozen=True)
class CylinderScores:
    """Two meshes on one cylinder of 256 x 256."""

    cd_mm: float  # mean over the vertices of both, each to the other's surface
    cd_sum_mm: float  # equation 12: the sum of both means
    mne_rad: float
    completeness: float  # CR, 0..1
    depth_shift_mm: float  # by which the prediction was moved away from the camera


@dataclass(frozen=True)
class ImageScores:
    """All figures of one image. `reason` says why it failed; then all figures are None."""

    #: Why the image counts as failed; None: it succeeded.
    reason: str | None
    #: As the public evaluator computes them; MNE between normals + 1.
    published: CylinderScores | None = None
    #: As they should be: exact alignment, no angle twice, true angles between normals.
    exact: CylinderScores | None = None
    #: By radius from the tip of the nose, mm (`ARMSE_RADII_MM`).
    armse_mm: Mapping[int, float] = field(default_factory=dict)
    #: Mean distance of the true face's vertices to the predicted surface after ICP, and back. None: not measured.
    icp_mm: float | None = None
    #: Mean distance of corresponding vertices of the face, depth aligned. None: another topology.
    corresponding_mm: float | None = None
    #: The same after the best similarity over the face.
    corresponding_similarity_mm: float | None = None
    #: What was not measured, or was put right before measuring, and why.
    notes: tuple[str, ...] = ()
    #: (256, 256) mm, with `settings.maps`: from each pixel of the true face to the prediction; NaN elsewhere.
    error_map_mm: Floats | None = None

    @property
    def succeeded(self) -> bool:
        return self.reason is None

    def as_json(self) -> dict[str, Any]:
        """Without the map. No NaN: what was not measured is null."""
        out: dict[str, Any] = {"reason": self.reason, "notes": list(self.notes)}
        for kind, scores in (("published", self.published), ("exact", self.exact)):
            out[kind] = None if scores is None else dict(vars(scores))
        if self.exact is not None:
            out["exact"]["mne_deg"] = self.exact.mne_rad * 57.29577951308232
        out["armse_mm"] = {str(radius): value for radius, value in self.armse_mm.items()}
        for key in ("icp_mm", "corresponding_mm", "corresponding_similarity_mm"):
            out[key] = getattr(self, key)
        return out
