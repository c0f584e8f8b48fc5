"""The 68 landmarks of Multi-PIE: their groups, where mediapipe's 478-point face mesh has them, a take's positions."""

from dataclasses import dataclass, replace

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.errors import ShapeError
from processing.landmarks.lid_contours import EYE_CORNERS, LID_LANDMARKS, MARKED, LidContours

GROUPS = {
    "jaw": range(0, 17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nose_base": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lips": range(48, 60),
    "inner_lips": range(60, 68),
}

MEDIAPIPE_TO_68: Ints32 = np.array(
    [
        *(127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356),
        *(70, 63, 105, 66, 107),
        *(336, 296, 334, 293, 300),
        *(168, 197, 5, 4),
        *(98, 97, 2, 326, 327),
        *(33, 160, 158, 133, 153, 144),
        *(362, 385, 387, 263, 373, 380),
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
        *(78, 81, 13, 311, 308, 402, 14, 178),
    ],
    dtype=np.int32,
)

# Contour points slide along the cheek as the head turns: weak evidence of where the skin is.
CONTOUR: Bools = np.isin(np.arange(68), list(GROUPS["jaw"]))

# The landmark on the other side of the face.
MIRROR_68: Ints32 = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ],
    dtype=np.int32,
)


@dataclass(frozen=True, eq=False)
class Landmarks3d:
    """The 68 Multi-PIE landmarks of one take."""

    points_mm: Floats  # (68, 3) head frame, NaN where unknown
    error_px: Floats  # (68,) root mean square reprojection error, NaN where unknown
    views: Ints32  # (68,) how many photographs agree on each
    lids: LidContours | None = None  # the lids' edges, where photographs showed them

    def __post_init__(self) -> None:
        if self.points_mm.shape != (68, 3):
            raise ShapeError("landmarks", self.points_mm.shape, "(68, 3)")

    @property
    def known(self) -> Bools:
        """(68,) which landmarks have a position."""
        return np.asarray(np.isfinite(self.points_mm).all(axis=1))

    @classmethod
    def of_points(cls, points_mm: Floats) -> "Landmarks3d":
        """Landmarks that did not come from photographs."""
        points = np.asarray(points_mm, dtype=np.float64)
        return cls(points, np.full(len(points), np.nan), np.zeros(len(points), np.int32))

    def with_lids(self, lids: LidContours) -> "Landmarks3d":
        """These landmarks with the lids' edges, and those of the eyes where they lie on them."""
        points = self.points_mm.copy()
        for eye in np.flatnonzero(lids.known):
            points[LID_LANDMARKS[eye]] = lids.points_mm[eye][:, MARKED]
            points[EYE_CORNERS[eye]] = lids.points_mm[eye, 0, [0, -1]]
        return replace(self, points_mm=points, lids=lids)

    def overridden(self, placed: "Landmarks3d") -> "Landmarks3d":
        """These landmarks, with `placed` where it has a position: those that somebody placed by hand.

        The lids' edges of an eye at which somebody placed one are no longer known.
        """
        known = placed.known
        lids = self.lids
        if lids is not None:
            lids = lids.without(np.array([known[list(GROUPS[eye])].any() for eye in ("right_eye", "left_eye")]))
        return Landmarks3d(
            np.where(known[:, None], placed.points_mm, self.points_mm),
            np.where(known, placed.error_px, self.error_px),
            np.where(known, placed.views, self.views).astype(np.int32),
            lids,
        )
