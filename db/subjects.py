"""Subjects and their consents."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from db import audit
from db.engine import changed, utc_now
from db.errors import AlreadyThere, ConsentError, NotFound, RecordError
from db.models import Consent, ConsentScope, Gender, Subject
from db.models.people import consent_counts
from db.withdrawals import Withdrawal, mark_narrowed, mark_released, stop_work


class ConsentLine(NamedTuple):
    """A consent as it is listed."""

    scope: ConsentScope
    given_on: date
    withdrawn_at: datetime | None
    document_sha256: str | None
    form_version: str | None

    def valid_on(self, day: date) -> bool:
        """As Consent.valid_on."""
        return consent_counts(self.given_on, self.withdrawn_at, day)


class SubjectLine(NamedTuple):
    """A subject as it is listed. Rows of the tables would take five times as long to make."""

    code: str
    age: int | None
    gender: Gender | None
    job: str | None
    erased_at: datetime | None
    consents: Sequence[ConsentLine]


def add_subject(
    tx: Session, *, age: int | None = None, gender: Gender | None = None, job: str | None = None
) -> Subject:
    """A new subject with the next free code (S001, S002, ...). Age in years, gender and job are voluntary.

    Raises RecordError for an age outside 0..120.
    """
    if age is not None and not 0 <= age <= 120:
        raise RecordError(f"age {age} is outside 0..120")
    for _ in range(20):
        subject = Subject(
            code=_next_code(tx), age=age, gender=gender, job=job or None, created_at=utc_now(), consents=[]
        )
        try:
            with tx.begin_nested():
                tx.add(subject)
        except IntegrityError:  # another program took the code between our look and our insert
            continue
        audit.record(tx, "subject.add", "subject", subject.code)
        return subject
    raise AlreadyThere("No free subject code after 20 tries; is another program adding subjects?")


def get_subject(tx: Session, code: str) -> Subject:
    """A subject with its consents. Raises NotFound."""
    found = tx.scalar(select(Subject).where(Subject.code == code).options(selectinload(Subject.consents)))
    if found is None:
        raise NotFound(f"No subject {code}; see: mien subject list")
    return found


def list_subjects(tx: Session) -> list[SubjectLine]:
    """All subjects with their consents, in order of code."""
    columns = (Consent.subject_id, Consent.scope, Consent.given_on, Consent.withdrawn_at)
    rows = tx.execute(select(*columns, Consent.document_sha256, Consent.form_version).order_by(Consent.id))
    given: dict[int, list[ConsentLine]] = {}
    for subject_id, scope, given_on, withdrawn_at, document, form in rows:
        given.setdefault(subject_id, []).append(ConsentLine(scope, given_on, withdrawn_at, document, form))
    query = select(Subject.id, Subject.code, Subject.age, Subject.gender, Subject.job, Subject.erased_at)
    found = tx.execute(query.order_by(func.length(Subject.code), Subject.code))
    return [
        SubjectLine(code, age, gender, job, erased_at, given.get(number, []))
        for number, code, age, gender, job, erased_at in found
    ]


def give_consent(
    tx: Session,
    subject: Subject,
    scope: ConsentScope,
    given_on: date,
    *,
    document_sha256: str | None = None,
    form_version: str | None = None,
) -> Consent:
    """Record a signed consent. It counts from `given_on`: a future date does not open the gate before that day.

    document_sha256: of the signed form, which itself is kept elsewhere.  form_version: which text was signed.
    Raises AlreadyThere when the scope has an open consent; ConsentError without a date, for a malformed hash or
    version, for eyes mosaicked without publication, and for a subject that was erased. Eyes mosaicked narrows what was
    allowed before: what left with open eyes is marked (see db.withdrawals.releases_that_show_eyes).
    """
    _check_consent(subject, scope, given_on, document_sha256, form_version)
    consent = Consent(
        subject_id=subject.id,
        scope=scope,
        given_on=given_on,
        document_sha256=document_sha256,
        form_version=form_version,
        recorded_at=utc_now(),
    )
    try:
        with tx.begin_nested():
            tx.add(consent)
    except IntegrityError as error:
        raise AlreadyThere(f"Subject {subject.code} has an open consent for {scope}; withdraw it first") from error
    tx.refresh(subject, ["consents"])
    detail = {"scope": scope, "given_on": given_on.isoformat(), "document": document_sha256, "form": form_version}
    audit.record(tx, "consent.give", "subject", subject.code, detail)
    if scope is ConsentScope.EYES_MOSAICKED:
        narrowed = mark_narrowed(tx, subject, consent.recorded_at)
        if narrowed:
            audit.record(tx, "subject.narrow", "subject", subject.code, {"in_releases": list(narrowed)})
    return consent


def _check_consent(
    subject: Subject, scope: ConsentScope, given_on: object, document_sha256: str | None, form_version: str | None
) -> None:
    if subject.erased_at is not None:
        raise ConsentError(f"Subject {subject.code} was erased; whoever takes part again is a new subject")
    if not isinstance(given_on, date):
        raise ConsentError(f"A consent of {subject.code} for {scope} lacks the day on which it was signed")
    if document_sha256 is not None and not (
        len(document_sha256) == 64 and set(document_sha256) <= set("0123456789abcdef")
    ):
        raise ConsentError(f"'{document_sha256}' is not a SHA-256 of the signed document (64 lower-case hex digits)")
    if form_version is not None and not 0 < len(form_version.strip()) <= 32:
        raise ConsentError("The version of the form that was signed has 1 to 32 characters, as in '2026-01'")
    if scope is ConsentScope.EYES_MOSAICKED and not _is_open(subject, ConsentScope.PUBLICATION):
        raise ConsentError(
            f"eyes_mosaicked says how pictures of {subject.code} may be shown: it needs an open consent for publication"
        )


def _is_open(subject: Subject, scope: ConsentScope) -> bool:
    return any(consent.scope == scope and consent.withdrawn_at is None for consent in subject.consents)


def withdraw_consent(
    tx: Session, subject: Subject, scopes: Sequence[ConsentScope] = tuple(ConsentScope), *, at: datetime | None = None
) -> Withdrawal:
    """Close the open consents of `scopes` (all by default), with all that follows from it.

    What was released under them is marked. When no consent stays open, pending stage runs are stopped. With publication
    goes its condition, eyes mosaicked. Raises ConsentError when there was none to close, and for eyes mosaicked alone:
    without it more could be shown.
    """
    when = at or utc_now()
    wanted = list(dict.fromkeys(scopes))
    if ConsentScope.PUBLICATION in wanted and ConsentScope.EYES_MOSAICKED not in wanted:
        wanted.append(ConsentScope.EYES_MOSAICKED)
    if wanted == [ConsentScope.EYES_MOSAICKED]:
        raise ConsentError("Withdrawing eyes_mosaicked alone would show more: withdraw publication")
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())
    closed = []
    for scope in wanted:
        guard = (Consent.subject_id == subject.id, Consent.scope == scope, Consent.withdrawn_at.is_(None))
        if changed(tx, update(Consent).where(*guard).values(withdrawn_at=when)) == 1:
            closed.append(scope)
            audit.record(tx, "consent.withdraw", "subject", subject.code, {"scope": scope})
    if not closed:
        raise ConsentError(f"Subject {subject.code} has no open consent for {', '.join(scopes)}; nothing was withdrawn")
    for consent in subject.consents:
        tx.refresh(consent)
    released = mark_released(tx, subject, closed, when)
    still_open = any(consent.withdrawn_at is None for consent in subject.consents)
    stopped = 0 if still_open else stop_work(tx, subject)
    if stopped or released:
        detail = {"stopped_runs": stopped, "in_releases": list(released)}
        audit.record(tx, "subject.withdraw", "subject", subject.code, detail)
    return Withdrawal(tuple(closed), stopped, released)


def has_consent(tx: Session, subject_id: int, scope: ConsentScope, day: date) -> bool:
    """Whether an unwithdrawn consent for `scope` was given on or before `day`."""
    query = select(Consent.id).where(
        Consent.subject_id == subject_id,
        Consent.scope == scope,
        Consent.withdrawn_at.is_(None),
        Consent.given_on <= day,
    )
    return tx.execute(query.limit(1)).first() is not None


def _next_code(tx: Session) -> str:
    last = tx.scalar(select(Subject.code).order_by(func.length(Subject.code).desc(), Subject.code.desc()).limit(1))
    return f"S{int(last[1:]) + 1 if last else 1:03d}"
