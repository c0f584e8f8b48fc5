"""Selection rules: quality, split and pictures, before a person reads the result."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import msgspec

Pictures = Literal["as_taken", "undistorted", "none"]
Colour = Literal["as_taken", "corrected"]


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a take must have said of itself. A figure that was not measured refuses nothing; None asks for nothing."""

    #: Of the scan.
    verdicts: tuple[str, ...] = ("accept", "review")
    #: Mean distance of the registered mesh to the scan.
    max_surface_mm: float | None = None
    #: Share of the skin that met the scan.
    min_matched: float | None = None
    #: Between the shutters.
    max_exposure_skew_ms: float | None = None
    #: Whether subjects without every expression stay.
    complete: bool = False


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is kept for evaluation."""

    #: How many subjects are not released.
    hold_back: int = 0
    #: Draws the same ones every time.
    seed: str = "mien"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the files of a release are made."""

    #: As they were taken with their lens's distortion, undistorted, or none at all.
    photographs: Pictures = "as_taken"
    #: As taken, or corrected by the calibration's colour profiles.
    colour: Colour = "as_taken"
    #: Whether displacement is there as OpenEXR beside the PNG.
    exr: bool = True
    #: Whether rigs leave, which are made of several takes of a subject.
    rigs: bool = True
    #: Whether face models leave, which are made of many subjects.
    models: bool = True
    #: Whether they are there as FaceScape's own code reads them, too.
    facescape: bool = False


def quality_problem(
    quality: Quality, verdict: str | None, registration: Mapping[str, Any], exposure_skew_ms: float | None
) -> str | None:
    """Why a take is not good enough; None when it is. registration: the report of the mesh, empty without one."""
    if verdict is not None and verdict not in quality.verdicts:
        return f"its scan's verdict is {verdict}"
    surface, matched = registration.get("surface_mm"), registration.get("matched")
    if quality.max_surface_mm is not None and surface is not None and surface > quality.max_surface_mm:
        return f"its mesh lies {surface:.2f} mm from the scan on average, over {quality.max_surface_mm:g} mm"
    if quality.min_matched is not None and matched is not None and matched < quality.min_matched:
        return f"only {matched:.0%} of its skin met the scan, under {quality.min_matched:.0%}"
    limit = quality.max_exposure_skew_ms
    if limit is not None and exposure_skew_ms is not None and exposure_skew_ms > limit:
        return f"its shutters were {exposure_skew_ms:.1f} ms apart, over {limit:g} ms"
    return None


def draw_held_back(split: Split, codes: Iterable[str], published: Collection[str]) -> set[str]:
    """Codes of the subjects held back: those whose hash with the seed is lowest, never one that was published before.

    A subject added later changes the draw by itself at most, so the evaluation set stays as it is.
    """
    free = [code for code in codes if code not in published]
    free.sort(key=lambda code: hashlib.sha256(f"{split.seed}:{code}".encode()).digest())
    return set(free[: split.hold_back])
