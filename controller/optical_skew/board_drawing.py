"""The board's face as a drawing in millimetres: to print, to drill, to lay out a circuit board."""

import cv2

from controller.optical_skew.led_board import (
    HEIGHT_MM,
    LAMP_RADIUS_MM,
    MARKER_CORNERS_MM,
    MARKER_MM,
    QUIET_MM,
    WIDTH_MM,
    LedBoard,
)

CELLS = 6  # a marker of DICT_4X4_50: four cells and a black border each side


def face_svg(board: LedBoard, face: int) -> str:
    """Black with four markers; a ring where each lamp goes, with the name of its line (3 and 3' are bit 3)."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_MM:g}mm" height="{HEIGHT_MM:g}mm"'
        f' viewBox="0 0 {WIDTH_MM:g} {HEIGHT_MM:g}" shape-rendering="crispEdges">',
        f'<rect width="{WIDTH_MM:g}" height="{HEIGHT_MM:g}" fill="black"/>',
    ]
    for place, corner in enumerate(MARKER_CORNERS_MM):
        parts += _marker(4 * face + place, *corner)
    for pair, bit in enumerate(board.pair_bits):
        for lamp, mark in enumerate(("", "'")):
            x, y = board.lamps_mm[pair, lamp]
            parts.append(
                f'<circle cx="{x:g}" cy="{y:g}" r="{LAMP_RADIUS_MM:g}" fill="none" stroke="white" stroke-width="0.1"/>'
                f'<text x="{x:g}" y="{y + 5:g}" font-size="2.2" text-anchor="middle" fill="#555">{bit}{mark}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _marker(number: int, x: float, y: float) -> list[str]:
    side = MARKER_MM + 2 * QUIET_MM
    parts = [f'<rect x="{x - QUIET_MM:g}" y="{y - QUIET_MM:g}" width="{side:g}" height="{side:g}" fill="white"/>']
    parts.append(f'<rect x="{x:g}" y="{y:g}" width="{MARKER_MM:g}" height="{MARKER_MM:g}" fill="black"/>')
    cell = MARKER_MM / CELLS
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    picture = cv2.aruco.generateImageMarker(dictionary, number, CELLS)
    for row in range(CELLS):
        for column in range(CELLS):
            if picture[row, column]:
                parts.append(
                    f'<rect x="{x + column * cell:g}" y="{y + row * cell:g}" width="{cell:g}" height="{cell:g}"'
                    ' fill="white"/>'
                )
    return parts
