"""How one person's face moves: generic face units carried to the person's neutral and made the person's own.

What is one's own goes partly with who one is (the traits, through maps that a population shares) and partly with
nothing: each unit's strength, that of its left against its right, the way skin moves (turned and scaled by fields that
change slowly over the face), what lips and cheeks do besides, and which units come along with an expression, how much
and when.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from processing.geometry.deformation_transfer import DeformationTransfer
from processing.geometry.noise_field import NoiseField
from processing.synthetic.face_population import TRAITS, Person, Population
from processing.template.expression_recipes import EXPRESSION_RECIPES

SAID_BY_TRAITS = 0.6  # share of the variance of a person's ways that goes with who they are
GAIN = 0.15  # standard deviation of the logarithm of a unit's strength
SIDE_GAIN = 0.09  # of the same, left against right
TURN_RAD, SCALE = np.radians(7.0), 0.16  # of the fields that turn skin's motion, and of the logarithm that scales it
ONE_SIDED = 0.35  # of a field's spread, what differs between the halves of the face
FIELDS, FIELD_MM = 5, 55.0  # how many fields a map mixes, and how far they reach
OWN_MM = 0.6  # standard deviation of what lips and cheeks do besides, at each place
# Landmarks (Multi-PIE; negative: between two) about which lips and cheeks do something of their own: mm of reach.
_PLACES: tuple[tuple[tuple[int, ...], float], ...] = (
    ((48,), 10.0), ((54,), 10.0), ((51, 62, 57), 11.0), ((50,), 9.0), ((52,), 9.0), ((58,), 9.0), ((56,), 9.0),
    ((41, 48), 16.0), ((46, 54), 16.0), ((3, 48), 18.0), ((13, 54), 18.0), ((8,), 14.0),
)  # fmt: skip
_MIRRORED = (1, 0, 2, 4, 3, 6, 5, 8, 7, 10, 9, 11)
_WITH_OWN = ("mouth", "cheek", "jaw", "noseSneer")
_STILL = ("eyeBlink", "eyeLook", "tongueOut")  # what must close, or turns an eye, does so alike in everybody
_ALONG = ("mouthClose", "jawOpen")  # the first undoes the second: they share their ways
_CALM = {"jawOpen": 0.35, "jawForward": 0.5, "jawLeft": 0.5, "jawRight": 0.5, "eyeSquint": 0.5, "eyeWide": 0.4}
_GATE_MM = 1.0  # motion from which on a place takes part in what is one's own
STILL_MM = 0.02  # what no unit moves farther belongs to the skull
PERFORMED = (0.86, 1.0)  # strength with which an expression is performed
ONSET = (0.7, 1.8)  # exponents of that strength by which secondary units follow
MOST_ALONG = 0.35  # weight of a unit that comes along
# What may come along with an expression, by what it is made of.
_COMPANIONS: dict[str, tuple[str, ...]] = {
    "mouthSmile": ("eyeSquint", "mouthDimple", "mouthUpperUp", "browOuterUp", "noseSneer"),
    "jawOpen": ("browInnerUp", "eyeWide", "mouthLowerDown", "mouthStretch", "browDown"),
    "browDown": ("eyeSquint", "noseSneer", "mouthPress", "mouthFrown"),
    "mouthPucker": ("mouthFunnel", "browDown", "eyeSquint", "browInnerUp"),
    "mouthFunnel": ("mouthPucker", "jawOpen", "browInnerUp", "eyeWide"),
    "mouthFrown": ("mouthShrugLower", "browDown", "eyeSquint", "mouthLowerDown"),
    "browInnerUp": ("eyeWide", "jawOpen", "browOuterUp"),
    "mouthRollLower": ("mouthPress", "mouthShrugLower", "eyeSquint", "browDown"),
    "cheekPuff": ("mouthPress", "mouthPucker", "eyeWide", "browInnerUp"),
    "eyeBlink": ("cheekSquint", "eyeSquint", "browDown"),
    "jawLeft": ("mouthLeft", "jawOpen", "eyeSquint"),
    "jawRight": ("mouthRight", "jawOpen", "eyeSquint"),
    "jawForward": ("mouthShrugLower", "browInnerUp", "jawOpen"),
    "mouthLeft": ("mouthDimple", "jawLeft", "eyeSquint"),
    "mouthRight": ("mouthDimple", "jawRight", "eyeSquint"),
    "mouthDimple": ("mouthPress", "mouthSmile", "eyeSquint"),
    "mouthShrugLower": ("mouthPress", "browDown", "mouthFrown"),
    "mouthStretch": ("noseSneer", "browDown", "eyeSquint"),
}


@dataclass(frozen=True, eq=False)
class PersonalFace:
    """A person's face and how it truly moves, over the control mesh of a population."""

    neutral_mm: Floats  # (n, 3)
    shapes_mm: Floats  # (U, n, 3) each unit at its full weight
    generic_mm: Floats  # (U, n, 3) the generic units as deformation transfer alone carries them over


