"""Paint on a synthetic face: its colours without light, place by place, in the coordinates of the average head.

Laid like `processing.template.skin_painting`, of which this is the part for people that are to be told apart: a skin
that looks like skin at arm's length, where that one is made for cameras that match its pores.
"""

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32
from processing.geometry.noise_field import NoiseField
from processing.synthetic.face_look import FaceLook
from processing.synthetic.face_places import FacePlaces
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

_WHITE = (0.62, 0.585, 0.56)  # of the eye
_MOUTH = (0.16, 0.045, 0.04)
_PUPIL = 0.38  # of the iris's radius
_EYE_Y = 34.0  # of the average head's eyes, which lie at x = +-29


def _bump(value: NDArray[np.floating], centre: float, width: float) -> Floats32:
    return np.asarray(np.exp(-(((value - centre) / width) ** 2)), np.float32)


def _rise(value: NDArray[np.floating], start: float, stop: float) -> Floats32:
    """0 at `start`, 1 at `stop`, smooth."""
    t = np.clip((value - start) / (stop - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def paint_face(places: FacePlaces, look: FaceLook) -> Floats32:
    """(N, 3) linear RGB, 0.004 to 0.92; the eyes white, without iris."""
    p, noise = places.average_mm, NoiseField(look.seed)
    color = _skin(places, look, noise)
    color = _made_up(places, look, color)
    brow = _brows(p, look) * np.clip(0.85 + 0.5 * noise(p * _stretch(2.4), 1.1, 5), 0.15, 1)
    cap = np.asarray(_hair(p, look, noise) * (places.masks["ears"] < 0.3), np.float32)
    strand = np.exp(0.16 * noise(p * _stretch(0.35), 1.0, 6) + 0.16 * noise(p, 2.0, 7))[:, None]
    # Brows keep their colour longer than the head's hair.
    for share, tone in ((brow, np.minimum(look.hair, 0.5 * look.hair + 0.02)), (cap, look.hair)):
        color = color * (1 - 0.92 * share[:, None]) + 0.92 * share[:, None] * tone.astype(np.float32) * strand
    lash = _lashes(places, look)[:, None]
    color = color * (1 - lash) + lash * np.minimum(look.hair, 0.03).astype(np.float32)
    color[places.parts == EYE] = _whites(places)
    mouth = places.parts == MOUTH_INTERIOR
    deep = 0.25 + 0.75 * _rise(p[mouth, 2], 60, 95)
    color[mouth] = np.array(_MOUTH, np.float32) * (deep * np.exp(0.1 * noise(p[mouth], 3.0, 8)))[:, None]
    return np.asarray(np.clip(color, 0.004, 0.92), np.float32)


def paint_irises(
    color: Floats32,
    places: FacePlaces,
    look: FaceLook,
    posed_mm: Floats32,
    eyes: dict[str, tuple[Floats, float, Floats]],
) -> Floats32:
    """A copy of `paint_face`'s colours with iris and pupil where each eyeball looks.

    posed_mm: (N, 3) places on the face as it is.  eyes: "L", "R" -> centre (3,), radius (mm), unit direction ahead.
    """
    out = color.copy()
    for side, (centre, radius, ahead) in eyes.items():
        here = np.flatnonzero((places.parts == EYE) & (places.left == (side == "L")))
        ray = posed_mm[here] - centre
        ray = ray / np.linalg.norm(ray, axis=1, keepdims=True).clip(1e-6)
        away = radius * np.arccos(np.clip(ray @ ahead, -1, 1)) / look.iris_mm  # of the iris's radius
        right = np.cross([0.0, 1.0, 0.0], ahead)
        around = np.arctan2(ray @ np.cross(ahead, right), ray @ right)
        fibres = 1 + 0.22 * np.sin(around * 23 + 2 * np.sin(around * 7)) * np.clip(away, 0, 1)
        fibres += 0.35 * _bump(away, 0.55, 0.15)
        limbus = 1 - 0.65 * _rise(away, 0.78, 1.0)
        iris = 1 - _rise(away, 0.96, 1.06)
        pupil = 1 - _rise(away, _PUPIL - 0.05, _PUPIL + 0.05)
        inside = look.iris * (fibres * limbus)[:, None]
        mixed = out[here] * (1 - iris[:, None]) + iris[:, None] * inside
        out[here] = mixed * (1 - pupil[:, None]) + 0.008 * pupil[:, None]
    return out


def _stretch(y: float) -> NDArray[np.float32]:
    return np.array([1.0, y, 1.0], np.float32)


def _skin(places: FacePlaces, look: FaceLook, noise: NoiseField) -> Floats32:
    p = places.average_mm
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    front = _rise(z, 20, 60)
    patches = 0.05 * noise(p, 14.0)[:, None] * np.array([0.4, 1.0, 1.1], np.float32)
    patches = patches + (0.025 * noise(p, 4.0, 1) + 0.03 * noise(p, 1.6, 2) + 0.025 * noise(p, 0.8, 3))[:, None]
    color = look.skin.astype(np.float32) * np.exp(np.float32(look.uneven) * patches)
    # Blood: cheeks, nose, ears, chin; yellow forehead.
    red = 0.8 * _bump(x, 42, 17) * _bump(y, -5, 19) + 0.7 * _bump(x, 0, 14) * _bump(y, 4, 14) * _rise(z, 95, 108)
    red = np.clip(red * front + 0.4 * places.masks["ears"] + 0.25 * _bump(x, 0, 18) * _bump(y, -78, 12) * front, 0, 1)
    color = color * (1 - (0.06 + 0.18 * look.blush) * red[:, None] * np.array([0.15, 1.0, 0.9], np.float32))
    # Thin skin round the eyes.
    ring = np.exp(-(((places.lash - 4) / 6) ** 2)) * (places.lash < 19)
    below = ring * _rise(-y, -_EYE_Y, -_EYE_Y + 6)
    color = color * (
        1 - (0.10 * ring + (0.10 + 0.22 * look.lines) * below)[:, None] * np.array([0.8, 1.0, 0.8], np.float32)
    )
    if look.lines > 0.05:
        fold = _bump(x - 0.42 * (-14 - y), 22, 1.6) * _rise(-y, 10, 18) * _rise(y, -52, -40) * front
        color = color * (1 - 0.28 * look.lines * fold[:, None])
        spots = np.clip(noise(p, 3.2, 21) - 2.6 + 0.6 * look.lines, 0, 1) * front
        color = color * (1 - 0.45 * look.lines * spots[:, None] * np.array([0.6, 0.9, 1.0], np.float32))
    freckles = np.clip(noise(p, 1.5, 4) - 2.6 + 1.3 * look.freckles, 0, 1) * _bump(y, 5, 28) * front
    color = color * (1 - 0.45 * freckles[:, None] * np.array([0.65, 0.95, 1.0], np.float32))
    for mx, my, radius, strength in look.moles:
        spot = 1 - _rise(np.hypot(p[:, 0] - mx, y - my), 0.6 * radius, 1.2 * radius)
        color = color * (1 - strength * (spot * front)[:, None] * np.array([0.6, 0.8, 0.9], np.float32))
    return _beard(places, look, noise, color)


def _beard(places: FacePlaces, look: FaceLook, noise: NoiseField, color: Floats32) -> Floats32:
    """Stubble: on jaw, chin, neck and over the lip."""
    if look.stubble <= 0 and look.moustache <= 0:
        return color
    p = places.average_mm
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    border = np.interp(x, [0, 25, 45, 62, 75], [-16, -36, -34, -18, 10])
    jaw = (
        _rise(border - y, 0, 14)
        * _rise(y, -128, -108)
        * _rise(z, -5, 25)
        * (1 - 0.6 * _bump(x, 0, 9) * _bump(y, -62, 5))
    )
    lip = _rise(-y, 16, 22) * _rise(y, -42, -36) * _rise(-x, -34, -24) * _rise(z, 70, 90)
    share = np.maximum(look.stubble * jaw, max(look.stubble, look.moustache) * lip) * (1 - places.masks["lips"])
    share = share * np.clip(0.85 + 0.4 * noise(p * _stretch(0.8), 0.9, 31), 0.2, 1.2) * (places.parts == SKIN)
    tone = 0.5 * look.hair + 0.15 * look.skin
    share = np.clip(share, 0, 0.9)[:, None]
    return np.asarray(color * (1 - share) + share * tone.astype(np.float32), np.float32)


def _made_up(places: FacePlaces, look: FaceLook, color: Floats32) -> Floats32:
    p = places.average_mm
    inner = (1 - _rise(places.lining, 3.0, 5.5)) * _bump(p[:, 1], places.mouth_mm, 9.0)  # behind the lips' line
    lips = np.maximum(_rise(places.masks["lips"], 0.15, 0.75), inner)[:, None]
    own = color * np.array([0.86, 0.56, 0.58], np.float32)
    lipped = own * (1 - look.lipstick) + look.lipstick * look.lips.astype(np.float32)
    color = color * (1 - lips) + lips * lipped
    if look.shadow > 0:
        lid = np.exp(-(((places.lash - 3) / 4) ** 2)) * (places.lash < 12) * _rise(p[:, 1], _EYE_Y, _EYE_Y + 4)
        color = color * (1 - look.shadow * lid[:, None] * np.array([0.5, 0.7, 0.6], np.float32))
    return np.asarray(color, np.float32)


def _brows(p: Floats32, look: FaceLook) -> Floats32:
    """(N,) 0..1: two arcs over the eyes, frayed at their upper edge."""
    thickness, height, arch, density = look.brow
    x = np.abs(p[:, 0])
    along = np.clip((x - 11) / (50 - 11), 0, 1)
    middle = 46.5 + height + arch * np.sin(np.pi * np.clip(along * 0.85 + 0.08, 0, 1)) - 3.0 * along
    half = 4.0 * thickness * (1 - 0.6 * along)
    ends = np.clip((x - 10) / 7, 0, 1) * np.clip((53 - x) / 8, 0, 1)
    return np.asarray(
        density * ends * np.clip(1.5 - 1.4 * np.abs(p[:, 1] - middle) / half, 0, 1) * (p[:, 2] > 55), np.float32
    )


def _lashes(places: FacePlaces, look: FaceLook) -> Floats32:
    """(N,) 0..1: dark lids' edges, broader above the eye and with a liner."""
    above = places.average_mm[:, 1] > _EYE_Y
    reach = np.where(above, 1.7 + 0.9 * look.liner, 0.8 + 0.6 * look.liner)
    strength = np.where(above, 0.85, 0.35 + 0.45 * look.liner)
    return np.asarray(strength * np.clip(1.5 - places.lash / reach, 0, 1) * (places.parts == SKIN), np.float32)


def _hair(p: Floats32, look: FaceLook, noise: NoiseField) -> Floats32:
    """(N,) 0..1: a close-cropped cap: above the forehead, round the ears, down to the nape."""
    x, y, z = p.T
    front = (y - 96 - look.hairline_mm + 0.0035 * x**2) / 5
    side = (y - np.interp(z, [-80, -45, -5, 20, 34, 60], [-42, -30, 22, 44, 64, 96])) / 5
    edge = np.where(z > 60, front, np.minimum(side, np.where(z > 20, np.maximum(front, side), side)))
    if look.hairline_mm > 0:  # receding: the cap's front goes back over the crown
        edge = np.minimum(edge, (60 - z - 1.2 * (look.hairline_mm - 25)) / 8 + 3 * _rise(np.abs(x), 40, 60))
    return np.asarray(
        np.clip(edge + 0.6 * noise(p, 4.0, 9) + 0.3 * noise(p * _stretch(0.5), 1.2, 10), 0, 1), np.float32
    )


def _whites(places: FacePlaces) -> Floats32:
    """(E, 3): redder towards the inner corner."""
    p = places.average_mm[places.parts == EYE]
    inner = 1 - _rise(np.abs(p[:, 0]), 15, 20)
    red = np.array([0.1, 0.45, 0.42], np.float32)
    return np.asarray(np.array(_WHITE, np.float32) * (1 - 0.8 * inner[:, None] * red), np.float32)
