"""What the camera check can be told."""

from dataclasses import dataclass

from processing.errors import DataError


class CameraCheckSettingsError(DataError):
    """These photographs do not fit these cameras, or the settings of the check make no sense."""


@dataclass(frozen=True)
class CameraCheckSettings:
    """When a camera counts as moved or misset, and what is done about it. Pixels are those of the working size."""

    #: Photographs are looked at in no more than this.
    megapixels: float = 0.45
    #: Features a photograph, at most.
    features: int = 600
    #: Views that each is compared with ...
    neighbours: int = 6
    #: ... seen from the subject within such an angle.
    widest_deg: float = 36.0
    #: How far from its epipolar line a feature is sought.
    band_px: float = 18.0
    #: Distance within which views agree on a point.
    tolerance_px: float = 1.2
    #: A camera has moved where its picture lies off by what the lesser of this turn ...
    turn_deg: float = 0.05
    #: ... and this shift across the line of sight causes, or a shift half as large again along it ...
    shift_mm: float = 0.5
    #: ... and by so many standard errors.
    significance: float = 5.0
    #: A camera with fewer common features is not judged.
    tracks: int = 12
    #: No motion counts that moves the subject's picture by less.
    least_px: float = 0.12
    #: Whether moved cameras are put right; else they are left out.
    refine: bool = True
    #: Up to this turn,
    refine_turn_deg: float = 3.0
    #: up to this shift,
    refine_shift_mm: float = 50.0
    #: and when what remains is below this.
    refine_rest_px: float = 1.0
    #: Sharpness beside the neighbours' of the same places below which a photograph is told of ...
    blur_warn: float = 0.7
    #: ... and left out.
    blur_drop: float = 0.4
    #: Exposure beside the others', to either side, beyond which a photograph is told of ...
    exposure_warn_stops: float = 1.0
    #: ... and left out.
    exposure_drop_stops: float = 3.0
    #: A photograph is left out where more than this share of the places is at the end of the scale.
    clipped_drop: float = 0.5
    #: Where more of the judged cameras than this share do not fit, the calibration is another rig's: refused.
    misfit_share: float = 0.4

    def __post_init__(self) -> None:
        positive = (
            "megapixels", "features", "neighbours", "widest_deg", "band_px", "tolerance_px", "turn_deg", "shift_mm",
            "significance", "tracks", "refine_rest_px", "misfit_share",
        )  # fmt: skip
        wrong = [f"{name} is {getattr(self, name)}; it is positive" for name in positive if getattr(self, name) <= 0]
        if not 0 <= self.blur_drop <= self.blur_warn < 1:
            wrong.append("0 <= blur_drop <= blur_warn < 1")
        if not 0 < self.exposure_warn_stops <= self.exposure_drop_stops:
            wrong.append("0 < exposure_warn_stops <= exposure_drop_stops")
        if wrong:
            raise CameraCheckSettingsError("the settings of the drift watch cannot be used: " + "; ".join(wrong))
