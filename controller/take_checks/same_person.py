"""Same person? A neutral against the neutrals of this subject's earlier sessions; advice, where the studio asks for it.

What is computed of a face stays in a check process and ends with the question; what comes out is yes, no, or why
neither can be said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from common.take_codes import NEUTRAL
from controller.take_checks.check_context import CheckContext, PersonAnswer
from controller.take_checks.photograph_findings import SamePerson
from db.captures import get_take
from db.consents.capture_consent import CaptureConsent, consenting
from db.models.review import CheckState
from db.takes.side_inputs import earlier_neutrals, side_inputs
from db.takes.take_reviews import CheckResult

PERSON = "person"
SESSIONS = 3  # earlier ones that are compared with
VIEWS = 5  # photographs of each, at most


@dataclass(frozen=True)
class PersonQuestion:
    """Photographs, by SHA-256."""

    subject: str  # code of whom they are said to show
    now: Sequence[str]  # of the take
    before: Sequence[Sequence[str]]  # of each earlier session
    why_not: str = ""  # why there is nothing to compare


def question_of(tx: Session, take: str, frontal: Sequence[str]) -> PersonQuestion | None:
    """What to ask of a take; None where it is no neutral. frontal: cameras, those that see the face best first."""
    row = get_take(tx, take)
    if row.expression.name != NEUTRAL:
        return None
    subject = row.session.subject.code
    if consenting(tx, row.session.subject_id) is not CaptureConsent.GIVEN:
        return PersonQuestion(subject, (), (), f"no consent of {subject} is recorded that counts today")
    earlier = earlier_neutrals(tx, take, NEUTRAL, SESSIONS)
    if not earlier:
        return PersonQuestion(subject, (), (), f"{subject} has no neutral of an earlier session to compare with")
    return PersonQuestion(subject, _frontal(tx, take, frontal), [_frontal(tx, one, frontal) for one in earlier])


def answer_of(question: PersonQuestion, said: SamePerson) -> PersonAnswer:
    """In words what a check process said."""
    whys = {
        SamePerson.NO_FACE: "too few frontal views of this take show a face",
        SamePerson.NO_FACE_BEFORE: "too few frontal views of its earlier neutrals show a face",
    }
    same = {SamePerson.YES: True, SamePerson.NO: False}.get(said)
    return PersonAnswer(question.subject, same, whys.get(said, ""))


def judge(context: CheckContext) -> list[CheckResult]:
    """One result for a neutral, without any figure; nothing where nobody asked."""
    answer = context.person
    if answer is None:
        return []
    if answer.same is None:
        return [CheckResult(PERSON, CheckState.NOT_DONE, f"Whether this is {answer.subject}: {answer.why}")]
    if answer.same:
        return [CheckResult(PERSON, CheckState.OK, f"As in the earlier sessions of {answer.subject}")]
    text = (
        f"This is not {answer.subject}: the face is another than in its earlier sessions. Is the right subject's "
        "session open?"
    )
    return [CheckResult(PERSON, CheckState.ADVICE, text)]


def _frontal(tx: Session, take: str, frontal: Sequence[str]) -> list[str]:
    """Photographs of a take by these cameras, in their order; by others that look at the face where there are few."""
    inputs = side_inputs(tx, take)
    if inputs is None:
        return []
    by_name: Mapping[str, str] = {inputs.cameras[view]: sha256 for view, sha256 in inputs.photographs.items()}
    others = [inputs.cameras[view] for view in sorted(inputs.frontal)]
    order = dict.fromkeys([*frontal, *others])
    return [by_name[name] for name in order if name in by_name][:VIEWS]