def personal_face(people: Population, person: Person, rng: np.random.Generator) -> PersonalFace:
    """The person's own units. Generic ones are carried over by deformation gradients (Sumner and Popovic 2004)."""
    neutral = people.with_eyes(person.neutral_mm, person.neutral_mm)
    average = people.control.vertices_mm
    moved = np.linalg.norm(people.control_units_mm, axis=2).max(axis=0)
    still = (moved < STILL_MM).astype(np.float64)
    transfer = DeformationTransfer(people.control.with_vertices(neutral), still)
    carried = transfer.of_units(average, people.control_units_mm)
    ways = _Ways.of(person, people.units, rng)
    basis = _basis(people)
    shapes = np.empty_like(carried)
    for number in range(len(carried)):
        own = ways.applied(number, carried[number], basis)
        shapes[number] = people.with_eyes(neutral + own, neutral)
        carried[number] = people.with_eyes(neutral + carried[number], neutral)
    return PersonalFace(neutral, shapes, carried)


@dataclass(frozen=True, eq=False)
class _Basis:
    """Fields over the average head that people's ways are mixed from."""

    alike: Floats  # (n, FIELDS) the same on both halves of the face
    apart: Floats  # (n, FIELDS) opposite on them
    side: Floats  # (n,) -1 on the right half to 1 on the left
    places: Floats  # (n, P) how near a vertex is to each of _PLACES, 0..1


@lru_cache(maxsize=4)
def _basis(people: Population) -> _Basis:
    points = people.control.vertices_mm
    unit = float(np.ptp(people.template.landmark_points(people.template.mesh.vertices_mm)[:, 0])) / 150.0
    across = np.abs(points) * [1, 0, 0] + points * [0, 1, 1]
    side = np.tanh(points[:, 0] / (8.0 * unit))
    alike = np.stack([NoiseField(100 + k)(across, FIELD_MM * unit) for k in range(FIELDS)], axis=1)
    apart = np.stack([NoiseField(200 + k)(across, FIELD_MM * unit) for k in range(FIELDS)], axis=1)
    landmarks = people.template.landmark_points(people.template.mesh.vertices_mm)
    near = []
    for which, reach in _PLACES:
        off = points - landmarks[list(which)].mean(axis=0)
        near.append(np.exp(-np.square(off).sum(axis=1) / (2 * (reach * unit) ** 2)))
    return _Basis(alike.astype(np.float64), apart.astype(np.float64) * side[:, None], side, np.stack(near, axis=1))


