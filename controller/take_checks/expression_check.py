"""Expression check, whether the subject does as asked: eyes, and the expression's recipe against face scores. Pure."""

import math
import statistics
from collections.abc import Mapping

from common.take_codes import NEUTRAL
from controller.rig_file import CheckLimits
from controller.take_checks.check_context import CheckContext
from controller.take_checks.photograph_findings import PhotographFindings
from db.expression_recipes import Condition, Recipe
from db.models.review import CheckState
from db.takes.take_reviews import CheckResult

EYES, EXPRESSION = "eyes", "expression"

WORDS: Mapping[str, str] = {
    "browDown": "brows down",
    "browInnerUp": "inner brows up",
    "browOuterUp": "outer brows up",
    "jawOpen": "jaw open",
    "mouthDimple": "dimples",
    "mouthFrown": "mouth corners down",
    "mouthFunnel": "lips funnelled",
    "mouthLeft": "mouth to the left",
    "mouthLowerDown": "lower lip down",
    "mouthPress": "lips pressed",
    "mouthPucker": "lips puckered",
    "mouthRight": "mouth to the right",
    "mouthRollLower": "lower lip rolled in",
    "mouthRollUpper": "upper lip rolled in",
    "mouthShrugLower": "chin and lower lip up",
    "mouthShrugUpper": "upper lip up",
    "mouthSmile": "mouth corners up",
    "mouthStretch": "mouth stretched",
    "mouthUpperUp": "upper lip raised",
}


def face_scores(seen: Mapping[str, PhotographFindings], limits: CheckLimits) -> dict[str, float]:
    """The median of each score over the views that the face looks into; empty with fewer than `min_face_views`.

    Turned views score badly: those within `frontal_degrees` count, or where too few are, the most frontal ones.
    """
    views = sorted((one for one in seen.values() if one.scores), key=lambda one: -one.frontal)
    if len(views) < limits.min_face_views:
        return {}
    cosine = math.cos(math.radians(limits.frontal_degrees))
    chosen = [one for one in views if one.frontal >= cosine]
    if len(chosen) < limits.min_face_views:
        chosen = views[: limits.min_face_views]
    return {name: statistics.median(_score(one, name) for one in chosen) for name in chosen[0].scores or {}}


def eyes_and_expression(context: CheckContext) -> list[CheckResult]:
    """Eyes and expression; nothing on a rig without frontal cameras."""
    if not context.frontal:
        return []
    limits, scores = context.limits, context.scores
    if not scores:
        why = f"fewer than {limits.min_face_views} frontal views see a face"
        return [CheckResult(EYES, CheckState.NOT_DONE, why), CheckResult(EXPRESSION, CheckState.NOT_DONE, why)]
    return [
        _eyes(context.expression, context.recipe, scores, limits),
        _performed(context.expression, context.recipe, scores, context.neutral),
    ]


def _eyes(name: str, recipe: Recipe | None, scores: Mapping[str, float], limits: CheckLimits) -> CheckResult:
    wanted = recipe.eyes if recipe is not None else "open"
    left, right = _value(scores, "eyeBlinkLeft"), _value(scores, "eyeBlinkRight")
    bound = limits.eyes_closed_score
    if wanted == "any":
        return CheckResult(EYES, CheckState.OK, f"{name} leaves the eyes free", "", (left + right) / 2, bound)
    shut = [side for side, score in (("left", left), ("right", right)) if score >= bound]
    worst = max(left, right) if wanted == "open" else min(left, right)
    if wanted == "open":
        which = "The eyes look" if len(shut) == 2 else f"The {shut[0]} eye looks" if shut else ""
        text = f"{which} closed (score {worst:.2f} of {bound:g}); {name} asks for open eyes"
        good = not shut
    else:
        which = "The eyes look" if not shut else f"The {'right' if shut == ['left'] else 'left'} eye looks"
        text = f"{which} open (score {worst:.2f} of {bound:g}); {name} asks for closed eyes"
        good = len(shut) == 2
    if good:
        return CheckResult(EYES, CheckState.OK, f"The eyes are {wanted}, as {name} asks", "", worst, bound)
    return CheckResult(EYES, CheckState.ADVICE, text, "", worst, bound)


def _performed(
    name: str, recipe: Recipe | None, scores: Mapping[str, float], neutral: Mapping[str, float]
) -> CheckResult:
    if recipe is None or not recipe.asks:
        return CheckResult(EXPRESSION, CheckState.NOT_DONE, f"The protocol does not say what {name} asks of the face")
    unknown = []
    for line in recipe.asks:
        verdicts = [_holds(condition, scores, neutral) for condition in line]
        if True in verdicts:
            continue
        if None in verdicts:
            unknown.append(line)
            continue
        told = ", ".join(_tell(condition, scores, neutral) for condition in line)
        asked = "asked is" if len(line) == 1 else "asked is one of"
        return CheckResult(
            EXPRESSION,
            CheckState.ADVICE,
            f"{name} seems not to be performed; {asked}: {told}",
            "",
            _figure(line[0], scores, neutral),
            line[0].figure,
        )
    if len(unknown) == len(recipe.asks):
        text = f"Nothing to compare {name} with: this session has no whole {NEUTRAL} take"
        return CheckResult(EXPRESSION, CheckState.NOT_DONE, text)
    if all(condition.sign == "<" for line in recipe.asks for condition in line) and name != NEUTRAL:
        return CheckResult(
            EXPRESSION, CheckState.OK, f"Nothing speaks against {name}; the detector does not score it itself"
        )
    return CheckResult(EXPRESSION, CheckState.OK, f"{name} seems to be performed")


def _holds(condition: Condition, scores: Mapping[str, float], neutral: Mapping[str, float]) -> bool | None:
    if condition.sign in "+-" and not neutral:
        return None
    figure = _figure(condition, scores, neutral)
    return figure < condition.figure if condition.sign == "<" else figure >= condition.figure


def _figure(condition: Condition, scores: Mapping[str, float], neutral: Mapping[str, float]) -> float:
    """What the condition is about: the score itself, or how far it rose or fell."""
    value = _value(scores, condition.unit)
    if condition.sign in "<>":
        return value
    change = value - _value(neutral, condition.unit)
    return change if condition.sign == "+" else -change


def _tell(condition: Condition, scores: Mapping[str, float], neutral: Mapping[str, float]) -> str:
    words, figure = WORDS.get(condition.unit, condition.unit), _figure(condition, scores, neutral)
    wanted = {">": "over {:g}", "<": "under {:g}", "+": "{:g} more than in neutral", "-": "{:g} less than in neutral"}
    seen = f"{figure:.2f}" if condition.sign in "<>" else f"{figure if condition.sign == '+' else -figure:+.2f}"
    return f"{words} {wanted[condition.sign].format(condition.figure)} (seen {seen})"


def _value(scores: Mapping[str, float], unit: str) -> float:
    if unit in scores:
        return scores[unit]
    return (scores.get(f"{unit}Left", 0.0) + scores.get(f"{unit}Right", 0.0)) / 2


def _score(one: PhotographFindings, name: str) -> float:
    return (one.scores or {}).get(name, 0.0)
