"""Coverage of a board's poses: which camera saw the board how often and where, and what a calibration still needs.

What is enough is what `mien calibrate` would say (common.charuco.calibration_needs): poses, how much of the picture the
corners cover, and that each camera shares poses with the others, or it could not be placed beside them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from common.charuco.calibration_needs import CELLS, FEWEST_CORNERS, GOOD_POSES, LEAST_COVERED

COLUMNS, ROWS = 4, 3  # of the grid that is shown
_WHERE = ("upper left", "top", "top", "upper right", "left", "middle", "middle", "right",
          "lower left", "bottom", "bottom", "lower right")  # fmt: skip


@dataclass(frozen=True)
class Sighting:
    """Where a photograph shows corners of the board; no cells when it does not show enough of them."""

    cells: frozenset[int]  # of COLUMNS x ROWS, row by row
    fine: frozenset[int]  # of CELLS x CELLS

    @property
    def seen(self) -> bool:
        return bool(self.cells)


@dataclass(frozen=True)
class CameraCoverage:
    """How well one camera has seen the board."""

    poses: int  # in which it saw it
    cells: str  # a 1 for each cell of the grid where a corner was, row by row
    covered: float  # share of the picture, as `mien calibrate` counts it
    linked: bool  # whether it shares poses with the most cameras that do
    lacks: str  # what a calibration needs more, in words; "" when it is enough

    @property
    def enough(self) -> bool:
        return not self.lacks


def sighting(pixels: Floats, width: int, height: int) -> Sighting:
    """pixels: (N, 2) of the corners that were found in a photograph of this size."""
    if len(pixels) < FEWEST_CORNERS:
        return Sighting(frozenset(), frozenset())

    def cells(columns: int, rows: int) -> frozenset[int]:
        at = np.floor(pixels / [width, height] * [columns, rows]).astype(int)
        x, y = at[:, 0].clip(0, columns - 1), at[:, 1].clip(0, rows - 1)
        return frozenset((y * columns + x).tolist())

    return Sighting(cells(COLUMNS, ROWS), cells(CELLS, CELLS))


def coverage(
    cameras: Sequence[str], sightings: Mapping[tuple[str, str], Sighting], good_poses: int = GOOD_POSES
) -> dict[str, CameraCoverage]:
    """By camera in the order given. sightings: by pose and camera."""
    seen: dict[str, list[Sighting]] = {camera: [] for camera in cameras}
    poses: dict[str, set[str]] = {}
    for (pose, camera), one in sightings.items():
        if one.seen and camera in seen:
            seen[camera].append(one)
            poses.setdefault(pose, set()).add(camera)
    group = _largest_group(poses)
    return {camera: _of_camera(camera, found, group, good_poses) for camera, found in seen.items()}


def advice(found: Mapping[str, CameraCoverage]) -> str:
    """Where to hold the board next: towards the cameras that lack most, where in their pictures it never was."""
    lacking = sorted((c for c in found if not found[c].enough), key=lambda camera: found[camera].poses)
    if not lacking:
        return ""
    towards = lacking[:3]
    empty = Counter(_WHERE[i] for camera in towards for i, cell in enumerate(found[camera].cells) if cell == "0")
    places = [place for place, _ in empty.most_common(2)]
    told = f", {' and '.join(places)} of their pictures" if places else ""
    return f"the board towards {', '.join(towards)}{told}"


def _of_camera(camera: str, found: Sequence[Sighting], group: set[str], good_poses: int) -> CameraCoverage:
    cells = frozenset[int]().union(*(one.cells for one in found))
    covered = len(frozenset[int]().union(*(one.fine for one in found))) / CELLS**2
    linked = camera in group
    needs = []
    if len(found) < good_poses:
        more = good_poses - len(found)
        needs.append(f"{more} more pose{'s' if more > 1 else ''}")
    if found and not linked:
        needs.append("poses that it shares with the other cameras")
    if covered < LEAST_COVERED:
        empty = list(dict.fromkeys(_WHERE[i] for i in range(COLUMNS * ROWS) if i not in cells))
        needs.append(f"the board in more of its picture: {', '.join(empty[:3]) or 'nearer, so that it is larger'}")
    text = "".join("1" if i in cells else "0" for i in range(COLUMNS * ROWS))
    return CameraCoverage(len(found), text, covered, linked, "; ".join(needs))


def _largest_group(poses: Mapping[str, set[str]]) -> set[str]:
    """The most cameras that are linked by poses which two of them saw, directly or over others."""
    groups: list[set[str]] = []
    for together in poses.values():
        if len(together) < 2:
            continue
        joined = [group for group in groups if group & together]
        groups = [group for group in groups if not group & together]
        groups.append(together.union(*joined))
    return max(groups, key=len, default=set())
