"""Photographs of the board with known truth: for the tests, for trying a new board, and for learning what is readable.

It shares the board's layout with the decoder and nothing else: what a lamp shows over an exposure is sampled from the
counter here, row by row, and the decoder's closed form must agree with it.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from controller.optical_skew.led_board import (
    HEIGHT_MM,
    LAMP_RADIUS_MM,
    MARKER_CORNERS_MM,
    MARKER_MM,
    QUIET_MM,
    WIDTH_MM,
    LedBoard,
)

SAMPLES = 400  # of the counter over one exposure
ROW_STEPS = 64  # the readout is followed in this many steps over the board


@dataclass(frozen=True)
class RenderedShot:
    """What one camera sees and how."""

    begin_ms: float  # of the exposure at the sensor's middle row, by the board's clock
    exposure_ms: float = 8.0  # length of the exposure
    readout_ms: float = 0.0  # first to last row
    size_px: tuple[int, int] = (1500, 1000)  # width, height
    board_px: float = 620.0  # the board's width in the photograph
    centre: tuple[float, float] = (0.5, 0.5)  # the board's place, 0..1 each way
    turn_deg: float = 0.0  # in the image
    tilt_deg: float = 0.0  # out of it, about the horizontal
    yaw_deg: float = 0.0  # out of it, about the vertical
    blur_px: float = 0.8  # standard deviation
    noise: float = 2.0  # standard deviation, of the 255 steps
    lamp: float = 0.6  # linear light of a lamp, of 1
    ambient: float = 0.01  # of the black face
    paper: float = 0.35  # of the white around the markers
    tone: float = 1.0  # exponent of the camera's curve beyond sRGB's
    uneven: float = 0.05  # relative spread of the lamps' brightness
    # (x0, y0, x1, y1) of the board under a hand
    covered_mm: tuple[tuple[float, float, float, float], ...] = field(default=())
    dead: tuple[int, ...] = ()  # pairs of lamps, by number, that never light
    face: int = 0  # which board face


def render(board: LedBoard, shot: RenderedShot, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) sRGB photograph of the board."""
    width, height = shot.size_px
    to_photo = homography(shot)
    scale = 6.0
    face = cv2.resize(_face(shot, scale), None, fx=1.0, fy=1.0)
    pixels = np.array([[1 / scale, 0, 0.5 / scale], [0, 1 / scale, 0.5 / scale], [0, 0, 1]])
    light = np.full((height, width), 0.05)
    base = cv2.warpPerspective(face, to_photo @ pixels, (width, height), flags=cv2.INTER_AREA, borderValue=-1.0)
    light = np.where(base >= 0, base, light)
    light = _shine(board, shot, to_photo, light, rng)
    for x0, y0, x1, y1 in shot.covered_mm:
        quad = cv2.perspectiveTransform(np.array([[[x0, y0], [x1, y0], [x1, y1], [x0, y1]]], dtype=float), to_photo)
        cv2.fillConvexPoly(light, np.rint(quad[0]).astype(np.int32), 0.12)
    if shot.blur_px > 0:
        light = cv2.GaussianBlur(light, (0, 0), shot.blur_px)
    light = np.clip(light, 0.0, 1.0) ** (1 / shot.tone)
    value = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    colour = value[..., None] + rng.normal(0.0, shot.noise, (height, width, 3))
    return np.clip(np.rint(colour), 0, 255).astype(np.uint8)


def homography(shot: RenderedShot) -> Floats:
    """From the board's millimetres to the photograph's pixels: a pinhole at four board widths."""
    focal = 4.0
    turn, tilt, yaw = (np.deg2rad(angle) for angle in (shot.turn_deg, shot.tilt_deg, shot.yaw_deg))
    rx = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    ry = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    rz = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    rotation = rz @ rx @ ry
    centred = np.array([[1 / WIDTH_MM, 0, -0.5], [0, 1 / WIDTH_MM, -0.5 * HEIGHT_MM / WIDTH_MM], [0, 0, 1]])
    pose = np.column_stack([rotation[:, 0], rotation[:, 1], [0.0, 0.0, focal]])
    width, height = shot.size_px
    camera = np.array(
        [
            [focal * shot.board_px, 0, shot.centre[0] * width],
            [0, focal * shot.board_px, shot.centre[1] * height],
            [0, 0, 1],
        ]
    )
    return np.asarray(camera @ pose @ centred)


def _face(shot: RenderedShot, scale: float) -> Floats:
    """The printed face without its lamps, linear light."""
    face = np.full((round(HEIGHT_MM * scale), round(WIDTH_MM * scale)), shot.ambient)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    side = round(MARKER_MM * scale)
    for place, (x, y) in enumerate(MARKER_CORNERS_MM):
        x0, y0, quiet = round(x * scale), round(y * scale), round(QUIET_MM * scale)
        face[y0 - quiet : y0 + side + quiet, x0 - quiet : x0 + side + quiet] = shot.paper
        marker = cv2.aruco.generateImageMarker(dictionary, 4 * shot.face + place, side) / 255
        face[y0 : y0 + side, x0 : x0 + side] = shot.ambient + marker * (shot.paper - shot.ambient)
    return face


def _shine(board: LedBoard, shot: RenderedShot, to_photo: Floats, light: Floats, rng: np.random.Generator) -> Floats:
    """Add the lamps, each row of the sensor with what it saw in its own time."""
    to_board = np.linalg.inv(to_photo)
    height, width = light.shape
    strength = shot.lamp * (1 + shot.uneven * rng.standard_normal((2 * board.bits, 2)))
    steps = np.linspace(0, height - 1, ROW_STEPS)
    offsets = shot.readout_ms * ((steps + 0.5) / height - 0.5)
    moments = shot.begin_ms + offsets[:, None] + shot.exposure_ms * (np.arange(SAMPLES) + 0.5) / SAMPLES
    shares = np.array([board.state(moments % board.period_ms, bit).mean(axis=1) for bit in range(board.bits)])
    for pair, bit in enumerate(board.pair_bits):
        if pair in shot.dead:
            continue
        for lamp in range(2):
            at = board.lamps_mm[pair, lamp]
            reach = LAMP_RADIUS_MM * 1.6
            box = (at + reach * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))[None]
            there = cv2.perspectiveTransform(box, to_photo)[0]
            x0, y0 = np.maximum(np.floor(there.min(axis=0)).astype(int), 0)
            x1, y1 = np.minimum(np.ceil(there.max(axis=0)).astype(int) + 1, [width, height])
            if x0 >= x1 or y0 >= y1:
                continue
            xs, ys = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
            pixels = np.stack([xs, ys], axis=-1).reshape(1, -1, 2).astype(float)
            radius = np.linalg.norm(cv2.perspectiveTransform(pixels, to_board)[0] - at, axis=1).reshape(xs.shape)
            disk = np.clip((LAMP_RADIUS_MM - radius) / 0.4 + 0.5, 0.0, 1.0)
            share = np.interp(ys, steps, shares[bit])
            light[y0:y1, x0:x1] += strength[pair, lamp] * disk * (share if lamp == 0 else 1 - share)
    return light
