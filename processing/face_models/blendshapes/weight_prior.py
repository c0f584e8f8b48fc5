"""What is known of an expression's weights before it is seen: its recipe, and that little comes along besides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats
from processing.face_models.blendshapes.settings import RigSettings

_SAME_SIDE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")  # which are no pair of one unit's sides
_CLOSES = ("eyeBlinkLeft", "eyeBlinkRight")  # whose full weight is the closed eye, of anybody
_MAIN = 0.85  # of an expression's largest weight
_SHOWN = 0.2  # weight from which on an expression shows a unit
_NOT_SHOWN_COST = 3.0  # times the sparsity: of a unit that no expression is asked for


@dataclass(frozen=True, eq=False)
class WeightPrior:
    """log p(a) = -1/2 a^T P a + q^T a - cost^T a + constant for each example's weights a >= 0."""

    asked: Floats  # (E, U) the recipes
    mean: Floats  # (E, U)
    precision: Floats  # (E, U, U)
    linear: Floats  # (E, U) precision times mean
    cost: Floats  # (E, U) of a weight of 1 that no recipe asks for

    @property
    def shown(self) -> Bools:
        """(U,) units whose shape the examples show: asked for by one, or possible where nothing is known of one."""
        unknown = ~(self.asked > 0).any(axis=1)
        return np.asarray((self.asked >= _SHOWN).any(axis=0) | unknown.any())


def expression_of(label: str) -> str:
    """The expression of a take's label, '2_smile'."""
    number, _, name = label.partition("_")
    return name if number.isdigit() else label


def weight_prior(
    labels: Sequence[str], units: Sequence[str], recipes: Mapping[str, Mapping[str, float]], settings: RigSettings
) -> WeightPrior:
    """The prior of the examples with these labels; one without a recipe has only its sparsity.

    recipes: expression -> unit -> weight in 0..1 (larger ones count as 1).
    """
    E, U = len(labels), len(units)
    asked = np.zeros((E, U))
    for row, label in zip(asked, labels, strict=True):
        for unit, weight in recipes.get(expression_of(label), {}).items():
            if unit in units:
                row[units.index(unit)] = min(weight, 1.0)
    closes = np.array([unit in _CLOSES for unit in units], dtype=np.bool_)
    mean = np.where(closes, 1.0, settings.performed) * asked
    top = asked.max(axis=1, initial=0.0)[:, None]
    relative = np.where(asked >= _MAIN * top, settings.main_spread, settings.secondary_spread)
    spread = np.where(asked > 0, relative * asked.clip(0.2), settings.companion_spread)
    precision = np.zeros((E, U, U))
    precision[:, np.arange(U), np.arange(U)] = 1 / np.square(spread)
    linear = mean / np.square(spread)
    for left, right in _pairs(units):
        along = (asked[:, left] == 0) & (asked[:, right] == 0)
        tie = np.where(along, 1 / settings.sides_spread**2, 0.0)
        for a, b in ((left, right), (right, left)):
            precision[:, a, a] += tie
            precision[:, a, b] -= tie
    never = ~(asked >= _SHOWN).any(axis=0)
    cost = np.where(asked > 0, 0.0, settings.sparsity * np.where(never, _NOT_SHOWN_COST, 1.0))
    return WeightPrior(asked, mean, precision, linear, cost)


def _pairs(units: Sequence[str]) -> list[tuple[int, int]]:
    """Numbers of the left and the right side of one unit."""
    return [
        (number, units.index(unit.removesuffix("Left") + "Right"))
        for number, unit in enumerate(units)
        if unit.endswith("Left") and unit not in _SAME_SIDE and unit.removesuffix("Left") + "Right" in units
    ]
