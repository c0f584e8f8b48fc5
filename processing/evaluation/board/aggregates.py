"""Means over images: by pose, by focal length, over all; and what share of images a method succeeded on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from processing.evaluation.board.score_rows import ScoreRow

LAB_POSES = (0, 30, 60)
WILD_BINS = ("0-5", "5-30", "30-60", "60-90")


@dataclass(frozen=True)
class Group:
    """Some of a benchmark's images."""

    label: str
    holds: Callable[[ScoreRow], bool]

    def of(self, rows: Sequence[ScoreRow]) -> list[ScoreRow]:
        return [row for row in rows if self.holds(row)]


@dataclass(frozen=True)
class MethodScores:
    """A method on the board."""

    name: str
    rows: Sequence[ScoreRow]
    description: str = ""
    reference: str = ""
    projection: str = ""
    sees_focal: bool | None = None  # None: of a folder of meshes that is not known

    @property
    def success(self) -> float:
        """0..1: the share of its images on which it succeeded."""
        return sum(row.succeeded for row in self.rows) / len(self.rows) if self.rows else 0.0

    @property
    def failed(self) -> list[ScoreRow]:
        return [row for row in self.rows if not row.succeeded]

    @property
    def seconds(self) -> float | None:
        """Median seconds an image, of those that it made."""
        known = sorted(row.seconds for row in self.rows if row.seconds and row.succeeded)
        return known[len(known) // 2] if known else None

    def over(self, names: set[str]) -> "MethodScores":
        """The same method, of some images alone."""
        rows = [row for row in self.rows if row.name in names]
        return MethodScores(self.name, rows, self.description, self.reference, self.projection, self.sees_focal)


def mean_of(rows: Sequence[ScoreRow], figure: str) -> float | None:
    """The mean over the images that have the figure; None where none has."""
    found = [row.figures[figure] for row in rows if figure in row.figures]
    return sum(found) / len(found) if found else None


def pose_groups(kind: str, rows: Sequence[ScoreRow], *, long_alone: bool = False) -> list[Group]:
    """The paper's groups by pose that the rows have.

    long_alone: of the longest focal length, over which the paper's table by pose is made (its export_table.py).
    """
    if kind == "wild":
        return [Group(f"{label}°", _in_bin(label)) for label in WILD_BINS if any(map(_in_bin(label), rows))]
    longest = max((length for row in rows if (length := row.number("focal_px"))), default=None)
    groups = [Group(f"{pose}°", _at_pose(pose, longest if long_alone else None)) for pose in LAB_POSES]
    return [group for group in groups if group.of(rows)]


def focal_groups(rows: Sequence[ScoreRow]) -> list[Group]:
    """A group a focal length, the longest first; none where the images have no focal length."""
    lengths = sorted({length for row in rows if (length := row.number("focal_px"))}, reverse=True)
    return [Group(f"{length:g} px", _at_focal(length)) for length in lengths]


def _at_focal(length: float) -> Callable[[ScoreRow], bool]:
    return lambda row: row.number("focal_px") == length


def _at_pose(pose: int, focal: float | None) -> Callable[[ScoreRow], bool]:
    return lambda row: (
        min(LAB_POSES, key=lambda p: abs(p - (row.number("pose_deg") or 0.0))) == pose
        and (focal is None or row.number("focal_px") == focal)
    )


def _in_bin(label: str) -> Callable[[ScoreRow], bool]:
    return lambda row: row.about.get("bin", "").replace("°", "").replace(" ", "") == label
