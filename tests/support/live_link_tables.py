"""Tables as the Live Link Face app writes them, of any weights, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from processing.template.face_units import ARKIT_UNITS

TURNS = (
    "HeadYaw",
    "HeadPitch",
    "HeadRoll",
    *(f"{s}Eye{t}" for s in ("Left", "Right") for t in ("Yaw", "Pitch", "Roll")),
)
NAMES = (*(name[0].upper() + name[1:] for name in ARKIT_UNITS), *TURNS)


def timecode(frame: int, rate: int = 60) -> str:
    """Of a frame since midnight."""
    seconds, frames = divmod(frame, rate)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}.207"


def cells_of(values: Any, first: int = 3600 * 60 * 14, rate: int = 60) -> list[list[str]]:
    """Header and rows of values (T, 61)."""
    rows = [[timecode(first + k, rate), "61", *(f"{v:.10f}" for v in row)] for k, row in enumerate(values)]
    return [["Timecode", "BlendShapeCount", *NAMES], *rows]


def write_table(path: Path, cells: Sequence[Sequence[str]], separator: str = ",") -> Path:
    path.write_text("\n".join(separator.join(row) for row in cells) + "\n")
    return path


def recording(seed: int = 0, frames: int = 12) -> Any:
    """(T, 61) weights of 0..1, a third of them 0, and small turns."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0, 1, (frames, 52)) * (rng.uniform(0, 1, 52) > 0.3)
    return np.hstack([weights, rng.normal(0, 0.1, (frames, 9))])
