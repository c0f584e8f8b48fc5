"""How a synthetic person looks: skin, brows, lips, eyes, beard, what age and making up add. Drawn by age and gender."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats

_LIGHT, _DARK = np.array([0.66, 0.47, 0.37]), np.array([0.15, 0.088, 0.058])
_BLACK, _BROWN, _FAIR = np.array([0.018, 0.014, 0.012]), np.array([0.065, 0.038, 0.022]), np.array([0.28, 0.18, 0.09])
_GREY = np.array([0.30, 0.295, 0.29])
_IRISES = np.array([[0.085, 0.045, 0.022], [0.12, 0.085, 0.045], [0.10, 0.12, 0.07], [0.14, 0.20, 0.27]])
_LIPSTICKS = np.array([[0.45, 0.05, 0.07], [0.42, 0.12, 0.12], [0.40, 0.16, 0.15], [0.28, 0.05, 0.10]])


@dataclass(frozen=True, eq=False)
class FaceLook:
    """Colours are linear RGB, strengths 0 to 1."""

    seed: int  # of what is laid on place by place
    skin: Floats  # (3,)
    hair: Floats  # (3,)
    iris: Floats  # (3,)
    lips: Floats  # (3,) colour of what is on them
    lipstick: float
    liner: float  # round the eyes
    shadow: float  # on the lids
    blush: float
    freckles: float
    uneven: float  # the skin's patches
    stubble: float
    moustache: float
    brow: tuple[float, float, float, float]  # thickness, height (mm), arch (mm), density
    hairline_mm: float  # upwards
    lines: float  # what age draws: folds, bags, spots
    moles: Floats  # (M, 4) x, y on the average head, radius (mm), strength
    gaze_deg: Floats  # (2,) to the subject's left, upwards
    iris_mm: float  # radius

    @classmethod
    def draw(cls, rng: np.random.Generator, age: int, gender: str) -> "FaceLook":
        """Of a person of an age (years) and gender ("male", or anything else)."""
        male = gender == "male"
        old = float(np.clip((age - 25) / 50, 0, 1))
        melanin = float(rng.beta(1.1, 1.3))
        skin = _LIGHT ** (1 - melanin) * _DARK**melanin * np.exp(rng.normal(0, [0.03, 0.04, 0.06]))
        fair = float(np.clip(rng.normal(0.35, 0.3), 0, 1)) * (1 - melanin) ** 2
        hair = (_BROWN ** (1 - melanin) * _BLACK**melanin) * (1 - fair) + _FAIR * fair
        grey = float(np.clip(rng.normal(1.3 * old - 0.25, 0.15), 0, 0.85))
        hair = hair * (1 - grey) + _GREY * grey
        weights = np.array([melanin + 0.25, 0.3, 0.25 * (1 - melanin), 0.6 * (1 - melanin) ** 2])
        iris = _IRISES[rng.choice(4, p=weights / weights.sum())] * np.exp(rng.normal(0, 0.15, 3))
        made_up = 0.0 if male else float(rng.random() < 0.55) * rng.uniform(0.3, 1.0)
        bearded = float(rng.random() < 0.6) * rng.uniform(0.15, 1.0) if male else 0.0
        count = int(rng.poisson(2.5 + 3 * old))
        spots = np.c_[rng.uniform(-55, 55, count), rng.uniform(-75, 80, count), rng.uniform(0.6, 1.7, count),
                      rng.uniform(0.3, 0.9, count)]  # fmt: skip
        thick = rng.normal(1.15 if male else 0.85, 0.18)
        density = float(np.clip(rng.normal(0.85 - 0.2 * old, 0.12), 0.4, 1))
        height, arch = float(rng.normal(0.0 if male else 1.0, 1.0)), float(rng.normal(4.0 if male else 6.0, 1.2))
        brow = (float(np.clip(thick, 0.5, 1.6)), height, arch, density)
        return cls(
            seed=int(rng.integers(1 << 30)),
            skin=skin,
            hair=hair,
            iris=iris,
            lips=_LIPSTICKS[rng.integers(len(_LIPSTICKS))],
            lipstick=0.75 * made_up * float(rng.random()),
            liner=0.9 * made_up,
            shadow=0.5 * made_up * float(rng.random()),
            blush=float(rng.uniform(0.2, 0.7) + 0.3 * made_up),
            freckles=float(rng.uniform(0.0, 1.0) * (1 - 0.7 * melanin)),
            uneven=float(rng.uniform(0.35, 0.9) + 0.25 * old),
            stubble=0.65 * bearded,
            moustache=0.5 * bearded * float(rng.random()),
            brow=brow,
            hairline_mm=float(rng.normal(0, 4) + (max(0.0, rng.normal(30 * old, 10)) if male else 0.0)),
            lines=float(np.clip(rng.normal(old, 0.1), 0, 1)),
            moles=spots,
            gaze_deg=rng.normal(0, [2.5, 1.5]),
            iris_mm=float(rng.normal(5.9, 0.15)),
        )
