"""Where two edges of a chessboard cross, by fitting what a blurred crossing looks like to the pixels themselves.

Model of the grey value at a pixel, d1 and d2 its distances to the two edges: light * (m + a erf(d1/s) erf(d2/s)). A
crossing is the same when turned by half a turn, whatever the camera's gamma, so its middle is not pulled aside. The
markers in the white squares are left out of the fit; a window that only stays clear of them would be tiny in oblique
views.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from common.array_types import Floats, Image

_UNKNOWNS = 9  # place x y, turns of the two edges, blur, middle, contrast, slope of the light x y
_LARGEST, _SMALLEST = 12, 3  # half a window, px
_LEAST_CONTRAST = 6.0  # grey levels from the middle


def fit_crossings(
    grey: Image, pixels: Floats, to_image: Floats, sign: Floats, square_mm: float, marker_mm: float, steps: int = 8
) -> tuple[Floats, NDArray[np.bool_]]:
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
            refined[at], good[at] = _fit(
                grey, pixels[at], across[at], sign[at], int(size), square_mm, (square_mm - marker_mm) / 2, steps
            )
    return refined, good


def _fit(
    grey: Image, pixels: Floats, across: Floats, sign: Floats, size: int, square_mm: float, clear_mm: float, steps: int
) -> tuple[Floats, NDArray[np.bool_]]:
    n = len(pixels)
    middle = np.rint(pixels).astype(int)
    offset = np.arange(-size, size + 1)
    row, column = (a.ravel() for a in np.meshgrid(offset, offset, indexing="ij"))
    dx, dy = column.astype(np.float64), row.astype(np.float64)
    values = grey[middle[:, 1, None] + row, middle[:, 0, None] + column].astype(np.float64)
    normal = across / np.linalg.norm(across, axis=2, keepdims=True)  # of the two edges, unit, image
    px_mm = 1 / np.linalg.norm(across, axis=2)  # px a mm, across each edge
    low, high = np.percentile(values, [10, 90], axis=1)
    x = np.zeros((n, _UNKNOWNS))
    x[:, :2] = pixels - middle
    x[:, 4], x[:, 5], x[:, 6] = 1.2, (low + high) / 2, (high - low) / 2
    window = np.exp(-(dx**2 + dy**2) / (2 * (0.6 * size + 0.5) ** 2))
    damping = np.full(n, 1e-3)
    model, jacobian, weight = _model(x, dx, dy, normal, sign, px_mm, window, square_mm, clear_mm)
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
        new_model, new_jacobian, _ = _model(trial, dx, dy, normal, sign, px_mm, window, square_mm, clear_mm)
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


def _model(
    x: Floats, dx: Floats, dy: Floats, normal: Floats, sign: Floats, px_mm: Floats, window: Floats, square_mm: float,
    clear_mm: float,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Grey values (n, p), their derivatives (n, p, 9) and weights (n, p): 0 where a marker or a next square may be."""
    ox, oy = dx - x[:, :1], dy - x[:, 1:2]
    distance, turned = [], []
    for edge in (0, 1):
        c, s = np.cos(x[:, 2 + edge]), np.sin(x[:, 2 + edge])
        gx = c * normal[:, edge, 0] - s * normal[:, edge, 1]
        gy = s * normal[:, edge, 0] + c * normal[:, edge, 1]
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
    far1, far2 = np.abs(d1) / px_mm[:, :1], np.abs(d2) / px_mm[:, 1:]
    margin1, margin2 = clear_mm - 1.2 / px_mm[:, :1], clear_mm - 1.2 / px_mm[:, 1:]
    in_light = d1 * d2 * sign[:, None] > 0
    marker = in_light & (far1 > margin1) & (far2 > margin2)
    beyond = (far1 > 0.8 * square_mm) | (far2 > 0.8 * square_mm)
    weight = np.where(marker | beyond, 0.0, window)
    return light * plain, J, weight
