"""The board's charts as SVG, after the paper's figure 13: a figure by pose or by focal length, a line a method."""

import math
from collections.abc import Sequence
from html import escape

from processing.evaluation.board.aggregates import Group, MethodScores, mean_of

COLOURS = ("#1f5fa8", "#c8501e", "#2c8a4b", "#7a3e9d", "#8a6d1b", "#333333", "#c23b6b", "#2a8f93", "#6b7280", "#a3a300")
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BASE = 760, 400, 64, 46, 735, 330
_LEGEND_COLUMNS, _LEGEND_ROW = 3, 20


def groups_svg(
    title: str, methods: Sequence[MethodScores], groups: Sequence[Group], figure: str, unit: str, scale: float = 1.0
) -> str:
    """The mean of a figure in each group, a line a method. scale: by which figures are multiplied to be in `unit`."""
    lines = [[mean_of(group.of(method.rows), figure) for group in groups] for method in methods]
    most = max((value * scale for line in lines for value in line if value is not None), default=1.0)
    step = _nice_step(most / 5)
    top = max(step, math.ceil(most / step) * step)
    parts = _frame(f"{title}, {unit}", len(methods))
    for k in range(round(top / step) + 1):
        y = _y(k * step, top)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{k * step:g}</text>')
    for k, group in enumerate(groups):
        x = _x(k, len(groups))
        parts.append(f'<text x="{x:.1f}" y="{_BASE + 20}" text-anchor="middle">{escape(group.label)}</text>')
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        at = [(_x(k, len(groups)), _y(v * scale, top)) for k, v in enumerate(line) if v is not None]
        dash = ' stroke-dasharray="6 4"' if number >= len(COLOURS) else ""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in at]
    parts += _legend([method.name for method in methods])
    return "\n".join([*parts, "</svg>"]) + "\n"


def curves_svg(title: str, methods: Sequence[MethodScores], figure: str, most: float) -> str:
    """The share of all images (up) within a distance (to the right), mm; a failed image is within none."""
    parts = _frame(title, len(methods))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share, 1.0)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>')
    for k in range(6):
        x = _LEFT + (_RIGHT - _LEFT) * k / 5
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_BASE}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{_BASE + 20}" text-anchor="middle">{most * k / 5:g} mm</text>')
    for number, method in enumerate(methods):
        colour = COLOURS[number % len(COLOURS)]
        values = sorted(row.figures[figure] for row in method.rows if figure in row.figures)
        points = [f"{_LEFT},{_BASE}"]
        for k, value in enumerate(values):
            if value > most:
                break
            x = _LEFT + (_RIGHT - _LEFT) * value / most
            points += [
                f"{x:.1f},{_y(k / len(method.rows), 1.0):.1f}",
                f"{x:.1f},{_y((k + 1) / len(method.rows), 1.0):.1f}",
            ]
        within = sum(value <= most for value in values) / max(1, len(method.rows))
        points.append(f"{_RIGHT},{_y(within, 1.0):.1f}")
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts += _legend([method.name for method in methods])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(title: str, methods: int) -> list[str]:
    height = _BASE + 44 + _LEGEND_ROW * -(-methods // _LEGEND_COLUMNS)
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#333">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        x = _LEFT + (number % _LEGEND_COLUMNS) * (_RIGHT - _LEFT) / _LEGEND_COLUMNS
        y = _BASE + 50 + _LEGEND_ROW * (number // _LEGEND_COLUMNS)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<line x1="{x:.0f}" y1="{y}" x2="{x + 24:.0f}" y2="{y}" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 32:.0f}" y="{y + 4}">{escape(name)}</text>')
    return parts


def _nice_step(about: float) -> float:
    """1, 2 or 5 times a power of ten, at least `about`."""
    power = 10.0 ** math.floor(math.log10(max(about, 1e-9)))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= about * (1 - 1e-9))


def _x(number: int, count: int) -> float:
    return _LEFT + (_RIGHT - _LEFT) * (number + 0.5) / count


def _y(value: float, top: float) -> float:
    return _BASE - (_BASE - _TOP) * min(1.0, value / top)
