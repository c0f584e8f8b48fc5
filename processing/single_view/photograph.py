"""What a fit to photographs is given, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from common.array_types import Floats, Image
from processing.errors import DataError, ShapeError
from processing.face_models.fitting.normal_equations import FitPrior
from processing.scan_quality.verdict import QualityReview
from processing.single_view.photo_camera import PhotoCamera, Projection

#: Identities closer to the mean than members': people of another population are met better so, members as well.
#: Weights are hardly held back: lips and lids that are open in a photograph would be drawn together.
PHOTO_PRIOR = FitPrior(identity=3.0, rest=3.0, spread=0.5, symmetry=0.5)


MOST_SIDES = 1000.0  # a focal length by the picture's longer side, or the reverse: no lens has it


class PhotoFitError(DataError):
    """A photograph cannot be fitted, or the fit cannot be trusted."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, upright, and what is known of it."""

    image: Image  # (H, W, 3) BGR
    name: str
    focal_px: float | None = None  # of this image; None where nothing is known
    face: str | int | None = None  # which of several: a position as a refusal names it, or a number from the left, 1..

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ShapeError(f"photograph {self.name}", self.image.shape, "(H, W, 3) uint8, BGR")
        if self.focal_px is not None and not (np.isfinite(self.focal_px) and self.focal_px > 0):
            raise PhotoFitError(f"{self.name}: a focal length of {self.focal_px} px is none; give pixels, over 0")
        longer = max(self.image.shape[:2])
        if self.focal_px is not None and not longer / MOST_SIDES < self.focal_px < longer * MOST_SIDES:
            raise PhotoFitError(
                f"{self.name}: a focal length of {self.focal_px:.3g} px is none of a picture of {longer} px; of a "
                "camera that was far away say --weak"
            )


@dataclass(frozen=True)
class FocalPrior:
    """What is believed of a camera of which nothing is known: normal in logarithms, of how people are photographed."""

    distance_mm: float = 1000.0  # of the camera from the face
    distance_spread: float = 0.7  # deviation of its logarithm
    sides: float = 1.7  # focal length by the picture's longer side
    sides_spread: float = 0.7


@dataclass(frozen=True)
class PhotoFitSettings:
    """How photographs are fitted."""

    landmarks: Literal["dense", "68"] = "dense"
    projection: Projection = "perspective"
    prior: FitPrior = PHOTO_PRIOR
    focal: FocalPrior = field(default_factory=FocalPrior)
    iterations: int = 10  # by landmarks
    landmark_percent: float = 2.0  # of the eyes' distance: landmarks that are farther off in the end weigh more
    samples: int = 1500  # places of the face whose colours are compared
    #: By which the photograph is blurred, coarse to fine; at each, what is compared is chosen anew.
    blurs_mm: tuple[float, ...] = (4.0, 2.0, 1.2)
    pixel_iterations: int = 3  # at each
    pixels: bool = True  # whether colours are part of the fit, of a model that has an albedo
    corrective: bool = False  # whether the face may leave the model where colours say so


@dataclass(frozen=True, eq=False)
class PhotoFit:
    """A face model fitted to one photograph."""

    identity: Floats  # (n,) the model's identity parameters; shared by all photographs of a fit
    scores: Floats  # (n,) the same, as deviations from the members' mean
    score_deviation: Floats  # (n,) by which they may be off (standard deviation); 1: the photograph says nothing
    weights: Floats  # (U,) expression weights in 0..1, of this photograph
    camera: PhotoCamera
    vertices_mm: Floats  # (V, 3) the model's frame, the corrective field included
    correction_mm: Floats  # (V, 3) the corrective field; zeros without
    landmarks_px: Floats  # (478, 2) as detected
    appearance: Any  # single_view.appearance's Appearance, None without colours
    figures: Mapping[str, Any]  # names with units
    review: QualityReview
