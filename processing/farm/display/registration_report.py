"""What `mien register` says of a registered mesh: from the stage's reports, as text and as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from processing.files.stage_files import read_json
from processing.registration.register import RegistrationReport
from processing.scan_quality.verdict import QualityReview
from processing.texture.flow_refinement import AppearanceReport


@dataclass(frozen=True)
class RegisteredFiles:
    """What was written."""

    mesh: Path
    displacement: Path
    displacement_exr: Path
    texture: Path | None  # None without photographs
    landmarks: Path
    quality: Path  # a picture for a person


@dataclass(frozen=True)
class RegistrationResult:
    """How a registration came out."""

    files: RegisteredFiles
    report: RegistrationReport
    appearance: AppearanceReport | None  # None where the skin was compared with no neutral's
    review: QualityReview

    @classmethod
    def read(cls, files: RegisteredFiles, report: Path, review: Path) -> "RegistrationResult":
        """From the stage's outputs of these names. Raises DataError."""
        found, judged = read_json(report), read_json(review)
        appearance = None if found["appearance"] is None else AppearanceReport(**found["appearance"])
        verdict = QualityReview(judged["verdict"], tuple(judged["reasons"]), judged["figures"])
        return cls(files, RegistrationReport(**found["report"]), appearance, verdict)

    def as_json(self) -> str:
        files = {name: str(path) for name, path in vars(self.files).items() if path is not None}
        review = {"verdict": self.review.verdict, "reasons": self.review.reasons, "figures": self.review.figures}
        return json.dumps({"files": files, **asdict(self.report), "review": review})

    def as_text(self) -> str:
        r = self.report
        lines = [
            f"{self.files.mesh}: {r.matched:.0%} of the skin met the scan, {r.surface_mm:.3f} mm from it on average; "
            f"landmarks within {r.landmark_mm:.1f} mm (median of {r.landmarks})"
        ]
        if self.appearance is not None:
            a = self.appearance
            lines.append(
                f"skin off its vertex: {a.slip_mm[0]:.2f} mm before, {a.slip_mm[-1]:.2f} mm after comparing it"
            )
        lines.append(f"{self.review.verdict}: {self.files.quality}")
        return "\n".join([*lines, *(f"  {reason}" for reason in self.review.reasons)])
