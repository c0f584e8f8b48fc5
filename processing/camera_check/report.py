"""What the camera check found, camera by camera, in figures and in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["moved", "swapped", "misfit", "blurred", "dark", "bright", "saturated", "not judged"]
Action = Literal["refined", "exchanged", "excluded", "kept"]


@dataclass(frozen=True)
class CameraFinding:
    """One camera's trouble, and what was done about it."""

    camera: str
    kind: Kind
    action: Action
    #: For a person: what was seen and what was done.
    text: str
    #: Name with unit -> value.
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CameraCheckReport:
    """The outcome of a check of all cameras of a take."""

    #: Cameras of the take.
    cameras: int
    #: Those with enough features for a judgement, that stand where they should.
    judged: int
    findings: tuple[CameraFinding, ...]
    #: Features used.
    tracks: int
    #: Median over the judged of how far their features lie from the points of the others, at the working size.
    residual_px: float | None
    #: Part of the work -> its duration.
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def troubles(self) -> tuple[CameraFinding, ...]:
        """Without the cameras that could not be judged."""
        return tuple(f for f in self.findings if f.kind != "not judged")

    @property
    def excluded(self) -> dict[str, str]:
        """Camera -> why it is left out."""
        return {f.camera: f.text for f in self.findings if f.action == "excluded"}


def lines(report: CameraCheckReport) -> list[str]:
    """For a terminal: the troubles one a line, then in one line what could not be judged."""
    out = [f"camera {f.camera}  {f.text}" for f in report.troubles]
    silent = [f.camera for f in report.findings if f.kind == "not judged"]
    if len(silent) == report.cameras:
        out.append("no camera's place could be judged: the photographs share too few features")
    elif silent:
        shown = ", ".join(silent[:12]) + (f" and {len(silent) - 12} more" if len(silent) > 12 else "")
        out.append(f"not judged (too few features in common with others): {shown}")
    return out
