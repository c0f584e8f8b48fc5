"""Corner detection: the board's corners in a photograph, to a few hundredths of a pixel."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image, Ints64
from common.charuco.calibration_needs import FEWEST_CORNERS
from common.charuco.charuco_board import Board
from common.charuco.corner_search import agreeing, search_corners
from processing.calibration.corner_refinement import fit_crossings


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

    corner, pixels = search_corners(grey, board)
    if len(corner) == 0:
        return nothing("no board found")
    found = len(corner)
    keep = agreeing(corner, pixels, board)
    if keep.sum() < max(FEWEST_CORNERS, found / 2):
        return nothing(f"{found} corners found, {keep.sum()} lie as on the board", found)
    corner, pixels = corner[keep], pixels[keep]
    refined, good = _refine(grey, corner, pixels, board)
    corner, refined = corner[good], refined[good]
    keep = agreeing(corner, refined, board) if len(corner) >= FEWEST_CORNERS else np.zeros(len(corner), bool)
    if keep.sum() < FEWEST_CORNERS:
        return nothing(f"{keep.sum()} sharp corners of {found}; {FEWEST_CORNERS} are needed", found)
    corner, refined = corner[keep], refined[keep]
    if cv2.aruco.CharucoBoard.checkCharucoCornersCollinear(board.pattern, corner.astype(np.int32)):
        return nothing(f"its {len(corner)} corners lie on one line", found)
    return Detection(corner, refined, width, height, found - len(corner))


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
