"""The ChArUco board: its measures, where its corners lie, and a print of it at true size."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from common.charuco.board_errors import BoardError
from common.configuration.loader import Wording, from_table, read_toml
from common.configuration.suggestions import nearest

DICTIONARIES = (
    *(f"{bits}X{bits}_{count}" for bits in (4, 5, 6, 7) for count in (50, 100, 250, 1000)),
    "APRILTAG_16h5", "APRILTAG_25h9", "APRILTAG_36h10", "APRILTAG_36h11", "ARUCO_MIP_36h12",
)  # fmt: skip
SQUARE_MM = (1.0, 1000.0)

_WORDING = Wording(
    unknown="the board has no {key!r}",
    near="did you mean {near}?",
    known="known are {known}",
    value="{key} = {value!r} is not {wanted}",
)


@dataclass(frozen=True)
class Board:
    """A chessboard with markers in its white squares.

    The board's frame: origin in its middle, x to the right, y down, z into the print, mm.
    """

    #: Squares over the width.
    squares_x: int = 9
    #: Squares over the height.
    squares_y: int = 13
    #: Side of a square, measured on the print, not as ordered.
    square_mm: float = 20.0
    #: Side of a marker, measured too.
    marker_mm: float = 15.0
    #: OpenCV's name without DICT_.
    dictionary: str = "5X5_100"
    #: The pattern of OpenCV before 4.6, which matters for even heights.
    legacy: bool = False

    def __post_init__(self) -> None:
        if self.dictionary not in DICTIONARIES:
            near = nearest(self.dictionary.upper(), DICTIONARIES)
            hint = f"; did you mean {near}?" if near is not None else f"; known are {', '.join(DICTIONARIES)}"
            raise BoardError(f"the board's dictionary {self.dictionary!r} is not known{hint}")
        if self.squares_x < 3 or self.squares_y < 3:
            raise BoardError(f"a board of {self.squares_x} x {self.squares_y} squares is too small; 3 x 3 at least")
        if not 0 < self.marker_mm < self.square_mm:
            raise BoardError(
                f"the board's marker_mm is {self.marker_mm:g} and its square_mm {self.square_mm:g};"
                " a marker is smaller than its square"
            )
        if not SQUARE_MM[0] <= self.square_mm <= SQUARE_MM[1]:
            raise BoardError(
                f"the board's square_mm is {self.square_mm:g}: no board is printed with squares below {SQUARE_MM[0]:g} "
                f"or above {SQUARE_MM[1]:g} mm. Give square_mm and marker_mm in millimetres: a square of 20 mm is 20, "
                "not 0.02 (metres) or 20000 (micrometres)"
            )
        markers, known = (self.squares_x * self.squares_y) // 2, len(self._dictionary.bytesList)
        if markers > known:
            raise BoardError(f"the board needs {markers} markers; {self.dictionary} has {known}. Take a larger one")

    @property
    def _dictionary(self) -> Any:
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary}"))

    @cached_property
    def pattern(self) -> Any:
        """OpenCV's object."""
        made = cv2.aruco.CharucoBoard(
            (self.squares_x, self.squares_y), self.square_mm, self.marker_mm, self._dictionary
        )
        made.setLegacyPattern(self.legacy)
        return made

    @property
    def size_mm(self) -> tuple[float, float]:
        return self.squares_x * self.square_mm, self.squares_y * self.square_mm

    @cached_property
    def corners_mm(self) -> Floats:
        """(K, 3) the inner corners in the board's frame, by their number."""
        corners = np.array(self.pattern.getChessboardCorners(), dtype=np.float64)
        return corners - [self.size_mm[0] / 2, self.size_mm[1] / 2, 0]

    @cached_property
    def _cells(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Marker of each square (squares_y, squares_x), -1 for none; light cells of each marker (M, side, side)."""
        of_square = np.full((self.squares_y, self.squares_x), -1)
        ids = np.array(self.pattern.getIds()).ravel()
        side = self._dictionary.markerSize + 2
        cells = np.zeros((len(ids), side, side), dtype=bool)
        for row, (number, corners) in enumerate(zip(ids, self.pattern.getObjPoints(), strict=True)):
            x, y = (np.array(corners)[:, :2].mean(0) / self.square_mm).astype(int)
            of_square[y, x] = row
            cells[row] = cv2.aruco.generateImageMarker(self._dictionary, int(number), side) > 127
        return of_square, cells

    def light(self, x_mm: Floats, y_mm: Floats) -> NDArray[np.bool_]:
        """Whether the print is white at these places of the board's frame; beyond the squares the paper is white."""
        x = (x_mm + self.size_mm[0] / 2) / self.square_mm
        y = (y_mm + self.size_mm[1] / 2) / self.square_mm
        i, j = np.floor(x).astype(int), np.floor(y).astype(int)
        outside = (i < 0) | (j < 0) | (i >= self.squares_x) | (j >= self.squares_y)
        i, j = i.clip(0, self.squares_x - 1), j.clip(0, self.squares_y - 1)
        of_square, cells = self._cells
        marker = of_square[j, i]
        share, side = self.marker_mm / self.square_mm, cells.shape[1]
        u = (x - i - (1 - share) / 2) / share * side
        v = (y - j - (1 - share) / 2) / share * side
        in_marker = (marker >= 0) & (u >= 0) & (v >= 0) & (u < side) & (v < side)
        a, b = u.astype(int).clip(0, side - 1), v.astype(int).clip(0, side - 1)
        white = np.where(marker >= 0, np.where(in_marker, cells[marker.clip(0), b, a], True), False)
        return np.asarray(outside | white)

    def picture(self, dots_per_mm: float = 600 / 25.4, margin_mm: float = 10.0) -> Image:
        """(H, W) uint8: the print at this resolution, drawn from its measures and not scaled."""
        w, h = (size + 2 * margin_mm for size in self.size_mm)
        x = (np.arange(round(w * dots_per_mm)) + 0.5) / dots_per_mm - w / 2
        y = (np.arange(round(h * dots_per_mm)) + 0.5) / dots_per_mm - h / 2
        return np.concatenate(
            [np.where(self.light(*np.meshgrid(x, part)), 255, 0).astype(np.uint8) for part in np.array_split(y, 16)]
        )


def read_board(path: Path) -> Board:
    """board.toml: the measures by their names. Raises BoardError naming the file and the key."""
    return board_from(read_toml(path, BoardError), str(path))


def board_from(found: Mapping[str, Any], source: str) -> Board:
    """The board of a table, which stands in a file or beside a result."""
    return from_table(Board, found, source, BoardError, wording=_WORDING)


def board_toml(board: Board) -> str:
    def text(value: object) -> str:
        return f'"{value}"' if isinstance(value, str) else str(value).lower()

    rows = [f"{field.name} = {text(getattr(board, field.name))}" for field in fields(Board)]
    return "\n".join(["# Measure the print with a steel rule over many squares and correct the sizes here.", *rows, ""])