@dataclass(frozen=True, eq=False)
class _Ways:
    """A person's coefficients of each unit; those of a pair of units, left and right, are one but for `gain`."""

    gain: Floats  # (U,) strengths
    calm: Floats  # (U,) share of the fields' spread
    scale: Floats  # (U, 2, FIELDS) of the logarithm, alike and apart
    turn: Floats  # (U, 2, FIELDS, 3) rad
    own_mm: Floats  # (U, P, 3)

    @classmethod
    def of(cls, person: Person, units: tuple[str, ...], rng: np.random.Generator) -> "_Ways":
        stems = [_stem(unit) for unit in units]
        order = {stem: k for k, stem in enumerate(dict.fromkeys(stems))}
        which = np.array([order[stem] for stem in stems])
        width = 1 + 2 * FIELDS * 4 + 3 * len(_PLACES) * 2
        shared = np.random.default_rng(29).standard_normal((len(order), width, TRAITS)) / np.sqrt(TRAITS)
        said = (shared @ person.traits).clip(-2.5, 2.5)
        drawn = rng.standard_normal((len(order), width)).clip(-2.5, 2.5)
        value = (np.sqrt(SAID_BY_TRAITS) * said + np.sqrt(1 - SAID_BY_TRAITS) * drawn)[which]
        gain, fields, own = np.split(value, [1, 1 + 2 * FIELDS * 4], axis=1)
        fields = fields.reshape(-1, 2, FIELDS, 4) / np.sqrt(FIELDS) * np.array([1.0, ONE_SIDED])[:, None, None]
        one, other = own.reshape(-1, 2, len(_PLACES), 3).swapaxes(0, 1)
        own_mm = OWN_MM * ((one + one[:, list(_MIRRORED)] * [-1, 1, 1]) / np.sqrt(2) + ONE_SIDED * other)
        own_mm *= np.array([unit.startswith(_WITH_OWN) for unit in units])[:, None, None]
        calm = np.array([0.0 if u.startswith(_STILL) else _CALM.get(_stem(u), 1.0) for u in units])
        sides = SIDE_GAIN * rng.standard_normal(len(units)).clip(-2, 2) * [u not in _ALONG for u in units]
        strength = np.exp(np.minimum(calm * 2, 1) * (GAIN * gain[:, 0] + sides))
        return cls(strength, calm, SCALE * fields[..., 0], TURN_RAD * fields[..., 1:], own_mm * calm[:, None, None])

    def applied(self, number: int, offset_mm: Floats, basis: _Basis) -> Floats:
        """(n, 3) a unit's offsets as this person has them."""
        moving = np.flatnonzero(np.abs(offset_mm).max(axis=1) > 1e-6)
        out = np.zeros_like(offset_mm)
        if not len(moving):
            return out
        fields = np.concatenate([basis.alike[moving], basis.apart[moving]], axis=1)
        length = np.linalg.norm(offset_mm[moving], axis=1, keepdims=True)
        scale = np.exp(self.calm[number] * (fields @ self.scale[number].ravel()))[:, None]
        turn = self.calm[number] * (fields @ self.turn[number].reshape(-1, 3))
        turn[:, 1:] *= basis.side[moving, None]  # the other half of the face does the mirror image
        turned = Rotation.from_rotvec(turn).apply(offset_mm[moving])
        own = length / (length + _GATE_MM) * (basis.places[moving] @ self.own_mm[number])
        out[moving] = self.gain[number] * scale * turned + own
        return out


def _stem(unit: str) -> str:
    """What the units of both sides, and those that belong together, have in common."""
    if unit in _ALONG:
        return _ALONG[1]
    if unit in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return unit
    return unit.removesuffix("Left").removesuffix("Right")


def performances(units: tuple[str, ...], rng: np.random.Generator) -> Mapping[str, Floats]:
    """Protocol expression -> (U,) the weights in 0..1 with which this person performs it.

    The same recipe, with a strength of the day, weights of one's own, secondary units that follow it sooner or later,
    and a few units that come along in this person whenever they perform it.
    """
    number = {unit: k for k, unit in enumerate(units)}
    out: dict[str, Floats] = {}
    for expression, recipe in EXPRESSION_RECIPES.items():
        weights = np.zeros(len(units))
        strength, onset = rng.uniform(*PERFORMED), np.exp(rng.uniform(*np.log(ONSET)))
        main = max(recipe.values(), default=1.0)
        one_sided = rng.normal(0, 0.05)
        for unit, weight in recipe.items():
            share = strength if weight >= 0.85 * main else strength**onset * np.exp(rng.normal(0, 0.15))
            half = (unit.endswith("Left") - unit.endswith("Right")) * one_sided * ("Blink" not in unit)
            weights[number[unit]] = min(1.0, weight) * share * (1 + half)
        companions = [c for unit in recipe for c in _COMPANIONS.get(_stem(unit), ()) if _stem(unit) in _COMPANIONS]
        for companion in dict.fromkeys(companions):
            amount = rng.uniform(-MOST_ALONG, MOST_ALONG)
            along = [u for u in units if _stem(u) == companion or u == companion]
            for unit in along:
                if amount > 0 and weights[number[unit]] == 0:
                    weights[number[unit]] = amount * rng.uniform(0.7, 1.0) * strength**onset
        out[expression] = weights.clip(0, 1)
    closed = [number[f"eyeBlink{side}"] for side in ("Left", "Right")]
    out["eye_closed"][closed] = 1.0
    return out
