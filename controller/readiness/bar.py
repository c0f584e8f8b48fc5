"""The bar: one word for the worst of everything, by a table whose first row that fits is said. Pure.

| word | when |
|---|---|
| HOLD STILL | a take is armed or fired, until every photograph is safe on its node |
| COUNTDOWN | a fire is near |
| CANNOT FIRE | the consent is withdrawn, or photographs cannot be filed: nothing below goes on then |
| COMING IN | photographs are on their way |
| PAUSED, NO SESSION | there is no open session; the text is the rig's worst fault |
| CANNOT FIRE | a fire would be refused, or come to nothing: the worst fault |
| RETAKE | the last take failed, and nothing else was fired or decided since: the worst reason |
| LOOK | the last take is whole and undecided, and flagged or worth a look |
| DECIDE | it is whole and undecided |
| CHECK | nothing holds a fire back, but something does not hold, or is not known |
| DECIDE, DONE | nothing is left to fire: takes wait to be decided about, or the session may be closed |
| READY | everything holds |
"""

from collections.abc import Sequence

from controller.readiness.fault import Bar, Fault, Shape, Tone, Weight
from controller.readiness.studio_view import LastTake, StudioView
from controller.readiness.take_reasons import short_problem

LOOKS: dict[str, tuple[Tone, Shape]] = {
    "HOLD STILL": ("wait", "bars"),
    "COUNTDOWN": ("wait", "bars"),
    "COMING IN": ("wait", "bars"),
    "NO SESSION": ("wait", "bars"),
    "PAUSED": ("wait", "bars"),
    "CANNOT FIRE": ("stop", "octagon"),
    "RETAKE": ("stop", "octagon"),
    "LOOK": ("look", "triangle"),
    "DECIDE": ("wait", "triangle"),
    "CHECK": ("look", "triangle"),
    "DONE": ("good", "circle"),
    "READY": ("good", "circle"),
}
WAITING = ("busy", "recovering", "reading")  # causes that are over by themselves
ENDING = ("consent", "filing")  # causes with which not even what was fired goes on


def make_bar(view: StudioView, faults: Sequence[Fault]) -> Bar:
    """faults: the worst first."""
    word, text = _word(view, faults)
    tone, shape = LOOKS[word]
    if word in ("NO SESSION", "PAUSED") and faults and faults[0].weight < Weight.NOTE:
        tone, shape = "look", "triangle"
    if word == "CANNOT FIRE" and faults[0].cause in WAITING:
        tone, shape = "wait", "bars"
    return Bar(word, text, tone, shape)


def _word(view: StudioView, faults: Sequence[Fault]) -> tuple[str, str]:
    session, take = view.session, view.take
    last = session.last if session is not None else None
    worst = {weight: next((fault for fault in faults if fault.weight is weight), None) for weight in Weight}
    ending = next((fault for fault in faults if fault.cause in ENDING and fault.weight is Weight.FIRE), None)
    if take is not None and take.stage == "hold":
        return "HOLD STILL", ""
    if view.countdown == 0:
        return "HOLD STILL", ""
    if view.countdown is not None:
        return "COUNTDOWN", str(view.countdown)
    if ending is not None and (session is not None or take is not None):
        return "CANNOT FIRE", ending.short
    if take is not None:
        return "COMING IN", _coming(take.came, take.cameras, take.failed)
    if session is None:
        return ("PAUSED" if view.paused else "NO SESSION"), _without_session(view, faults)
    if (fault := worst[Weight.FIRE]) is not None:
        return "CANNOT FIRE", fault.short
    if last is not None and last.standing == "failed":
        return "RETAKE", _retake(last, worst[Weight.TAKE])
    if last is not None and last.standing == "undecided":
        return _decide(last)
    if (fault := worst[Weight.READY]) is not None:
        return "CHECK", fault.short
    if not session.next and session.undecided:
        return "DECIDE", _several(session.undecided)
    if not session.next:
        return "DONE", "close the session"
    return "READY", session.next


def _without_session(view: StudioView, faults: Sequence[Fault]) -> str:
    worst = faults[0] if faults and faults[0].weight < Weight.NOTE else None
    if worst is not None:
        return worst.short
    return _several(view.paused, "sessions")


def _coming(came: int, cameras: int, failed: Sequence[str]) -> str:
    told = f"{came}/{cameras}"
    if not failed:
        return told
    return f"{told}, {failed[0]} failed" if len(failed) == 1 else f"{told}, {len(failed)} failed"


def _retake(last: LastTake, reason: Fault | None) -> str:
    return reason.short if reason is not None else f"{last.expression} failed"


def _decide(last: LastTake) -> tuple[str, str]:
    if last.problem:
        return "LOOK", short_problem(last.problem)
    if last.looks:
        return "LOOK", last.advice if last.looks == 1 else f"{last.looks} to look at"
    return "DECIDE", last.expression if last.looks is not None else f"{last.expression}, being looked at"


def _several(codes: Sequence[str], what: str = "takes") -> str:
    if not codes:
        return ""
    return codes[0] if len(codes) == 1 else f"{len(codes)} {what}"
