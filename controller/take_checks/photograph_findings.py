"""Findings of a check process in one photograph, and what it shows to the measures that checks bring along.

Findings are plain values: they travel between processes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.take_checks.face_landmarker import Face
    from controller.take_checks.image_measures import Pixels


@dataclass(frozen=True)
class ExaminedPhotograph:
    """One photograph in a check process."""

    rgb: "Pixels"  # (H, W, 3) uint8, as stored, at a reduced size that still tells focus
    upright: "Pixels"  # (h, w, 3) uint8, smaller, as EXIF says that it is held
    face: "Face | None"  # in `upright`; None also where none was looked for


# Figures of one photograph by name; a module's function, as it is sent to the check processes by its name.
Measure = Callable[[ExaminedPhotograph], Mapping[str, float]]


@dataclass(frozen=True)
class PhotographFindings:
    """What was found in one photograph; the measures are image_measures.ImageMeasures's."""

    sharpness: float | None = None  # finest detail beside coarse; None without any detail
    brightness: float = 0.0  # mean, 0..255
    clipped_percent: float = 0.0  # pixels of which a channel is at its end
    face: bool | None = None  # whether one was found; None where none was looked for
    frontal: float = 0.0  # 1 when it looks into the camera, 0 from the side
    scores: Mapping[str, float] | None = None  # of the face, by name, 0..1
    figures: Mapping[str, float] = field(default_factory=dict)  # of the measures that checks bring along
    thumbnail: bytes = b""  # a small JPEG; empty without one
    problem: str = ""  # why the photograph could not be examined: then the rest says nothing
    damaged: bool = False  # because it is no whole JPEG


class SamePerson(StrEnum):
    """What a check process answers."""

    YES = "yes"
    NO = "no"
    NO_FACE = "no_face"  # too few photographs of this take show one
    NO_FACE_BEFORE = "no_face_before"  # nor those of any earlier session
