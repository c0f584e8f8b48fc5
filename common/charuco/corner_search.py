"""Search for the board's corners in a photograph, to about a pixel: enough to know where the board was seen."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image, Ints64
from common.charuco.calibration_needs import FEWEST_CORNERS
from common.charuco.charuco_board import Board

SEARCH_SIDE_PX = 2400  # markers are looked for in the photograph reduced to this; corners refined in the whole one
_GROSS = 0.2  # of a square: a corner off by more, against all others, is another thing


def search_corners(grey: Image, board: Board) -> tuple[Ints64, Floats]:
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


def agreeing(corner: Ints64, pixels: Floats, board: Board) -> NDArray[np.bool_]:
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
