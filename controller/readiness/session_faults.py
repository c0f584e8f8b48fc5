"""What a fire needs of the session: a consent that stands, and a last take whose outcome is decided. Pure."""

from collections.abc import Iterator

from controller.readiness import remedies
from controller.readiness.fault import Fault, Remedy
from controller.readiness.fault_making import fault
from controller.readiness.places import Places, names
from controller.readiness.studio_view import LastTake, SessionView, StudioView
from controller.readiness.take_reasons import short_problem, take_faults
from db.consents.capture_consent import CaptureConsent


def session_faults(view: StudioView, places: Places) -> Iterator[Fault]:
    """All of them, in no order; nothing without an open session."""
    session = view.session
    if session is None:
        return
    yield from _consent(session)
    if session.consent == CaptureConsent.WITHDRAWN:
        return  # nothing is accepted or taken again
    if session.last is not None and view.take is None:
        yield from _last_take(session.last, view, places)
    others = tuple(code for code in session.undecided if session.last is None or code != session.last.take)
    if others:
        remedy = Remedy("Accept or drop each", "accept", (), f"mien session accept {others[0]}")
        yield fault("undecided", f"{names(others)} still to be decided about", "takes to decide", remedy)
    if session.without:
        text = f"this session was begun without {', '.join(session.without)}, by decision"
        yield fault("begun_without", text, f"begun without {', '.join(session.without)}")


def _consent(session: SessionView) -> Iterator[Fault]:
    subject = session.subject
    if session.consent == CaptureConsent.GIVEN:
        return
    if session.consent == CaptureConsent.WITHDRAWN:
        remedy = Remedy(
            "Nothing more is fired or accepted. End the session", "close", (),
            f"mien session close {session.code} --incomplete",
        )  # fmt: skip
        yield fault("consent", f"{subject} has withdrawn its consent", f"{subject} has withdrawn", remedy)
        return
    remedy = Remedy(
        "Record the signed consent", "record_consent", (), f"mien subject consent {subject} --consent research_release"
    )
    lacking = "no consent" if session.consent == CaptureConsent.NONE else "no consent that counts today"
    text = f"{subject} has {lacking} on record"
    cause = "consent_later" if session.consent_later else "consent"
    yield fault(cause, text, f"no consent of {subject}", remedy)


def _last_take(last: LastTake, view: StudioView, places: Places) -> Iterator[Fault]:
    if last.standing == "failed":
        order = {camera.name: number for number, camera in enumerate(view.cameras)}
        again = remedies.retake("", last.reference)
        if not last.faults:
            told = last.problem.splitlines()[0] if last.problem else f"{last.take} failed"
            text = remedies.retake("Take it again", last.reference)
            yield fault("take_other", told, f"{last.expression} failed", text, place=last.take)
        yield from take_faults(last.faults, places, order, again)
    elif last.standing == "undecided":
        reason = f"{last.take}: {last.problem}" if last.problem else ""
        look = Remedy(
            "Look at its photographs; then accept it (twice), or take it again", "accept", (),
            f"mien session accept {last.take}",
        )  # fmt: skip
        if reason:
            yield fault("flagged", reason, short_problem(last.problem), look)
        if last.looks:
            more = f" and {last.looks - 1} more" if last.looks > 1 else ""
            yield fault("checks", f"{last.take}: {last.advice}{more}", last.advice, look)
