"""Procedural albedo of a head: skin, lips, brows, hair cap, eyes, teeth.

Paint is laid on the average head's coordinates, so that it follows the surface of every identity and expression.
The mottle is strong enough for stereo to match at half a millimetre a pixel.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Floats, Floats32
from processing.geometry.noise_field import NoiseField
from processing.template.anny_data import TEETH, TONGUE
from processing.template.fine_head import FineHead
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

IRIS_DEGREES, PUPIL_DEGREES = 24.0, 9.0


@dataclass(frozen=True)
class Palette:
    """Linear RGB of a person's skin, hair and iris."""

    skin: tuple[float, float, float] = (0.56, 0.40, 0.31)
    hair: tuple[float, float, float] = (0.085, 0.062, 0.048)
    iris: tuple[float, float, float] = (0.16, 0.10, 0.06)
    freckles: float = 0.5  # 0 none .. 1 many

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Palette":
        """From very light to dark skin, by one melanin value; hair and iris follow it loosely."""
        melanin = rng.uniform(0.0, 1.0)
        light, dark = np.array([0.66, 0.47, 0.38]), np.array([0.27, 0.165, 0.115])
        skin = light ** (1 - melanin) * dark**melanin
        fair = rng.uniform() < 0.35 * (1 - melanin)
        hair = np.array([0.22, 0.145, 0.08]) if fair else np.array([0.075, 0.055, 0.045])
        iris = np.array([0.16, 0.22, 0.28]) if rng.uniform() < 0.4 * (1 - melanin) else np.array([0.15, 0.095, 0.06])
        three = tuple(tuple(float(x) for x in c * rng.uniform(0.9, 1.1)) for c in (skin, hair, iris))
        return cls(three[0], three[1], three[2], float(rng.uniform(0.2, 1.0)))  # type: ignore[arg-type]


def paint(fine: FineHead, palette: Palette, noise: NoiseField, *, mottle: float = 1.0) -> Floats32:
    """(N, 3) linear RGB albedo; the eyes' iris and pupil are added by `paint_eyes` when the pose is known.

    mottle: strength of the skin's uneven colour; 1 is enough for stereo.
    """
    p = fine.average_mm.astype(np.float32)
    uneven = 0.07 * noise(p, 7.0)[:, None] * np.array([0.6, 1.0, 1.0], np.float32)
    uneven = uneven + (0.07 * noise(p, 2.4, 1) + 0.12 * noise(p, 1.2, 2) + 0.11 * noise(p, 0.7, 3))[:, None]
    color = np.array(palette.skin, np.float32) * np.exp(np.float32(mottle) * uneven)
    spots = np.clip(noise(p, 1.6, 4) - 2.3 + 0.6 * palette.freckles, 0, 1) * 0.5
    color = color * (1 - spots[:, None] * np.array([0.75, 0.95, 1.0], np.float32))
    lips = fine.masks["lips"][:, None]
    color = color * (1 - lips * np.array([0.22, 0.52, 0.46], np.float32))
    rosy = np.exp(-(((np.abs(p[:, 0]) - 42) / 16) ** 2) - ((p[:, 1] + 4) / 18) ** 2) * (p[:, 2] > 30)
    color = color * (1 - 0.14 * rosy[:, None] * np.array([0.1, 1, 0.9], np.float32))
    brow = _brows(p) * np.clip(0.95 + 0.35 * noise(p * np.array([1.0, 2.2, 1.0], np.float32), 1.3, 5), 0.3, 1)
    hair = np.maximum(np.maximum(_hair(p, noise), brow), _lashes(fine))
    hair = np.where(fine.masks["ears"] > 0.3, 0, hair)
    strand = np.exp(0.30 * noise(p * np.array([1.0, 0.35, 1.0], np.float32), 1.0, 6) + 0.25 * noise(p, 2.0, 7))
    hair_color = np.array(palette.hair, np.float32) * strand[:, None]
    color = color * (1 - 0.9 * hair[:, None]) + 0.9 * hair[:, None] * hair_color
    fixed = {
        EYE: (0.60, 0.58, 0.56),
        MOUTH_INTERIOR: (0.22, 0.06, 0.05),
        TEETH: (0.68, 0.63, 0.52),
        TONGUE: (0.38, 0.13, 0.12),
    }
    for part, value in fixed.items():
        here = fine.parts == part
        color[here] = np.array(value, np.float32) * np.exp(0.08 * noise(p[here], 1.5, 8))[:, None]
    return np.asarray(np.clip(color, 0.004, 0.92), np.float32)


