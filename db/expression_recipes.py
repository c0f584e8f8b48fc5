"""What an expression asks of a face, in scores that a face detector gives: part of a protocol, and data like it.

    asks = ["jawOpen >0.3", "browDown +0.15 or browInnerUp -0.2"]
    eyes = "open"

One line of `asks` is fulfilled when one of its alternatives is: a score above or below a figure, or risen or fallen by
a figure since the subject's neutral take. Scores are the 52 face units of ARKit as mediapipe gives them, 0 to 1; a
name without Left or Right is the mean of both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.errors import RecordError

_BOTH = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"),
    *("eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile"),
    *("mouthStretch", "mouthUpperUp", "noseSneer"),
)
_ONE = (
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel"),
    *("mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower"),
    "mouthShrugUpper",
)
FACE_UNITS = frozenset([*_ONE, *_BOTH, *(f"{unit}{side}" for unit in _BOTH for side in ("Left", "Right"))])
EYES = ("open", "closed", "any")
_CONDITION = re.compile(r"(?P<unit>[A-Za-z]+) *(?P<sign>[<>+-]) *(?P<figure>[01](\.\d+)?|\.\d+)")


@dataclass(frozen=True)
class Condition:
    """What one score of a face should be."""

    unit: str  # the blendshape that is scored, as in 'jawOpen'
    sign: str  # above (>) or below (<) the figure, or risen (+) or fallen (-) by it since neutral
    figure: float  # 0-1

    def __str__(self) -> str:
        return f"{self.unit} {self.sign}{self.figure:g}"


@dataclass(frozen=True)
class Recipe:
    """What the scores of a face should be in an expression."""

    asks: tuple[tuple[Condition, ...], ...] = field(default=())  # all must hold, each by one of its alternatives
    eyes: str = "open"  # "open", "closed" or "any"

    def data(self) -> dict[str, Any]:
        """As it is stored; parse_recipe takes it back."""
        return {"asks": [" or ".join(map(str, line)) for line in self.asks], "eyes": self.eyes}


def parse_recipe(written: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from `asks` and `eyes`. Raises RecordError that names the place and what is wrong."""
    eyes, asks = written.get("eyes", "open"), written.get("asks", [])
    if eyes not in EYES:
        raise RecordError(f"{where}: 'eyes' must be {', '.join(EYES)}, not {eyes!r}")
    if not isinstance(asks, list) or not all(isinstance(line, str) for line in asks):
        raise RecordError(f"{where}: 'asks' must be a list of conditions such as \"jawOpen >0.3\"")
    return Recipe(tuple(tuple(_condition(part, where) for part in line.split(" or ")) for line in asks), eyes)


def _condition(text: str, where: str) -> Condition:
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        raise RecordError(f"{where}: '{text.strip()}' is no condition; write jawOpen >0.3, <0.3, +0.3 or -0.3")
    if found["unit"] not in FACE_UNITS:
        raise RecordError(f"{where}: there is no score '{found['unit']}'; there are {', '.join(sorted(FACE_UNITS))}")
    return Condition(found["unit"], found["sign"], float(found["figure"]))


def _recipe(*asks: str, eyes: str = "open") -> Recipe:
    return parse_recipe({"asks": list(asks), "eyes": eyes}, "the built-in recipes")


_MOUTH_AT_REST = ("jawOpen <0.25", "mouthSmile <0.4", "mouthUpperUp <0.5")
_BROWS_LOWERED = "browDown +0.15 or browInnerUp -0.15 or browOuterUp -0.15"

# FaceScape's twenty. The detector hardly scores the jaw's sideways and forward movement, nor blown-up cheeks: there
# only what contradicts the expression is asked about.
FACESCAPE_RECIPES: Mapping[str, Recipe] = {
    "neutral": _recipe(*_MOUTH_AT_REST, "mouthPucker <0.6", "mouthFunnel <0.5", "mouthFrown <0.5"),
    "smile": _recipe("mouthSmile >0.35", "jawOpen <0.4"),
    "mouth_stretch": _recipe("jawOpen >0.3"),
    "anger": _recipe(_BROWS_LOWERED, "jawOpen <0.4"),
    "jaw_left": _recipe(*_MOUTH_AT_REST),
    "jaw_right": _recipe(*_MOUTH_AT_REST),
    "jaw_forward": _recipe(*_MOUTH_AT_REST),
    "mouth_left": _recipe("mouthLeft +0.12"),
    "mouth_right": _recipe("mouthRight +0.12"),
    "dimpler": _recipe(
        "mouthDimple +0.05 or mouthSmile +0.1 or mouthStretch +0.1 or mouthPress +0.15 or mouthPucker -0.2"
    ),
    "chin_raiser": _recipe("mouthShrugLower +0.15 or mouthShrugUpper +0.15 or mouthPucker +0.2"),
    "lip_puckerer": _recipe("mouthPucker +0.2", "jawOpen <0.4"),
    "lip_funneler": _recipe("mouthFunnel +0.1 or mouthPucker +0.15"),
    "sadness": _recipe("mouthFrown +0.12 or mouthShrugLower +0.2 or browInnerUp +0.15"),
    "lip_roll": _recipe("mouthRollLower +0.05 or mouthRollUpper +0.1 or mouthPress +0.15", "jawOpen <0.3"),
    "grin": _recipe(
        "mouthUpperUp +0.2 or mouthStretch +0.15 or mouthSmile +0.3 or mouthLowerDown +0.1", "jawOpen <0.5"
    ),
    "cheek_blowing": _recipe(*_MOUTH_AT_REST),
    "eye_closed": _recipe(*_MOUTH_AT_REST, eyes="closed"),
    "brow_raiser": _recipe("browOuterUp +0.12 or browInnerUp +0.12"),
    "brow_lower": _recipe(_BROWS_LOWERED),
}
