"""The 33 cameras of FS-Lab (FaceScape, TPAMI 2023, section 6.2): 11 places about the head at 3 focal lengths.

Views are numbered, and lens and distance go together, as in the public evaluator's tables: the picture is 316 mm wide
at the head's centre whatever the focal length.
"""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from processing.evaluation.metrics.view import Perspective, TrueCamera
from processing.geometry.cameras import direction_of, upright_rotation

SIZE_PX = 256  # of the images that the focal lengths are said for
FOCALS_PX = (1200.0, 600.0, 300.0)
DISTANCE_MM_PX = 100 / 81  # from the head's centre, a pixel of focal length
_DIAGONAL = 21.47  # of yaw and pitch: 30 degrees together
#: Yaw (positive: the camera stands on the subject's left) and pitch (positive: above), degrees.
VIEWS_DEG = (
    (0.0, 0.0), (-30.0, 0.0), (-_DIAGONAL, -_DIAGONAL), (-_DIAGONAL, _DIAGONAL), (0.0, -30.0), (0.0, 30.0),
    (_DIAGONAL, -_DIAGONAL), (_DIAGONAL, _DIAGONAL), (30.0, 0.0), (-60.0, 0.0), (60.0, 0.0),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LabView:
    """One of the cameras, in the head frame with its origin at the head's centre."""

    focal: int  # 0 long, 1 middle, 2 short
    view: int  # into VIEWS_DEG
    camera: TrueCamera

    @property
    def yaw_deg(self) -> float:
        return VIEWS_DEG[self.view][0]

    @property
    def pitch_deg(self) -> float:
        return VIEWS_DEG[self.view][1]

    @property
    def pose_deg(self) -> float:
        """Off the front, as the paper counts it: 0, 30, 60."""
        return 0.0 if self.view == 0 else 60.0 if self.view >= 9 else 30.0

    def name(self, subject: int) -> str:
        """Of the image of a subject: '03_1_07'."""
        return f"{subject:02d}_{self.focal}_{self.view:02d}"


def lab_views(centre_mm: Floats, size_px: int = SIZE_PX) -> list[LabView]:
    """All 33, which look at `centre_mm` (3,); focal lengths grow with the side of the images."""
    views = []
    for focal, length in enumerate(FOCALS_PX):
        f, middle = length * size_px / SIZE_PX, (size_px - 1) / 2
        K = np.array([[f, 0, middle], [0, f, middle], [0, 0, 1.0]])
        for number, (yaw, pitch) in enumerate(VIEWS_DEG):
            R = upright_rotation(-direction_of(yaw, pitch))
            t = np.array([0.0, 0.0, DISTANCE_MM_PX * length]) - R @ centre_mm
            views.append(LabView(focal, number, TrueCamera(Perspective(K, R, t), size_px, size_px)))
    return views
