"""What the operator is told of a subject's consent while its session goes on."""

from controller.sessions.session_state import SessionStateMachine
from db.consents.capture_consent import CaptureConsent


def consent_text(state: SessionStateMachine) -> str:
    """What the operator is told of the consent; "" when all is well."""
    if state.consent == CaptureConsent.WITHDRAWN:
        return (
            f"{state.subject} has withdrawn its consent: nothing more is fired or accepted; what was fired is in "
            f"quarantine. To end:  mien session close {state.session} --incomplete"
        )
    if state.consent == CaptureConsent.GIVEN:
        return ""
    later = state.consent_later
    begun = f"begun by {later.by} at {later.at:%Y-%m-%d %H:%M} UTC before that; " if later else ""
    return f"no consent of {state.subject} is recorded that counts today: {begun}nothing is handed off until it is"