def _brows(p: Floats32) -> Floats32:
    """(N,) 0..1: two arcs over the eyes (whose centres are at x = ±29, y = 34)."""
    x = np.abs(p[:, 0])
    along = np.clip((x - 11) / (50 - 11), 0, 1)
    middle = 47.5 + 5.0 * np.sin(np.pi * np.clip(along * 0.9 + 0.05, 0, 1)) - 3.0 * along
    half = 4.2 * (1 - 0.55 * along)
    ends = np.clip((x - 10) / 5, 0, 1) * np.clip((53 - x) / 6, 0, 1)
    return np.asarray(ends * np.clip(1.6 - 1.3 * np.abs(p[:, 1] - middle) / half, 0, 1) * (p[:, 2] > 55), np.float32)


def _lashes(fine: FineHead) -> Floats32:
    """(N,) 0..1: a dark line on the lids' edges, broader above the eye."""
    p = fine.average_mm
    lid = np.flatnonzero((fine.parts == SKIN) & (np.abs(p[:, 1] - 34) < 14) & (p[:, 2] > 85))
    out = np.zeros(len(p), np.float32)
    near = cKDTree(p[fine.parts == EYE]).query(p[lid], workers=2)[0]
    reach = np.where(p[lid, 1] > 34, 2.0, 1.1)
    out[lid] = 0.85 * np.clip(1.6 - near / reach, 0, 1)
    return out


def _hair(p: Floats32, noise: NoiseField) -> Floats32:
    """(N,) 0..1: a close-cropped cap: above the forehead, round the ears, down to the nape."""
    x, y, z = p.T
    front = (y - 96 + 0.0035 * x**2) / 5
    # Behind the temples the line falls from the forehead to the nape.
    side = (y - np.interp(z, [-80, -45, -5, 20, 34, 60], [-42, -30, 22, 44, 64, 96])) / 5
    edge = np.where(z > 60, front, np.minimum(side, np.where(z > 20, np.maximum(front, side), side)))
    return np.asarray(np.clip(edge + 0.6 * noise(p, 4.0, 9), 0, 1), np.float32)


def paint_eyes(
    color: Floats32, fine: FineHead, vertices_mm: Floats, eyeballs: dict[str, tuple[Floats, float]], palette: Palette
) -> Floats32:
    """Iris and pupil where the eyeball looks straight ahead; lids slide over them. Returns a new (N, 3)."""
    out = color.copy()
    for side, (centre, _) in eyeballs.items():
        sign = 1 if side == "L" else -1
        here = np.flatnonzero((fine.parts == EYE) & (sign * fine.average_mm[:, 0] > 0))
        ray = vertices_mm[here] - centre
        angle = np.degrees(np.arccos(np.clip(ray[:, 2] / np.linalg.norm(ray, axis=1), -1, 1)))
        around = np.arctan2(ray[:, 1], ray[:, 0])
        fibres = 1 + 0.25 * np.sin(around * 23 + 2 * np.sin(around * 7)) * (angle / IRIS_DEGREES)
        iris = np.clip((IRIS_DEGREES - angle) / 1.5, 0, 1)[:, None]
        ring = 1 - 0.5 * np.clip((angle - IRIS_DEGREES + 4) / 4, 0, 1)
        pupil = np.clip((PUPIL_DEGREES - angle) / 1.5, 0, 1)[:, None]
        iris_color = np.array(palette.iris) * (fibres * ring)[:, None]
        mixed = out[here] * (1 - iris) + iris * iris_color
        out[here] = (mixed * (1 - pupil) + 0.012 * pupil).astype(np.float32)
    return out
