"""Light and albedo of samples of a face whose shape is given: robust least squares with priors."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Floats32
from processing.errors import DataError
from processing.face_models.fitting.robust import geman_mcclure, scatter
from processing.single_view.appearance.lighting import (
    LEAST_SHADING,
    display,
    display_slope,
    linear,
    linear_slope,
)
from processing.single_view.appearance.spherical_harmonics import FUNCTIONS, ambient, sh_basis

LIGHTS = 3 * FUNCTIONS
LEAST_SAMPLES = 60
FLOOR = 4.0  # display values by which a model's colours are off at least
_BRIGHT = 250.0  # from here on a channel is full and says no more
#: Prior of the light, of shading: its level and, by band, how far it varies; and by how much of the level channels
#: differ from their mean. A loose one would let brown light on a fair skin stand for a dark one.
_LEVEL, _SPREADS, _TINTS = 0.8, (0.4, 0.5, 0.25), (0.15, 0.1, 0.06)
_DIMMEST, _BRIGHTEST = 0.1, 2.0  # levels for which tints are told
_FIRST_SCORES = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of the albedo's first component, mostly how dark a skin is
_LONGEST = 0.7  # deviations by which the albedo moves at a time
_BANDS = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])


class NoLight(DataError):
    """Too little of a face is seen for its light to be told."""


@dataclass(frozen=True, eq=False)
class SampleColours:
    """What M samples show, and what the model can say of them."""

    seen: Floats  # (M, 3) RGB 0..255
    normals: Floats  # (M, 3) unit, camera axes
    mean: Floats  # (M, 3) albedo, RGB 0..255
    components: Floats32  # (M, 3, C) what a deviation of each component adds
    share: Floats  # (M,) 0..1 how much each counts: 0 where no skin is seen


@dataclass(frozen=True, eq=False)
class LightSolution:
    """Light and albedo, and how well they explain the samples."""

    coefficients: Floats  # (9, 3) linear
    albedo: Floats  # (C,) deviations
    colours: Floats  # (M, 3) as explained, display values
    residual: Floats  # (M, 3) seen minus explained, display values
    deviation: Floats  # (3,) of the residuals, robust, with a floor
    weight: Floats  # (M,) 0..1, robust, the share included


def light_prior(coefficients: Floats) -> tuple[Floats, Floats]:
    """(27, 27) precision and (27,) mean of light's coefficients, ordered function by function, R G B each.

    coefficients: (9, 3) of the light about which the prior is asked: tints are in proportion to its level.
    A level of grey light from everywhere, lamps of any direction on top, all of nearly one colour.
    """
    precision = np.zeros((LIGHTS, LIGHTS))
    mean = np.repeat(ambient(_LEVEL)[:, :1], 3, axis=1).ravel()
    unit = 0.5 / np.sqrt(np.pi)  # of the first function: coefficients are shadings over this
    level = float(np.clip(unit * coefficients[0].mean(), _DIMMEST, _BRIGHTEST))
    for function, band in enumerate(_BANDS):
        at = slice(3 * function, 3 * function + 3)
        grey = np.full((3, 3), 1 / 3)
        tint = np.eye(3) - grey
        precision[at, at] = (grey / _SPREADS[band] ** 2 + tint / (level * _TINTS[band]) ** 2) * unit**2
    return precision, mean


def appearance_rows(samples: SampleColours, coefficients: Floats, albedo: Floats) -> tuple[Floats, Floats]:
    """Explained colours (M, 3), display values, and how they change with light and albedo (M, 3, 27 + C)."""
    basis = sh_basis(samples.normals)
    plain = basis @ coefficients
    shading = plain.clip(LEAST_SHADING)
    colour = (samples.mean + samples.components @ albedo).clip(1.0, 255.0)
    lin = linear(colour)
    slope = display_slope(lin * shading)
    by_light = slope * lin * (plain > LEAST_SHADING)
    count, components = len(colour), samples.components.shape[2]
    rows = np.zeros((count, 3, LIGHTS + components))
    for c in range(3):
        rows[:, c, c:LIGHTS:3] = by_light[:, c, None] * basis
    rows[:, :, LIGHTS:] = (slope * shading * linear_slope(colour))[:, :, None] * samples.components
    return display(lin * shading), rows


def solve_light(
    samples: SampleColours,
    *,
    independent: float,
    start: tuple[Floats, Floats] | None = None,
    albedo: Floats | None = None,
    iterations: int = 8,
    floor: float = FLOOR,
) -> LightSolution:
    """Light and albedo that explain most of the samples.

    independent: 0..1, how many independent observations a sample is worth: neighbours err alike.  start: coefficients
    and albedo to begin with.  albedo: (C,) given and kept.  Gauss-Newton, reweighted by Geman and McClure's cost.
    Raises NoLight for fewer than LEAST_SAMPLES that count.
    """
    usable = (samples.share > 0) & (samples.seen < _BRIGHT).all(axis=1)
    if usable.sum() < LEAST_SAMPLES:
        raise NoLight(
            f"the face's light cannot be told: {int(usable.sum())} places of its skin are seen; "
            f"{LEAST_SAMPLES} are needed"
        )
    size = LIGHTS + samples.components.shape[2]
    light, colour = _start(samples, usable) if start is None else (start[0].copy(), start[1].copy())
    if albedo is not None:
        colour = albedo.copy()
    matrix_prior = np.eye(size)
    unknown = np.arange(LIGHTS if albedo is not None else size)
    explained, rows = appearance_rows(samples, light, colour)
    for _ in range(iterations):
        matrix_prior[:LIGHTS, :LIGHTS], mean = light_prior(light)
        residual = samples.seen - explained
        deviation, weight = _certainty(residual, samples.share, usable, floor)
        scaled = rows[:, :, unknown] * (np.sqrt(weight * independent)[:, None] / deviation)[:, :, None]
        right = residual * np.sqrt(weight * independent)[:, None] / deviation
        flat = scaled.reshape(-1, len(unknown))
        pull = flat.T @ right.ravel()
        away = np.r_[light.ravel() - mean, np.zeros(size - LIGHTS)]
        away[LIGHTS:] = colour
        pull -= (matrix_prior @ away)[unknown]
        step = np.linalg.solve(flat.T @ flat + matrix_prior[np.ix_(unknown, unknown)], pull)
        far = float(np.abs(step[LIGHTS:]).max(initial=0.0))
        step *= min(1.0, _LONGEST / max(far, 1e-9))
        light = light + step[:LIGHTS].reshape(FUNCTIONS, 3)
        if albedo is None:
            colour = (colour + step[LIGHTS:]).clip(-3.0, 3.0)
        explained, rows = appearance_rows(samples, light, colour)
    residual = samples.seen - explained
    deviation, weight = _certainty(residual, samples.share, usable, floor)
    return LightSolution(light, colour, explained, residual, deviation, weight)


def _start(samples: SampleColours, usable: Bools) -> tuple[Floats, Floats]:
    """The same light from everywhere and a first albedo: of several, those whose light the prior likes best."""
    seen, components = linear(samples.seen[usable]), samples.components.shape[2]
    best, found = np.inf, (ambient(1.0), np.zeros(components))
    for score in _FIRST_SCORES if components else (0.0,):
        albedo = np.zeros(components)
        albedo[:1] = score
        colour = linear((samples.mean + samples.components @ albedo)[usable].clip(1.0, 255.0))
        level = np.median(seen / colour.clip(1e-3), axis=0).clip(0.02, 4.0)
        tint = np.log(level) - np.log(level).mean()
        cost = (np.log(level.mean() / _LEVEL) / _SPREADS[0]) ** 2 + np.square(tint / _TINTS[0]).sum() + score**2
        if cost < best:
            best, found = float(cost), (ambient(level), albedo)
    return found


def _certainty(residual: Floats, share: Floats, usable: Bools, floor: float) -> tuple[Floats, Floats]:
    """(3,) deviations of the residuals (M, 3) by channel, and (M,) what each sample counts."""
    deviation = np.array([scatter(residual[usable, c], floor) for c in range(3)])
    off = np.sqrt(np.square(residual / deviation).mean(axis=1))
    return deviation, np.asarray(geman_mcclure(off, 1.0) * share * usable)
