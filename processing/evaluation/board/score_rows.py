"""A method's figures on disk: a CSV file of one row an image, with every figure or the reason why there is none."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.bounded.files import read_bytes
from common.files.atomic_write import write_whole
from processing.errors import DataError
from processing.evaluation.metrics.scores import ARMSE_RADII_MM, CylinderScores, ImageScores

SCORES = "scores.csv"
_CYLINDER = ("cd_mm", "cd_sum_mm", "mne_rad", "completeness", "depth_shift_mm")
FIGURES = (
    *(f"published_{name}" for name in _CYLINDER),
    *_CYLINDER,
    *(f"armse_{radius}_mm" for radius in ARMSE_RADII_MM),
    "icp_mm",
    "corresponding_mm",
    "corresponding_similarity_mm",
)
_ABOUT = ("subject", "pose_deg", "yaw_deg", "pitch_deg", "focal_px", "expression", "bin")
_COLUMNS = ("name", *_ABOUT, "reason", *FIGURES, "seconds", "notes", "key")
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class ScoreRow:
    """What is known of a method's face of one image."""

    name: str
    key: str  # of truth, camera, prediction and evaluator: figures of another key are stale
    reason: str  # why it failed; nothing where it succeeded
    figures: Mapping[str, float]  # by `FIGURES`; what was not measured is not there
    about: Mapping[str, str] = field(default_factory=dict)  # of the image, as the benchmark has it
    seconds: float | None = None  # of the method
    notes: tuple[str, ...] = ()

    @property
    def succeeded(self) -> bool:
        return not self.reason

    def number(self, what: str) -> float | None:
        """A number of the image, such as pose_deg; None where it has none."""
        text = self.about.get(what, "")
        return float(text) if text else None


def figures_of(scores: ImageScores) -> dict[str, float]:
    """All figures of an image by name. What is not a finite number is left out."""
    found: dict[str, float | None] = {}
    for prefix, one in (("published_", scores.published), ("", scores.exact)):
        if one is not None:
            found |= {f"{prefix}{name}": value for name, value in _values(one).items()}
    found |= {f"armse_{radius}_mm": value for radius, value in scores.armse_mm.items()}
    found |= {name: getattr(scores, name) for name in ("icp_mm", "corresponding_mm", "corresponding_similarity_mm")}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _values(scores: CylinderScores) -> dict[str, float]:
    return {name: getattr(scores, name) for name in _CYLINDER}


def write_rows(path: Path, rows: Sequence[ScoreRow]) -> None:
    """The CSV file, whole or not at all, rows by name."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda row: row.name):
        figures = {name: f"{value:.6g}" for name, value in row.figures.items()}
        line = {"name": row.name, "key": row.key, "reason": row.reason, "notes": " | ".join(row.notes)}
        seconds = "" if row.seconds is None else f"{row.seconds:.3f}"
        writer.writerow({**{key: row.about.get(key, "") for key in _ABOUT}, **figures, **line, "seconds": seconds})
    write_whole(path, text.getvalue())


def read_rows(path: Path) -> list[ScoreRow]:
    """The rows of a CSV file; none where it is not there. Raises DataError for another file."""
    if not path.is_file():
        return []
    try:
        lines = list(csv.DictReader(io.StringIO(read_bytes(path, _MOST_BYTES).decode("utf-8"))))
        return [_row(line) for line in lines]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise DataError(f"{path} is no file of figures ({error}); take it away, and they are measured anew") from None


def _row(line: Mapping[str, str]) -> ScoreRow:
    figures = {name: float(line[name]) for name in FIGURES if line[name]}
    notes = tuple(note for note in line["notes"].split(" | ") if note)
    seconds = float(line["seconds"]) if line["seconds"] else None
    about = {key: line[key] for key in _ABOUT}
    return ScoreRow(line["name"], line["key"], line["reason"], figures, about, seconds, notes)
