"""The checks of takes, in the order in which they are told."""

from controller.take_checks import expression_check, photograph_checks, same_person
from controller.take_checks.check_context import CheckContext, TakeCheck
from controller.take_checks.photograph_findings import Measure
from db.takes.take_reviews import CheckResult

CHECKS: tuple[TakeCheck, ...] = (
    TakeCheck((photograph_checks.EXAMINED,), photograph_checks.examined),
    TakeCheck((photograph_checks.SHARPNESS,), photograph_checks.sharpness),
    TakeCheck((photograph_checks.CLIPPING,), photograph_checks.clipping),
    TakeCheck((photograph_checks.BRIGHTNESS,), photograph_checks.brightness),
    TakeCheck((photograph_checks.FACE,), photograph_checks.faces),
    TakeCheck((photograph_checks.WITHOUT,), photograph_checks.without),
    TakeCheck((same_person.PERSON,), same_person.judge),
    TakeCheck((expression_check.EYES, expression_check.EXPRESSION), expression_check.eyes_and_expression),
)
MEASURES: tuple[Measure, ...] = tuple(check.measure for check in CHECKS if check.measure is not None)


def judge(context: CheckContext) -> list[CheckResult]:
    """What all checks say of a take."""
    return [result for check in CHECKS for result in check.judge(context)]
