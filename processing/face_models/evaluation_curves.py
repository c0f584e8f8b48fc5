"""The curves of an evaluation as a picture."""

from collections.abc import Sequence
from html import escape

import numpy as np

from processing.face_models.evaluation import ErrorCurve

_COLOURS = ("#1f5fa8", "#c8501e", "#2c8a4b", "#7a3e9d", "#8a6d1b", "#333333")
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BASE = 760, 480, 70, 50, 730, 400
STEPS = 120


def curves_svg(curves: Sequence[ErrorCurve], title: str, *, most_mm: float = 3.0) -> str:
    """Cumulative error curves: the share of vertices (up) no farther off than a distance (to the right), an SVG.

    Dashed: distances to the nearest place of a surface, which are shorter than those from vertex to vertex.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT + 22 * len(curves)}" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="26" font-size="15">{escape(title)}</text>',
    ]
    for share in np.arange(0, 1.01, 0.2):
        y = _y(float(share))
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share * 100:.0f} %</text>')
    for mm in np.arange(0, most_mm + 0.01, 0.5):
        x = _x(float(mm), most_mm)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_BASE}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{_BASE + 18}" text-anchor="middle">{mm:g}</text>')
    parts.append(f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_BASE + 38}" text-anchor="middle">distance, mm</text>')
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        dash = ' stroke-dasharray="6 4"' if curve.measure == "surface" else ""
        points = " ".join(
            f"{_x(mm, most_mm):.1f},{_y(curve.share_within(mm)):.1f}" for mm in np.linspace(0, most_mm, STEPS)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        y = _BASE + 64 + 22 * number
        parts.append(
            f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + 34}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        said = f"{curve.name}: {curve.parameters} parameters, mean {curve.mean_mm:.2f} mm to the {curve.measure}"
        parts.append(f'<text x="{_LEFT + 44}" y="{y + 4}">{escape(said)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(mm: float, most_mm: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * mm / most_mm


def _y(share: float) -> float:
    return _BASE - (_BASE - _TOP) * share
