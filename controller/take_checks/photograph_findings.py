"""Findings of a check process in one photograph. Plain values: it travels between processes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PhotographFindings:
    """What was found in one photograph; the measures are image_measures.ImageMeasures's."""

    sharpness: float | None = None  # finest detail beside coarse; None without any detail
    brightness: float = 0.0  # mean, 0..255
    clipped_percent: float = 0.0  # pixels of which a channel is at its end
    face: bool | None = None  # whether one was found; None where none was looked for
    frontal: float = 0.0  # 1 when it looks into the camera, 0 from the side
    scores: Mapping[str, float] | None = None  # of the face, by name, 0..1
    thumbnail: bytes = b""  # a small JPEG; empty without one
    problem: str = ""  # why the photograph could not be examined: then the rest says nothing
    damaged: bool = False  # because it is no whole JPEG
