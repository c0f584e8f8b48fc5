"""Corner refinement: where two edges of a chessboard cross, by fitting a model of a blurred crossing to the pixels.

Model of the grey value at a pixel, d1 and d2 its distances to the two edges: light * (m + a erf(d1/s) erf(d2/s)). A
crossing is the same when turned by half a turn, whatever the camera's gamma, so its middle is not pulled aside. The
markers in the white squares are left out of the fit; a window that only stays clear of them would be tiny in oblique
views.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from common.array_types import Bools, Floats, Image

_UNKNOWNS = 9  # place x y, turns of the two edges, blur, middle, contrast, slope of the light x y
_LARGEST, _SMALLEST = 12, 3  # half a window, px
_LEAST_CONTRAST = 6.0  # grey levels from the middle


@dataclass(frozen=True, eq=False)
class _Windows:
    """Square windows of p pixels about n crossings, and what the board says of each."""

    #: (p,) px from the middle of the window.
    dx: Floats
    dy: Floats
    #: (p,) weight of a pixel by its distance from the middle.
    falloff: Floats
    #: (n, 2, 2) unit, in the image: across the two edges.
    normal: Floats
    #: (n, 2) px a mm across each edge.
    px_mm: Floats
    #: (n,) +1 where the square towards (+x, +y) is light, -1 where it is dark.
    sign: Floats
    square_mm: float
    #: From an edge of a light square to its marker.
    clear_mm: float


def fit_crossings(
    grey: Image, pixels: Floats, to_image: Floats, sign: Floats, square_mm: float, marker_mm: float, steps: int = 8
) -> tuple[Floats, Bools]:
    """Crossings to hundredths of a pixel, and which of the fits can be believed.

    pixels: (N, 2) to about two pixels.  to_image: (N, 2, 2) px a mm of the board about each crossing.
    sign: (N,) +1 where the square towards (+x, +y) is light, -1 where it is dark.
    """
    refined, good = pixels.astype(np.float64).copy(), np.zeros(len(pixels), dtype=bool)
    across = np.asarray(np.linalg.inv(to_image), np.float64)  # mm a px
    # The shorter distance between opposite edges of a square, px.
    side = square_mm / np.linalg.norm(across, axis=2).max(1)
    half = np.clip(np.floor(0.45 * side), _SMALLEST, _LARGEST).astype(int)
    h, w = grey.shape
    for size in np.unique(half):
        inside = (pixels >= size + 1).all(1) & (pixels[:, 0] < w - size - 1) & (pixels[:, 1] < h - size - 1)
        at = np.flatnonzero((half == size) & inside)
        if len(at):
            windows = _windows(across[at], sign[at], int(size), square_mm, marker_mm)
            refined[at], good[at] = _fit(grey, pixels[at], windows, int(size), steps)
    return refined, good


def _windows(across: Floats, sign: Floats, size: int, square_mm: float, marker_mm: float) -> _Windows:
    """Windows of 2 size + 1 px a side. across: (n, 2, 2) mm of the board a px about each crossing."""
    offset = np.arange(-size, size + 1)
    dy, dx = (a.ravel().astype(np.float64) for a in np.meshgrid(offset, offset, indexing="ij"))
    return _Windows(
        dx=dx,
        dy=dy,
        falloff=np.exp(-(dx**2 + dy**2) / (2 * (0.6 * size + 0.5) ** 2)),
        normal=across / np.linalg.norm(across, axis=2, keepdims=True),
        px_mm=1 / np.linalg.norm(across, axis=2),
        sign=sign,
        square_mm=square_mm,
        clear_mm=(square_mm - marker_mm) / 2,
    )


def _fit(grey: Image, pixels: Floats, windows: _Windows, size: int, steps: int) -> tuple[Floats, Bools]:
    """`fit_crossings` for crossings that take windows of one size (Levenberg-Marquardt, all at once)."""
    n = len(pixels)
    middle = np.rint(pixels).astype(int)
    row, column = windows.dy.astype(int), windows.dx.astype(int)
    values = grey[middle[:, 1, None] + row, middle[:, 0, None] + column].astype(np.float64)
    low, high = np.percentile(values, [10, 90], axis=1)
    x = np.zeros((n, _UNKNOWNS))
    x[:, :2] = pixels - middle
    x[:, 4], x[:, 5], x[:, 6] = 1.2, (low + high) / 2, (high - low) / 2
    damping = np.full(n, 1e-3)
    model, jacobian, weight = _model(x, windows)
    cost = (weight * (model - values) ** 2).sum(1)
    for _ in range(steps):
        weighted = jacobian * weight[:, :, None]
        A = np.einsum("npi,npj->nij", weighted, jacobian, optimize=True)
        b = np.einsum("npi,np->ni", weighted, model - values, optimize=True)
        diagonal = np.einsum("nii->ni", A)
        A = A + (diagonal * damping[:, None] + 1e-9)[:, :, None] * np.eye(_UNKNOWNS)
        trial = x - np.linalg.solve(A, b[:, :, None])[:, :, 0]
        trial[:, 4] = trial[:, 4].clip(0.3, size)
        trial[:, 2:4] = trial[:, 2:4].clip(-0.5, 0.5)
        new_model, new_jacobian, _ = _model(trial, windows)
        new_cost = (weight * (new_model - values) ** 2).sum(1)
        better = new_cost < cost
        x[better], model[better], jacobian[better], cost[better] = (
            trial[better], new_model[better], new_jacobian[better], new_cost[better]
        )  # fmt: skip
        damping = np.where(better, damping / 5, damping * 10)
    rms = np.sqrt(cost / weight.sum(1))
    moved = np.linalg.norm(x[:, :2] + middle - pixels, axis=1)
    good = (x[:, 6] > _LEAST_CONTRAST) & (rms < 0.25 * x[:, 6] + 3) & (moved < max(2.0, 0.35 * size))
    good &= (x[:, 4] < 0.8 * size) & (np.abs(x[:, 2:4]) < 0.4).all(1)
    return x[:, :2] + middle, good


def _model(x: Floats, windows: _Windows) -> tuple[Floats, Floats, Floats]:
    """Grey values (n, p), their derivatives (n, p, 9) and weights (n, p): 0 where a marker or a next square may be."""
    dx, dy, sign = windows.dx, windows.dy, windows.sign
    ox, oy = dx - x[:, :1], dy - x[:, 1:2]
    distance, turned = [], []
    for edge in (0, 1):
        c, s = np.cos(x[:, 2 + edge]), np.sin(x[:, 2 + edge])
        nx, ny = windows.normal[:, edge].T
        gx, gy = c * nx - s * ny, s * nx + c * ny
        distance.append(gx[:, None] * ox + gy[:, None] * oy)
        turned.append((gx[:, None], gy[:, None]))
    blur = x[:, 4:5] * np.sqrt(2)
    d1, d2 = distance
    e1, e2 = erf(d1 / blur), erf(d2 / blur)
    bell = 2 / np.sqrt(np.pi)
    b1, b2 = bell * np.exp(-((d1 / blur) ** 2)) / blur, bell * np.exp(-((d2 / blur) ** 2)) / blur
    contrast = x[:, 6:7] * sign[:, None]
    light = 1 + x[:, 7:8] * dx + x[:, 8:9] * dy
    plain = x[:, 5:6] + contrast * e1 * e2
    by1, by2 = light * contrast * b1 * e2, light * contrast * b2 * e1
    J = np.empty((*plain.shape, _UNKNOWNS))
    J[:, :, 0] = -(by1 * turned[0][0] + by2 * turned[1][0])
    J[:, :, 1] = -(by1 * turned[0][1] + by2 * turned[1][1])
    for edge, by in ((0, by1), (1, by2)):
        gx, gy = turned[edge]
        J[:, :, 2 + edge] = by * (-gy * ox + gx * oy)
    J[:, :, 4] = -(by1 * d1 + by2 * d2) / x[:, 4:5]
    J[:, :, 5] = light
    J[:, :, 6] = light * sign[:, None] * e1 * e2
    J[:, :, 7], J[:, :, 8] = plain * dx, plain * dy
    # A marker's black begins clear_mm from both edges, in the light squares; blurred, about a pixel earlier.
    far1, far2 = np.abs(d1) / windows.px_mm[:, :1], np.abs(d2) / windows.px_mm[:, 1:]
    margin1, margin2 = (windows.clear_mm - 1.2 / windows.px_mm[:, k : k + 1] for k in (0, 1))
    in_light = d1 * d2 * sign[:, None] > 0
    marker = in_light & (far1 > margin1) & (far2 > margin2)
    beyond = (far1 > 0.8 * windows.square_mm) | (far2 > 0.8 * windows.square_mm)
    weight = np.where(marker | beyond, 0.0, windows.falloff)
    return light * plain, J, weight
