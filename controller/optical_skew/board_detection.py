"""Detection of the board in a photograph: markers, homography, rectified lamps, their light measured linearly."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from controller.errors import ControllerError
from controller.optical_skew.led_board import (
    FACES,
    HEIGHT_MM,
    LAMP_RADIUS_MM,
    MARKER_CORNERS_MM,
    MARKER_MM,
    QUIET_MM,
    WIDTH_MM,
    LedBoard,
    marker_quads_mm,
)

DETECTION_SIDES_PX = (
    2400,
    1200,
    600,
    4800,
)  # the photograph is looked at in these sizes until all four markers are found
PX_PER_MM = 5.0
ALIGN_PX_PER_MM, ALIGN_BLUR_PX, ALIGN_LEAST = 2.0, 5, 0.6
CORE_MM, RING_MM = 1.2 * LAMP_RADIUS_MM, (2.4, 3.3)
SEARCH_MM = 3.0
FOLLOW_TIMES = 2
CLIPPED = 250  # of 255
DARK = 0.15  # a pair with less of the light of the others is covered or dead


class BoardUnreadable(ControllerError):
    """The board cannot be read in this photograph; the message says why."""

    exit_code = 4


@dataclass(frozen=True)
class Lamps:
    """The P pairs of lamps of one photograph."""

    face: int  # which board face was found
    markers: int  # how many of its markers were
    light: Floats  # (P, 2) linear light of each lamp and its opposite, above the board's black
    rows: Floats  # (P,) where the pair lies: 0 the sensor's middle row, -0.5 its first, 0.5 its last
    usable: NDArray[np.bool_]  # (P,) that tell something
    clipped: NDArray[np.bool_]  # (P,) overexposed


def measure_lamps(photo: NDArray[np.uint8], board: LedBoard) -> Lamps:
    """Find the board and measure every pair of lamps.

    photo: (H, W, 3) sRGB as the sensor's rows lie, not turned by EXIF.  Raises BoardUnreadable.
    """
    face, markers, to_board = find_board(photo)
    linear, raw, rectify = _rectify(photo, to_board)
    for _ in range(FOLLOW_TIMES):
        corrected = _follow_lamps(linear, board)
        if corrected is None:
            break
        linear, raw, rectify = _rectify(photo, corrected @ rectify)
    return _measure(photo.shape[0], face, markers, board, linear, raw, rectify)


def find_board(photo: NDArray[np.uint8]) -> tuple[int, int, Floats]:
    """(face, markers seen, homography from the photograph's pixels to the board's millimetres).

    Raises BoardUnreadable when fewer than two markers of one face are seen.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    best: dict[int, dict[int, Floats]] = {}
    for side in DETECTION_SIDES_PX:
        scale = min(1.0, side / max(grey.shape))
        small = grey if scale == 1.0 else cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for number, corners in _detect(small).items():
            best.setdefault(number // 4, {}).setdefault(number % 4, (corners + 0.5) / scale - 0.5)
        if any(len(found) == 4 for found in best.values()):
            break
    if not best:
        raise BoardUnreadable("no marker of the board is seen")
    face, found = max(best.items(), key=lambda item: (len(item[1]), _area(item[1])))
    if len(found) < 2:
        raise BoardUnreadable("only one marker of the board is seen; two are needed to know where its lamps are")
    quads = marker_quads_mm()
    there = np.concatenate([found[place] for place in sorted(found)])
    board = np.concatenate([quads[place] for place in sorted(found)])
    homography, _ = cv2.findHomography(there, board, cv2.RANSAC, 3.0)
    if homography is None or not np.isfinite(homography).all():
        raise BoardUnreadable("the board's markers do not lie as on the board")
    return face, len(found), _align(grey, np.asarray(homography, dtype=np.float64), face, sorted(found))


def _align(grey: NDArray[np.uint8], to_board: Floats, face: int, places: list[int]) -> Floats:
    """The homography that brings the seen markers as a whole onto their print: blur moves corners, not markers.

    Enhanced correlation (Evangelidis and Psarakis 2008); the given homography where it does not converge.
    """
    size = (round(WIDTH_MM * ALIGN_PX_PER_MM), round(HEIGHT_MM * ALIGN_PX_PER_MM))
    draw = np.array([[ALIGN_PX_PER_MM, 0, -0.5], [0, ALIGN_PX_PER_MM, -0.5], [0, 0, 1]])
    px_per_mm = np.sqrt(abs(np.linalg.det(np.linalg.inv(to_board)[:2, :2] / np.linalg.inv(to_board)[2, 2])))
    if px_per_mm > 2 * ALIGN_PX_PER_MM:  # averaging first, or the warp would pass pixels over
        grey = cv2.GaussianBlur(grey, (0, 0), 0.4 * px_per_mm / ALIGN_PX_PER_MM)
    seen = cv2.warpPerspective(grey, draw @ to_board, size, flags=cv2.INTER_LINEAR).astype(np.float32)
    print_, mask = np.full(seen.shape, 0.0, np.float32), np.zeros(seen.shape, np.uint8)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    side, quiet = round(MARKER_MM * ALIGN_PX_PER_MM), round(QUIET_MM * ALIGN_PX_PER_MM)
    for place in range(4):
        x, y = (round(value * ALIGN_PX_PER_MM) for value in MARKER_CORNERS_MM[place])
        print_[y - quiet : y + side + quiet, x - quiet : x + side + quiet] = 1.0
        print_[y : y + side, x : x + side] = cv2.aruco.generateImageMarker(dictionary, 4 * face + place, side) / 255.0
        if place in places:
            mask[y - quiet : y + side + quiet, x - quiet : x + side + quiet] = 255
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    try:
        match, warp = cv2.findTransformECC(
            print_, seen, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, mask, ALIGN_BLUR_PX
        )
    except cv2.error:
        return to_board
    if match < ALIGN_LEAST or not np.isfinite(warp).all():
        return to_board
    corrected: Floats = np.linalg.inv(draw) @ np.linalg.inv(warp.astype(np.float64)) @ draw @ to_board
    scaled: Floats = corrected / corrected[2, 2]
    return scaled


def _detect(grey: NDArray[np.uint8]) -> dict[int, Floats]:
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    parameters.adaptiveThreshWinSizeMax = 63  # a blurred marker's edges are wide
    parameters.polygonalApproxAccuracyRate = 0.06
    parameters.minMarkerPerimeterRate = 0.015
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    quads, numbers, _ = cv2.aruco.ArucoDetector(dictionary, parameters).detectMarkers(grey)
    if numbers is None:
        return {}
    return {
        int(number): np.asarray(quad, dtype=np.float64).reshape(4, 2)
        for number, quad in zip(np.ravel(numbers), quads, strict=True)
        if number < 4 * FACES
    }


def _area(found: dict[int, Floats]) -> float:
    return float(sum(abs(cv2.contourArea(quad.astype(np.float32))) for quad in found.values()))


def _rectify(photo: NDArray[np.uint8], to_board: Floats) -> tuple[Floats, NDArray[np.uint8], Floats]:
    """The board's face seen straight on at PX_PER_MM: linear light, the brightest channel's value, the homography.

    A larger photograph is first reduced by averaging, so that no pixel is passed over.
    """
    corners = np.array([[[0, 0], [WIDTH_MM, 0], [WIDTH_MM, HEIGHT_MM], [0, HEIGHT_MM]]], dtype=np.float64)
    there = cv2.perspectiveTransform(corners, np.linalg.inv(to_board))[0]
    low = np.maximum(np.floor(there.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(there.max(axis=0)).astype(int) + 3, [photo.shape[1], photo.shape[0]])
    if (high - low < 8).any():
        raise BoardUnreadable("the board lies outside the photograph")
    crop = photo[low[1] : high[1], low[0] : high[0]]
    sides = np.linalg.norm(there - np.roll(there, 1, axis=0), axis=1)
    scale = min(1.0, 1.5 * PX_PER_MM * WIDTH_MM / max(sides[1], sides[3], 1.0))
    linear = _linear(crop).sum(axis=2)
    raw = crop.max(axis=2)
    if scale < 1.0:
        size = (max(8, round(crop.shape[1] * scale)), max(8, round(crop.shape[0] * scale)))
        linear = cv2.resize(linear, size, interpolation=cv2.INTER_AREA)
        raw = cv2.resize(raw, size, interpolation=cv2.INTER_AREA)
    sx, sy = linear.shape[1] / crop.shape[1], linear.shape[0] / crop.shape[0]
    reduce = np.array([[sx, 0, (0.5 - low[0]) * sx - 0.5], [0, sy, (0.5 - low[1]) * sy - 0.5], [0, 0, 1]])
    draw = np.array([[PX_PER_MM, 0, -0.5], [0, PX_PER_MM, -0.5], [0, 0, 1]])
    flat = draw @ to_board @ np.linalg.inv(reduce)
    size = (round(WIDTH_MM * PX_PER_MM), round(HEIGHT_MM * PX_PER_MM))
    return (
        cv2.warpPerspective(linear, flat, size, flags=cv2.INTER_LINEAR, borderValue=-1.0).astype(np.float64),
        cv2.warpPerspective(raw, flat, size, flags=cv2.INTER_LINEAR),
        to_board,
    )


def _linear(photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    linear: NDArray[np.float32] = table[photo]
    return linear


def _offsets() -> tuple[NDArray[np.int64], Floats]:
    reach = int(np.ceil(RING_MM[1] * PX_PER_MM))
    steps = np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return grid, np.linalg.norm(grid, axis=1) / PX_PER_MM


def _patches(image: Floats, lamps_mm: Floats) -> Floats:
    """(N, K): the pixels around each lamp; NaN outside the photograph."""
    grid, _ = _offsets()
    centre = np.rint(lamps_mm.reshape(-1, 2) * PX_PER_MM - 0.5).astype(int)
    at = centre[:, None, :] + grid[None]
    inside = (at >= 0).all(axis=2) & (at[..., 0] < image.shape[1]) & (at[..., 1] < image.shape[0])
    at = np.where(inside[..., None], at, 0)
    values = image[at[..., 1], at[..., 0]].astype(np.float64)
    return np.where(inside & (values >= 0), values, np.nan)


def _follow_lamps(linear: Floats, board: LedBoard) -> Floats | None:
    """The small affine correction (board mm to board mm) that puts the lamps where they shine; None when too few do.

    With two markers, or on a bent board or through a distorting lens, the homography alone may be a millimetre off.
    """
    lamps = board.lamps_mm.reshape(-1, 2)
    patches = _patches(linear, lamps)
    grid, distance = _offsets()
    seen = np.isfinite(patches).all(axis=1)
    if seen.sum() < 8:
        return None
    patches = np.where(np.isfinite(patches), patches, 0.0)
    black = np.median(patches[:, distance > RING_MM[0]], axis=1, keepdims=True)
    light = np.clip(patches - black - 0.25 * (patches.max(axis=1, keepdims=True) - black), 0.0, None)
    light[:, distance > SEARCH_MM] = 0.0
    total = light.sum(axis=1)
    bright = seen & (total > 0.3 * np.percentile(total[seen], 80))
    if bright.sum() < 8:
        return None
    shift = (light[bright, :, None] * grid[None]).sum(axis=1) / total[bright, None] / PX_PER_MM
    rounding = (np.rint(lamps[bright] * PX_PER_MM - 0.5) + 0.5) / PX_PER_MM - lamps[bright]
    found, _ = cv2.estimateAffine2D(lamps[bright] + shift + rounding, lamps[bright], ransacReprojThreshold=0.4)
    if found is None or abs(np.linalg.det(found[:, :2]) - 1) > 0.1:
        return None
    return np.vstack([found, [0.0, 0.0, 1.0]])


def _measure(
    height: int, face: int, markers: int, board: LedBoard, linear: Floats, raw: NDArray[np.uint8], to_board: Floats
) -> Lamps:
    _, distance = _offsets()
    core, ring = distance <= CORE_MM, (distance >= RING_MM[0]) & (distance <= RING_MM[1])
    patches = _patches(linear, board.lamps_mm)
    inside = np.isfinite(patches).all(axis=1).reshape(-1, 2).all(axis=1)
    patches = np.where(np.isfinite(patches), patches, 0.0)
    light = (patches[:, core].mean(axis=1) - np.median(patches[:, ring], axis=1)).reshape(-1, 2)
    brightest = np.nan_to_num(_patches(raw.astype(np.float64), board.lamps_mm)[:, core]).max(axis=1).reshape(-1, 2)
    total = light.sum(axis=1)
    if not inside.any():
        raise BoardUnreadable("no lamp of the board lies inside the photograph")
    usual = np.median(total[inside])
    noise = float(np.median(patches[:, ring].std(axis=1)))
    if usual < max(0.002, 2 * noise):
        raise BoardUnreadable("the board's lamps are dark: is it switched on?")
    usable = inside & (total > DARK * usual)
    middle = board.lamps_mm.mean(axis=1)
    there = cv2.perspectiveTransform(middle[None], np.linalg.inv(to_board))[0]
    rows = (there[:, 1] + 0.5) / height - 0.5
    return Lamps(face, markers, np.clip(light, 0.0, None), rows, usable, (brightest >= CLIPPED).any(axis=1))
