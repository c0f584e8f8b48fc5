"""Timing of an exposure by the board: when it was, from what share of it each bit of the board was set.

The unknowns are the middle of the exposure (at the sensor's middle row), its length, the time from the first to the
last row, and the exponent of the camera's tone curve that the standard one leaves over. A grid over one period of the
code finds the candidates, Gauss-Newton with priors refines them, and the curvature gives the error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from controller.optical_skew.board_detection import BoardUnreadable, Lamps
from controller.optical_skew.led_board import LedBoard

SHARE_SIGMA = 0.04  # of a pair's share: noise, crosstalk between lamps, unequal lamps
CLIPPED_SIGMA = 0.25  # an overexposed pair tells little more than which lamp was on for longer
OUTLIER = 5.0  # in sigmas: a pair beyond it (a reflection, a finger) counts no more than it
TONE_SIGMA = 0.15
READOUT_SIGMA_MS = 10.0  # what is assumed of a readout time that nobody has measured: 0 within this
LENGTH_SIGMA = 0.2  # relative: EXIF gives nominal exposure times
READOUTS_MS = (0.0, -15.0, 15.0, -5.0, 5.0)  # where the search for an unknown one begins
SHORTEST_MS, LONGEST_MS = 0.05, 120.0
CANDIDATES = 12
GRID_ROW_MS = 0.1
AMBIGUOUS = 9.0  # two explanations whose misfits differ by less than this (three sigmas) cannot be told apart
LEAST_SCALE = 0.6  # pairs that agree by chance do not make the error much smaller than SHARE_SIGMA says
WORST_MISFIT = 0.8  # root mean square in sigmas: above it the lamps do not show the code


@dataclass(frozen=True)
class ExposureInterval:
    """One exposure by the board's clock, milliseconds modulo the board's period."""

    middle_ms: float  # of the exposure, at the sensor's middle row
    sigma_ms: float  # standard error of middle_ms
    exposure_ms: float  # its length
    readout_ms: float  # from the first to the last row, negative when the last comes first
    readout_sigma_ms: float  # its standard error, 0 when it was given
    misfit: float  # root mean square of the residuals, in sigmas


def find_exposure(
    board: LedBoard,
    lamps: Lamps,
    nominal_ms: float | None = None,
    readout_ms: float | None = None,
    readout_sigma_ms: float = 0.0,
) -> ExposureInterval:
    """nominal_ms: the exposure time that the camera reports.  readout_ms: first to last row, when it is known, to
    readout_sigma_ms.

    Raises BoardUnreadable when the lamps do not show the code or more than one moment explains them.
    """
    fit = _Fit(board, lamps, nominal_ms, readout_ms)
    found = sorted((fit.refine(start) for start in fit.candidates()), key=lambda item: item[1])
    best, misfit = found[0]
    if misfit / max(1, fit.pairs) > WORST_MISFIT**2:
        raise BoardUnreadable("the lamps do not show the board's code: too blurred, rows too slow, or another board")
    period = board.period_ms
    for other, its_misfit in found[1:]:
        apart = abs((other[0] - best[0] + period / 2) % period - period / 2)
        if its_misfit - misfit < AMBIGUOUS and apart > 2 * board.tick_ms + best[1]:
            hidden = sorted(set(range(board.bits)) - set(fit.bits.tolist()))
            why = (
                f"both lamps of bit {', '.join(map(str, hidden))} are covered" if hidden else "too few lamps are clear"
            )
            raise BoardUnreadable(f"more than one moment explains the lamps: {why}")
    sigma, readout_sigma = fit.errors(best)
    if readout_ms is not None:
        sigma, readout_sigma = float(np.hypot(sigma, fit.row * readout_sigma_ms)), readout_sigma_ms
    return ExposureInterval(
        middle_ms=float((best[0] - best[2] * fit.row) % period),
        sigma_ms=sigma,
        exposure_ms=float(best[1]),
        readout_ms=float(best[2]),
        readout_sigma_ms=readout_sigma,
        misfit=float(np.sqrt(misfit / max(1, fit.pairs))),
    )


class _Fit:
    """Parameters: middle ms at the board's mean row, length ms, readout ms, tone exponent."""

    def __init__(self, board: LedBoard, lamps: Lamps, nominal_ms: float | None, readout_ms: float | None) -> None:
        self.board = board
        self.bits = board.pair_bits[lamps.usable]
        if self.bits.size < board.bits:
            raise BoardUnreadable(
                f"{self.bits.size} of {len(lamps.usable)} pairs of lamps are seen; {board.bits} are needed"
            )
        self.light = np.maximum(lamps.light[lamps.usable], 1e-9)
        self.row = float(lamps.rows[lamps.usable].mean())
        self.rows = lamps.rows[lamps.usable] - self.row
        self.sigma = np.where(lamps.clipped[lamps.usable], CLIPPED_SIGMA, SHARE_SIGMA)
        self.nominal_ms = nominal_ms
        self.readout_ms = readout_ms
        self.pairs = int(self.bits.size)

    def shares(self, tone: float = 1.0) -> Floats:
        raised = self.light**tone
        share: Floats = raised[:, 0] / raised.sum(axis=1)
        return share

    def candidates(self) -> list[Floats]:
        """The best cells of a grid over the code's period and over plausible exposure times.

        A known readout shifts each pair by its row; an unknown one is taken as none, and several are tried from there.
        """
        offsets = np.rint(self.rows * (self.readout_ms or 0.0) / GRID_ROW_MS) * GRID_ROW_MS
        kinds: dict[tuple[int, float], list[int]] = {}
        for pair, (bit, offset) in enumerate(zip(self.bits.tolist(), offsets.tolist(), strict=True)):
            kinds.setdefault((bit, offset), []).append(pair)
        shares, weight = self.shares(), self.sigma**-2
        found: list[tuple[float, float, float]] = []
        for length in self._lengths():
            middles = np.arange(0.0, self.board.period_ms, max(self.board.tick_ms / 2, length / 16))
            cost = np.zeros(middles.size)
            for (bit, offset), pairs in kinds.items():
                share = (shares[pairs] * weight[pairs]).sum() / weight[pairs].sum()
                error = np.sqrt(1 / weight[pairs].sum()) + 0.08  # the grid is coarse
                residual = (self.board.shares(middles + offset, np.array(length), np.array(bit)) - share) / error
                cost += np.minimum(residual**2, OUTLIER**2)
            low = np.flatnonzero((cost <= np.roll(cost, 1)) & (cost <= np.roll(cost, -1)))
            order = low[np.argsort(cost[low])[:CANDIDATES]]
            found += [(float(cost[i]), float(middles[i]), float(length)) for i in order]
        found.sort()
        readouts = READOUTS_MS if self.readout_ms is None else (self.readout_ms,)
        kept = found[: CANDIDATES if self.readout_ms is not None else CANDIDATES // 2]
        return [np.array([middle, length, readout, 1.0]) for _, middle, length in kept for readout in readouts]

    def _lengths(self) -> list[float]:
        if self.nominal_ms is not None:
            return [self.nominal_ms * factor for factor in (0.7, 0.85, 1.0, 1.15, 1.35)]
        count = int(np.ceil(np.log(LONGEST_MS / SHORTEST_MS) / np.log(1.3))) + 1
        return [float(value) for value in np.geomspace(SHORTEST_MS, LONGEST_MS, count)]

    def _residuals(self, x: Floats) -> Floats:
        """Of every pair, then of the priors; in sigmas."""
        predicted = self.board.shares(x[0] + x[2] * self.rows, x[1], self.bits)
        residual = (self.shares(float(x[3])) - predicted) / self.sigma
        priors = [(x[3] - 1) / TONE_SIGMA]
        if self.nominal_ms is not None:
            priors.append(np.log(x[1] / self.nominal_ms) / LENGTH_SIGMA)
        if self.readout_ms is None:
            priors.append(x[2] / READOUT_SIGMA_MS)
        return np.concatenate([residual, priors])

    def _free(self) -> NDArray[np.int64]:
        return np.array([0, 1, 3] if self.readout_ms is not None else [0, 1, 2, 3])

    def refine(self, start: Floats) -> tuple[Floats, float]:
        """(parameters, misfit): damped Gauss-Newton, far pairs counting no more than OUTLIER."""
        free = self._free()
        x, damping = start.copy(), 1e-2
        cost = _bounded(self._residuals(x))
        for _ in range(40):
            residual = self._residuals(x)
            size = np.abs(residual)
            weight = np.where(size > OUTLIER, 0.0, 1.0)
            jacobian = _jacobian(self._residuals, x, free, self.board.tick_ms)
            normal = jacobian.T @ (weight[:, None] * jacobian)
            gradient = jacobian.T @ (weight * residual)
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -gradient)
            trial = x.copy()
            trial[free] += step
            trial[1] = np.clip(trial[1], SHORTEST_MS / 2, 2 * LONGEST_MS)
            trial[3] = np.clip(trial[3], 0.5, 2.0)
            lower = _bounded(self._residuals(trial))
            if lower < cost:
                done = cost - lower < 1e-6
                x, cost, damping = trial, lower, max(damping / 5, 1e-6)
                if done:
                    break
            else:
                damping *= 8
                if damping > 1e6:
                    break
        return x, cost

    def errors(self, x: Floats) -> tuple[float, float]:
        """Standard errors of middle and readout, from the curvature and from how well the pairs agree."""
        free = self._free()
        residual = self._residuals(x)
        kept = np.abs(residual) <= OUTLIER
        jacobian = _jacobian(self._residuals, x, free, self.board.tick_ms)[kept]
        inverse = np.linalg.pinv(jacobian.T @ jacobian)
        freedom = max(1, int(kept.sum()) - free.size)
        scale = max(LEAST_SCALE, float((residual[kept] ** 2).sum()) / freedom)
        covariance = scale * inverse
        place = {int(parameter): index for index, parameter in enumerate(free)}
        to_middle = np.zeros(free.size)
        to_middle[place[0]] = 1.0
        if 2 not in place:
            return float(np.sqrt(to_middle @ covariance @ to_middle)), 0.0
        to_middle[place[2]] = -self.row
        return float(np.sqrt(to_middle @ covariance @ to_middle)), float(np.sqrt(covariance[place[2], place[2]]))


def _bounded(residual: Floats) -> float:
    return float(np.minimum(residual**2, OUTLIER**2).sum())


def _jacobian(function: Callable[[Floats], Floats], x: Floats, free: NDArray[np.int64], tick_ms: float) -> Floats:
    """By central differences wide enough to look past the corners of the piecewise linear shares."""
    widths = (0.05 * tick_ms, 0.05 * tick_ms, 0.2, 0.01)
    columns = []
    for parameter in free:
        width = min(widths[parameter], 0.1 * x[1]) if parameter == 1 else widths[parameter]
        high, low = x.copy(), x.copy()
        high[parameter] += width
        low[parameter] -= width
        columns.append((function(high) - function(low)) / (2 * width))
    return np.stack(columns, axis=1)
