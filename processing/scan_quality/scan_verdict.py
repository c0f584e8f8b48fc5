"""The verdict on a scan: its figures against their limits."""

from dataclasses import dataclass
from typing import Any

from processing.errors import DataError
from processing.scan_quality.scan_measures import ScanQuality
from processing.scan_quality.verdict import Findings, Limits, QualityReview, check_rising

_MOST_REGIONS = 3  # named in a reason


class QualitySettingsError(DataError):
    """The thresholds make no sense."""


@dataclass(frozen=True)
class QualitySettings:
    """Limits of a scan's figures. Each pair: a person looks, and the take is to be made or processed anew."""

    coverage: Limits = (0.9, 0.75)  # least share of the subject's known places that have the scan near them
    holes: Limits = (0.03, 0.15)  # most share of the outline that is open
    lost: Limits = (0.1, 0.34)  # most share of the take's cameras that gave nothing
    offset: Limits = (1.5, 6.0)  # most distance, in pixel footprints, by which one camera's view of the scan is off
    typical_offset: Limits = (0.6, 1.5)  # the same, the median over the cameras
    noise: Limits = (0.3, 0.8)  # most roughness, in footprints
    estimated: Limits = (0.1, 0.4)  # most share of what the cameras see that was estimated, not measured

    def __post_init__(self) -> None:
        if not 1 >= self.coverage[0] >= self.coverage[1] >= 0:
            raise QualitySettingsError("coverage falls within 1 to 0: (review, redo)")
        check_rising({name: pair for name, pair in vars(self).items() if name != "coverage"}, QualitySettingsError)


def judge(quality: ScanQuality, *, taken: int, settings: QualitySettings | None = None) -> QualityReview:
    """taken: photographs that the take should have; those without a residual here gave nothing."""
    s = settings or QualitySettings()
    footprint = quality.footprint_mm
    found = Findings()
    if quality.coverage is not None:
        share = 100 * quality.coverage
        found.at_least(quality.coverage, s.coverage, f"the scan covers {share:.0f} % of what the photographs share")
    found.at_most(quality.holes, s.holes, f"{100 * quality.holes:.1f} % of the surface is open")
    if quality.estimated is not None:
        found.at_most(quality.estimated, s.estimated, _estimated_text(quality))
    lost = taken - len(quality.cameras)
    found.at_most(lost / max(taken, 1), s.lost, f"{lost} of {taken} photographs gave nothing")
    for camera in quality.cameras:
        if camera.offset_mm is not None:
            text = f"camera {camera.camera}'s view of the scan is {camera.offset_mm:.2f} mm off"
            found.at_most(camera.offset_mm / footprint, s.offset, text)
    typical = quality.offset_mm
    if typical is not None:
        found.at_most(typical / footprint, s.typical_offset, f"the cameras' views of the scan are {typical:.2f} mm off")
    found.at_most(quality.noise_mm / footprint, s.noise, f"the surface is rough by {quality.noise_mm:.3f} mm")
    return found.review(quality_figures(quality, taken))


def _estimated_text(quality: ScanQuality) -> str:
    at = [f"{region} {100 * share:.0f} %" for region, share in quality.estimated_at.items()][:_MOST_REGIONS]
    text = f"{100 * (quality.estimated or 0):.0f} % of what the cameras see was estimated, not measured"
    return f"{text}: of the {', '.join(at)}" if at else text


def quality_figures(quality: ScanQuality, taken: int) -> dict[str, Any]:
    """The figures as a report has them."""
    return {
        "photographs": taken,
        "photographs_used": len(quality.cameras),
        "footprint_mm": quality.footprint_mm,
        "coverage": quality.coverage,
        "holes": quality.holes,
        "distance_mm": quality.distance_mm,
        "noise_mm": quality.noise_mm,
        "estimated": quality.estimated,
        "estimated_at": dict(quality.estimated_at),
        "offset_mm": quality.offset_mm,
        "cameras": {
            c.camera: {"offset_mm": c.offset_mm, "spread_mm": c.spread_mm, "holes": c.hole_share}
            for c in quality.cameras
        },
    }
