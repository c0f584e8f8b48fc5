"""What `mien reconstruct` says of a scan: from the reports that the stage wrote, as text and as plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processing.camera_check.report import CameraCheckReport, CameraFinding, lines
from processing.files.stage_files import read_json
from processing.reconstruction.settings import ScanReport
from processing.scan_quality.verdict import QualityReview


@dataclass(frozen=True)
class ScanResult:
    """How a scan came out."""

    report: ScanReport
    skipped: Mapping[int, str]  # view -> why it gave nothing
    cameras: CameraCheckReport | None  # None where the cameras were not checked
    review: QualityReview

    @classmethod
    def read(cls, report: Path, review: Path) -> "ScanResult":
        """From the stage's outputs of these names. Raises DataError."""
        found, judged = read_json(report), read_json(review)
        cameras = found["cameras"]
        if cameras is not None:
            cameras = CameraCheckReport(
                **(cameras | {"findings": tuple(CameraFinding(**one) for one in cameras["findings"])})
            )
        skipped = {int(view): why for view, why in found["skipped"].items()}
        return cls(
            ScanReport(**found["report"]), dict(sorted(skipped.items())), cameras,
            QualityReview(judged["verdict"], tuple(judged["reasons"]), judged["figures"]),
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """All that was found: what `--json` prints."""
        return {
            **asdict(self.report),
            "skipped": {str(view): why for view, why in self.skipped.items()},
            "cameras": None if self.cameras is None else asdict(self.cameras),
            "review": asdict(self.review),
        }

    def warnings(self) -> list[str]:
        """What a person should know of single views and cameras."""
        told = {f.camera for f in self.cameras.troubles} if self.cameras is not None else set()
        said = [f"view {view} is not used: {why}" for view, why in self.skipped.items() if str(view) not in told]
        return said + (lines(self.cameras) if self.cameras is not None else [])

    def as_text(self, out: Path) -> str:
        """For a terminal: size, figures and verdict of the scan in the file `out`."""
        r, f = self.report, self.review.figures
        said = [
            f"{out}: {r.vertices} vertices, {r.triangles} triangles from {r.depth_views} of {r.views} views in"
            f" {sum(r.seconds.values()):.0f} s",
            f"one pixel spans {r.footprint_mm:.2f} mm of the subject; median correlation between views {r.score:.2f}",
        ]
        figures = [f"open {100 * f['holes']:.1f} %", f"roughness {f['noise_mm']:.3f} mm"]
        if f["coverage"] is not None:
            figures.insert(0, f"covers {100 * f['coverage']:.1f} % of the subject's known places")
        if f.get("estimated") is not None:
            figures.append(f"estimated {100 * f['estimated']:.1f} %")
        if f["offset_mm"] is not None:
            figures.append(f"cameras' views of it off by {f['offset_mm']:.2f} mm")
        verdict = {
            "accept": "accepted",
            "review": "look at it: " + "; ".join(self.review.reasons),
            "redo": "to be done again: " + "; ".join(self.review.reasons),
        }[self.review.verdict]
        return "\n".join([*said, "; ".join(figures), verdict])
