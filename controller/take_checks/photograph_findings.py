"""What a check process hands back of one photograph. Plain values: it travels between processes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PhotographFindings:
    """sharpness, brightness, clipped_percent: see measure.Measures. thumbnail: a small JPEG, empty without one.

    face: whether one was found, None where none was looked for. frontal: 1 when it looks into the camera, 0 from the
    side. scores: of the face, by name. problem: why the photograph could not be examined; then the rest says nothing.
    damaged: because it is no whole JPEG.
    """

    sharpness: float | None = None
    brightness: float = 0.0
    clipped_percent: float = 0.0
    face: bool | None = None
    frontal: float = 0.0
    scores: Mapping[str, float] | None = None
    thumbnail: bytes = b""
    problem: str = ""
    damaged: bool = False
