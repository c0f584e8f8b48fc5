"""Whether a scan is accepted, looked at by a person, or made anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from processing.errors import DataError
from processing.scan_quality.scan_measures import ScanQuality

Verdict = Literal["accept", "review", "redo"]


class QualitySettingsError(DataError):
    """The thresholds make no sense."""


@dataclass(frozen=True)
class QualitySettings:
    """Each pair: from the first on a person looks, from the second on the take is to be made or processed anew.

    coverage: least share of the subject's known places that have the scan near them.  holes: most share of the outline
    that is open.  lost: most share of the take's cameras that gave nothing.  offset: most distance, in pixel
    footprints, by which one camera's view of the scan is off; typical_offset: the median over the cameras.
    noise: most roughness, in footprints.
    """

    coverage: tuple[float, float] = (0.9, 0.75)
    holes: tuple[float, float] = (0.03, 0.15)
    lost: tuple[float, float] = (0.1, 0.34)
    offset: tuple[float, float] = (1.5, 6.0)
    typical_offset: tuple[float, float] = (0.6, 1.5)
    noise: tuple[float, float] = (0.3, 0.8)

    def __post_init__(self) -> None:
        if not 1 >= self.coverage[0] >= self.coverage[1] >= 0:
            raise QualitySettingsError("coverage falls within 1 to 0: (review, redo)")
        for name in ("holes", "lost", "offset", "typical_offset", "noise"):
            review, redo = getattr(self, name)
            if not 0 <= review <= redo:
                raise QualitySettingsError(f"{name} rises from 0: (review, redo); it is ({review}, {redo})")


@dataclass(frozen=True)
class QualityReview:
    """verdict, and why it is not better, the worst first. figures: name with unit -> value."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: Mapping[str, Any]

    @classmethod
    def of(cls, found: Sequence[tuple[Verdict, str]], figures: Mapping[str, Any]) -> "QualityReview":
        """The worst of what was found decides; nothing found is accepted."""
        ordered = sorted(found, key=lambda one: one[0] == "review")
        return cls(ordered[0][0] if ordered else "accept", tuple(text for _, text in ordered), figures)


def judge(quality: ScanQuality, *, taken: int, settings: QualitySettings | None = None) -> QualityReview:
    """taken: photographs that the take should have; those without a residual here gave nothing."""
    s = settings or QualitySettings()
    footprint = quality.footprint_mm
    found: list[tuple[Verdict, str]] = []

    def held(value: float, bounds: tuple[float, float], text: str, sign: int = 1) -> None:
        if sign * value > sign * bounds[0]:
            found.append(("redo" if sign * value > sign * bounds[1] else "review", text))

    if quality.coverage is not None:
        share = 100 * quality.coverage
        held(quality.coverage, s.coverage, f"the scan covers {share:.0f} % of what the photographs share", -1)
    held(quality.holes, s.holes, f"{100 * quality.holes:.1f} % of the surface is open")
    lost = taken - len(quality.cameras)
    held(lost / max(taken, 1), s.lost, f"{lost} of {taken} photographs gave nothing")
    for camera in quality.cameras:
        if camera.offset_mm is not None:
            text = f"camera {camera.camera}'s view of the scan is {camera.offset_mm:.2f} mm off"
            held(camera.offset_mm / footprint, s.offset, text)
    typical = quality.offset_mm
    if typical is not None:
        held(typical / footprint, s.typical_offset, f"the cameras' views of the scan are {typical:.2f} mm off")
    held(quality.noise_mm / footprint, s.noise, f"the surface is rough by {quality.noise_mm:.3f} mm")
    return QualityReview.of(found, figures(quality, taken))


def figures(quality: ScanQuality, taken: int) -> dict[str, Any]:
    """The figures as a report has them."""
    return {
        "photographs": taken,
        "photographs_used": len(quality.cameras),
        "footprint_mm": quality.footprint_mm,
        "coverage": quality.coverage,
        "holes": quality.holes,
        "distance_mm": quality.distance_mm,
        "noise_mm": quality.noise_mm,
        "offset_mm": quality.offset_mm,
        "cameras": {
            c.camera: {"offset_mm": c.offset_mm, "spread_mm": c.spread_mm, "holes": c.hole_share}
            for c in quality.cameras
        },
    }
