"""Corner detection: the board's corners in a photograph, to a few hundredths of a pixel."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image, Ints64
from processing.calibration.charuco_board import Board
from processing.calibration.corner_refinement import fit_crossings

FEWEST_CORNERS = 8
SEARCH_SIDE_PX = 2400  # markers are looked for in the photograph reduced to this; corners refined in the whole one
_GROSS = 0.2  # of a square: a corner off by more, against all others, is another thing


@dataclass(frozen=True, eq=False)
class Detection:
    """The board's corners in one photograph."""

    #: (N,) numbers on the board.
    corner: Ints64
    #: (N, 2) px.
    pixels: Floats
    #: Of the photograph, px.
    width: int
    height: int
    #: Corners found but not believed.
    dropped: int = 0
    #: Why nothing is used of it, or empty.
    reason: str = ""


def detect(image: Image, board: Board) -> Detection:
    """The corners of the board in a grey or BGR photograph; never an exception for what is in the picture."""
    grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    height, width = grey.shape

    def nothing(reason: str, dropped: int = 0) -> Detection:
        return Detection(np.zeros(0, np.int64), np.zeros((0, 2)), width, height, dropped, reason)

    corner, pixels = _search(grey, board)
    if len(corner) == 0:
        return nothing("no board found")
    found = len(corner)
    keep = _agreeing(corner, pixels, board)
    if keep.sum() < max(FEWEST_CORNERS, found / 2):
        return nothing(f"{found} corners found, {keep.sum()} lie as on the board", found)
    corner, pixels = corner[keep], pixels[keep]
    refined, good = _refine(grey, corner, pixels, board)
    corner, refined = corner[good], refined[good]
    keep = _agreeing(corner, refined, board) if len(corner) >= FEWEST_CORNERS else np.zeros(len(corner), bool)
    if keep.sum() < FEWEST_CORNERS:
        return nothing(f"{keep.sum()} sharp corners of {found}; {FEWEST_CORNERS} are needed", found)
    corner, refined = corner[keep], refined[keep]
    if cv2.aruco.CharucoBoard.checkCharucoCornersCollinear(board.pattern, corner.astype(np.int32)):
        return nothing(f"its {len(corner)} corners lie on one line", found)
    return Detection(corner, refined, width, height, found - len(corner))


def _search(grey: Image, board: Board) -> tuple[Ints64, Floats]:
    """Corners to about a pixel. A blurred or small board is looked for again in the whole picture."""
    factor = min(1.0, SEARCH_SIDE_PX / max(grey.shape))
    corner, pixels = _charuco(grey, board, factor)
    if len(corner) < FEWEST_CORNERS and factor < 1:
        return _charuco(grey, board, 1.0)
    return corner, pixels


def _charuco(grey: Image, board: Board, factor: float) -> tuple[Ints64, Floats]:
    small = grey if factor == 1 else cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    parameters.adaptiveThreshWinSizeMax = max(23, min(small.shape) // 12)
    parameters.adaptiveThreshWinSizeStep = max(10, (parameters.adaptiveThreshWinSizeMax - 3) // 4)
    parameters.minMarkerPerimeterRate = 0.02
    pixels = numbers = None
    for strict in (True, False):  # a second sight of one marker upsets OpenCV's own check; `_agreeing` sorts it out
        lattice = cv2.aruco.CharucoParameters()
        lattice.checkMarkers = strict
        detector: Any = cv2.aruco.CharucoDetector(board.pattern, lattice, parameters)
        pixels, numbers, _, markers = detector.detectBoard(small)
        if numbers is not None and len(numbers):
            break
        if markers is None or len(markers) < 4:
            return np.zeros(0, np.int64), np.zeros((0, 2))
    if numbers is None or len(numbers) == 0:
        return np.zeros(0, np.int64), np.zeros((0, 2))
    sy, sx = (np.array(small.shape) / grey.shape).tolist()
    at = np.asarray(pixels, np.float64).reshape(-1, 2)
    return np.asarray(numbers).ravel().astype(np.int64), (at + 0.5) / [sx, sy] - 0.5


def _agreeing(corner: Ints64, pixels: Floats, board: Board) -> NDArray[np.bool_]:
    """Which corners lie where a plane's picture has them; wide enough for any lens (see `_GROSS`)."""
    if len(corner) < 4:
        return np.zeros(len(corner), dtype=bool)
    plane = board.corners_mm[corner, :2]
    size = _square_px(plane, pixels, board)
    H, mask = cv2.findHomography(plane, pixels, cv2.RANSAC, max(2.0, _GROSS * float(np.median(size))), maxIters=500)
    return np.zeros(len(corner), dtype=bool) if H is None else np.asarray(mask).ravel().astype(bool)


def _square_px(plane: Floats, pixels: Floats, board: Board) -> Floats:
    """(N,) how long a square's shorter side is about each corner, px: from the nearest other corners."""
    apart = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    near = (apart > 0) & (apart < 1.01 * board.square_mm)
    seen = np.linalg.norm(pixels[:, None] - pixels[None], axis=2)
    shortest = np.where(near, seen, np.inf).min(1)
    known = np.isfinite(shortest)
    return np.where(known, shortest, np.median(shortest[known]) if known.any() else 20.0)


def _refine(grey: Image, corner: Ints64, pixels: Floats, board: Board) -> tuple[Floats, NDArray[np.bool_]]:
    """Corners to subpixels, and which of them can be believed. The plane's picture says how the squares lie there."""
    plane = board.corners_mm[corner, :2]
    H, _ = cv2.findHomography(plane, pixels, 0)
    if H is None:
        return pixels, np.zeros(len(corner), dtype=bool)
    x, y, z = (np.c_[plane, np.ones(len(plane))] @ H.T).T
    to_image = (H[None, :2, :2] - np.stack([x / z, y / z], axis=1)[:, :, None] * H[None, 2:, :2]) / z[:, None, None]
    step = board.square_mm * 0.02
    sign = np.where(board.light(plane[:, 0] + step, plane[:, 1] + step), 1.0, -1.0)
    return fit_crossings(grey, pixels, to_image, sign, board.square_mm, board.marker_mm)
