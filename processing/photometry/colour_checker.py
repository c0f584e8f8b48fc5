"""A camera's colour matrix from a photograph of a ColorChecker (24 patches)."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Floats, Image
from processing.files.colour_profiles import Profile, ProfileError
from processing.photometry.colour_correction import to_linear

# sRGB of the 24 patches, row by row from dark skin to black (X-Rite, ColorChecker Classic, after November 2014).
PATCHES_SRGB = np.array(
    [
        [115, 82, 68], [194, 150, 130], [98, 122, 157], [87, 108, 67], [133, 128, 177], [103, 189, 170],
        [214, 126, 44], [80, 91, 166], [193, 90, 99], [94, 60, 108], [157, 188, 64], [224, 163, 46],
        [56, 61, 150], [70, 148, 73], [175, 54, 60], [231, 199, 31], [187, 86, 149], [8, 133, 161],
        [243, 243, 242], [200, 200, 200], [160, 160, 160], [122, 122, 121], [85, 85, 85], [52, 52, 52],
    ],
    dtype=np.float64,
)  # fmt: skip
_WHITE, _DARK = 250.0, 4.0


@dataclass(frozen=True, eq=False)
class CheckerFit:
    """A colour profile fitted to a ColorChecker."""

    profile: Profile
    #: Root mean square of linear RGB after it, of full scale.
    error: float
    #: How many were used.
    patches: int


def patches_of(image: Image) -> Floats:
    """(24, 3) mean RGB, 0-255, of a ColorChecker's patches in a photograph (BGR). Raises ProfileError."""
    detector = cv2.mcc.CCheckerDetector.create()
    detector.setColorChartType(cv2.mcc.MCC24)
    if not detector.process(image, 1):
        raise ProfileError("no ColorChecker of 24 patches is found in it")
    found = np.asarray(detector.getBestColorChecker().getChartsRGB(), dtype=np.float64).reshape(-1, 5)
    return found[:, 1].reshape(24, 3)  # per channel: count, mean, deviation, least, most


def fit_matrix(patches: Floats) -> CheckerFit:
    """The linear map from (24, 3) measured RGB (0-255, encoded as sRGB) to the chart's own colours.

    Least squares over patches that are not at an end of the scale, each weighed by its lightness so that dark ones
    count as the eye counts them; exposure is part of the matrix. Raises ProfileError with fewer than 12 of them.
    """
    usable = (patches.max(axis=1) < _WHITE) & (patches.min(axis=1) > _DARK)
    if usable.sum() < 12:
        raise ProfileError(f"{int(usable.sum())} of 24 patches are neither white nor black in it; 12 are needed")
    seen, wanted = to_linear(patches[usable] / 255), to_linear(PATCHES_SRGB[usable] / 255)
    weight = 1 / (wanted.mean(axis=1, keepdims=True) + 0.05)
    matrix = np.linalg.lstsq(seen * weight, wanted * weight, rcond=None)[0].T
    error = float(np.sqrt(np.mean((seen @ matrix.T - wanted) ** 2)))
    return CheckerFit(Profile(matrix), error, int(usable.sum()))
