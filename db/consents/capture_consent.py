"""Whether a subject may be photographed, and what there is of it handed on: asked in the transaction of each act.

A session may begin before the signed form is recorded, by a recorded decision; nothing of it is handed on until it is.
A withdrawal of everything ends that too: what was photographed before stays, in quarantine.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from db.errors import ConsentError
from db.models import ActKind, CaptureSession, Consent, ConsentScope, SessionAct, Subject


class CaptureConsent(StrEnum):
    """How a subject stands."""

    GIVEN = "given"
    NOT_YET = "not_yet"  # an open consent counts from a later day
    NONE = "none"  # nothing was ever recorded
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class DownstreamUse:
    """Who let a session begin before the consent was recorded, and when."""

    by: str
    at: datetime


def today() -> date:
    """The day on which a consent that is signed now counts: the later of the studio's and UTC's."""
    return max(datetime.now().astimezone().date(), datetime.now(UTC).date())


def consents(
    subject_id: InstrumentedAttribute[int] | InstrumentedAttribute[int | None], day: date
) -> ColumnElement[bool]:
    """Condition: the subject of this column has an open consent that counts on `day`."""
    return exists().where(
        Consent.subject_id == subject_id,
        Consent.withdrawn_at.is_(None),
        Consent.given_on <= day,
        Consent.scope != ConsentScope.EYES_MOSAICKED,
    )


def consenting(tx: Session, subject_id: int, day: date | None = None) -> CaptureConsent:
    """How the subject stands on `day` (today by default)."""
    columns = (Consent.scope, Consent.given_on, Consent.withdrawn_at)
    rows = [
        (given_on, withdrawn_at)
        for scope, given_on, withdrawn_at in tx.execute(select(*columns).where(Consent.subject_id == subject_id))
        if scope != ConsentScope.EYES_MOSAICKED
    ]
    still_open = [given_on for given_on, withdrawn_at in rows if withdrawn_at is None]
    if any(given_on <= (day or today()) for given_on in still_open):
        return CaptureConsent.GIVEN
    if still_open:
        return CaptureConsent.NOT_YET
    return CaptureConsent.WITHDRAWN if rows else CaptureConsent.NONE


def later_of(tx: Session, session_id: int) -> DownstreamUse | None:
    """Who let this session begin before the consent, if anybody did."""
    query = select(SessionAct.by, SessionAct.at).where(
        SessionAct.session_id == session_id, SessionAct.kind == ActKind.CONSENT_LATER
    )
    row = tx.execute(query.order_by(SessionAct.id).limit(1)).first()
    return None if row is None else DownstreamUse(*row)


def require_to_start(tx: Session, subject: Subject, later: bool) -> bool:
    """Whether a session of the subject begins before its consent. Raises ConsentError where it may not begin.

    later: somebody decided that the consent will be recorded afterwards. A withdrawal waits until this transaction
    ends.
    """
    _lock(tx, subject.id)
    found = consenting(tx, subject.id)
    if found is CaptureConsent.WITHDRAWN:
        raise ConsentError(f"Subject {subject.code} has withdrawn its consent; nothing more is captured of it")
    if found is CaptureConsent.GIVEN:
        return False
    if not later:
        lacking = "no consent" if found is CaptureConsent.NONE else "no consent that counts today"
        raise ConsentError(
            f"Subject {subject.code} has {lacking} on record. When the form is signed:  mien subject consent "
            f"{subject.code} --consent research_release --consent-date DAY --consent-document FORM "
            "--consent-version VERSION\n"
            f"To begin before that (recorded; nothing is handed on until then):  mien session start {subject.code} "
            "--consent-later"
        )
    return True


def require(tx: Session, session: CaptureSession) -> None:
    """Raise ConsentError when nothing more may be photographed or accepted in this session."""
    _lock(tx, session.subject_id)
    found = consenting(tx, session.subject_id)
    if found is CaptureConsent.GIVEN or (
        found is not CaptureConsent.WITHDRAWN and later_of(tx, session.id) is not None
    ):
        return
    code = tx.scalar(select(Subject.code).where(Subject.id == session.subject_id))
    if found is not CaptureConsent.WITHDRAWN:
        raise ConsentError(f"Subject {code} has no consent on record that counts today; see: mien subject show {code}")
    raise ConsentError(
        f"Subject {code} has withdrawn its consent: nothing more is fired or accepted in session {session.code}. "
        "What was fired is kept in quarantine: the farm and releases do not get it.\n"
        f"To end the session:  mien session close {session.code} --incomplete\n"
        f"To remove what there is of {code}, for good, after that:  mien subject withdraw {code} --erase\n"
        f"Should {code} sign again:  mien subject consent {code} ...  and go on"
    )


def _lock(tx: Session, subject_id: int) -> None:
    # A statement of its own: what follows sees every withdrawal that this one waited for (PostgreSQL).
    tx.execute(select(Subject.id).where(Subject.id == subject_id).with_for_update(read=True, key_share=True))
