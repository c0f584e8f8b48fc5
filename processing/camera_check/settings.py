"""What the drift watch can be told."""

from dataclasses import dataclass

from processing.errors import DataError


class CameraCheckSettingsError(DataError):
    """These photographs do not fit these cameras, or the settings of the watch make no sense."""


@dataclass(frozen=True)
class CameraCheckSettings:
    """When a camera counts as moved or misset, and what is done about it. Pixels are those of the working size.

    megapixels: photographs are looked at in no more than this; features: at most so many in each.
    neighbours, widest_deg: each view is compared with that many others seen from the subject within such an angle.
    band_px: how far from its epipolar line a feature is sought; tolerance_px: within which views agree on a point.
    turn_deg, shift_mm: a camera whose pictures lie off by what the lesser of them causes has moved; the shift is across
    the line of sight, or half as much again along it.  significance: and by so many standard errors.  tracks: a camera
    with fewer is not judged.  least_px: no motion counts that moves the subject's picture by less.
    refine: put moved cameras right (else they are left out), up to refine_turn_deg and refine_shift_mm, and when what
    remains is below refine_rest_px.
    blur_warn, blur_drop: a photograph's sharpness beside its neighbours' of the same places, below which it is told of,
    or left out.  exposure_warn_stops, exposure_drop_stops: the same for exposure, to either side.  clipped_drop: share
    of the places that are at the end of the scale.
    misfit_share: where more of the judged cameras than this do not fit, the calibration is another rig's: refused.
    """

    megapixels: float = 0.45
    features: int = 600
    neighbours: int = 6
    widest_deg: float = 36.0
    band_px: float = 18.0
    tolerance_px: float = 1.2
    turn_deg: float = 0.05
    shift_mm: float = 0.5
    significance: float = 5.0
    tracks: int = 12
    least_px: float = 0.12
    refine: bool = True
    refine_turn_deg: float = 3.0
    refine_shift_mm: float = 50.0
    refine_rest_px: float = 1.0
    blur_warn: float = 0.7
    blur_drop: float = 0.4
    exposure_warn_stops: float = 1.0
    exposure_drop_stops: float = 3.0
    clipped_drop: float = 0.5
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
