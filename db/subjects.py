"""Subjects and their consents."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from common.take_codes import SubjectCode
from db.audit import audit_log
from db.audit.number_floors import subjects_given
from db.consents.consent_rules import JOB_LETTERS, RULES, ConsentRules, SignedForm, Told, check_consent, words
from db.consents.withdrawals import (
    Withdrawal,
    mark_models,
    mark_narrowed,
    mark_released,
    mark_weights,
    releases_with_models,
    stop_models,
    stop_work,
)
from db.engine import changed, utc_now
from db.errors import AlreadyThere, ConsentError, NotFound, RecordError
from db.models import Consent, ConsentScope, Gender, Leaving, Subject
from db.models.people import consent_counts


class ConsentLine(NamedTuple):
    """A consent as it is listed."""

    scope: ConsentScope
    given_on: date
    withdrawn_at: datetime | None
    document_sha256: str | None
    form_version: str | None
    guardian: bool = False

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

    Raises RecordError as check_said.
    """
    age, gender, job = check_said(age, gender, job)
    for _ in range(20):
        subject = Subject(code=_next_code(tx), age=age, gender=gender, job=job, created_at=utc_now(), consents=[])
        try:
            with tx.begin_nested():
                tx.add(subject)
        except IntegrityError:  # another program took the code between our look and our insert
            continue
        audit_log.record(tx, "subject.add", "subject", subject.code)
        return subject
    raise AlreadyThere("No free subject code after 20 tries; is another program adding subjects?")


def check_said(age: int | None, gender: Gender | None, job: str | None) -> tuple[int | None, Gender | None, str | None]:
    """What a subject says of itself, as it is kept.

    Raises RecordError for an age outside 0..120, a gender that is none, and a job that is too long or cannot be shown.
    """
    if age is not None and (isinstance(age, bool) or not isinstance(age, int) or not 0 <= age <= 120):
        raise RecordError(f"age {age} is outside 0..120")
    if gender is not None and gender not in list(Gender):
        raise RecordError(f"gender is one of {', '.join(Gender)}, or not said")
    job = words(job, "The job", JOB_LETTERS) if job else None
    return age, None if gender is None else Gender(gender), job or None


def get_subject(tx: Session, code: str) -> Subject:
    """A subject with its consents. Raises NotFound."""
    found = tx.scalar(select(Subject).where(Subject.code == code).options(selectinload(Subject.consents)))
    if found is None:
        raise NotFound(f"No subject {code}; see: mien subject list")
    return found


def list_subjects(tx: Session) -> list[SubjectLine]:
    """All subjects with their consents, in order of code."""
    columns = (Consent.subject_id, Consent.scope, Consent.given_on, Consent.withdrawn_at)
    said = (Consent.document_sha256, Consent.form_version, Consent.guardian)
    rows = tx.execute(select(*columns, *said).order_by(Consent.id))
    given: dict[int, list[ConsentLine]] = {}
    for subject_id, scope, given_on, withdrawn_at, document, form, guardian in rows:
        line = ConsentLine(scope, given_on, withdrawn_at, document, form, guardian)
        given.setdefault(subject_id, []).append(line)
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
    guardian: bool = False,
    shared_form: str | None = None,
    rules: ConsentRules = RULES,
    told: Told = lambda _: None,
) -> Consent:
    """Record a signed consent. It counts from `given_on`, which is not after today.

    document_sha256: of the signed form, which itself is kept elsewhere.  form_version: which text was signed.
    guardian: a guardian signed for the subject.  shared_form: why others' consents name the same form.
    told: hears what may be wrong and is not refused, as where the age is not known.
    Raises AlreadyThere when the scope has an open consent; ConsentError as db.consents.consent_rules.check_consent.
    Eyes mosaicked narrows what was allowed: what left with open eyes is marked
    (db.consents.withdrawals.releases_that_show_eyes), and so are weights that hold a picture of the subject.
    """
    scope = ConsentScope(scope)
    signed = SignedForm(document_sha256, form_version, guardian, shared_form)
    day, signed = check_consent(tx, subject, scope, given_on, signed, rules, told)
    consent = Consent(
        subject_id=subject.id,
        scope=scope,
        given_on=day,
        document_sha256=signed.document_sha256,
        form_version=signed.form_version,
        guardian=signed.guardian,
        shared_reason=signed.shared_form,
        recorded_at=utc_now(),
    )
    try:
        with tx.begin_nested():
            tx.add(consent)
    except IntegrityError as error:
        raise AlreadyThere(f"Subject {subject.code} has an open consent for {scope}; withdraw it first") from error
    tx.refresh(subject, ["consents"])
    detail = {
        "scope": scope, "given_on": day.isoformat(), "document": signed.document_sha256, "form": signed.form_version,
        "guardian": signed.guardian, "shared_form": signed.shared_form is not None,
    }  # fmt: skip
    audit_log.record(tx, "consent.give", "subject", subject.code, detail)
    if scope is ConsentScope.EYES_MOSAICKED:
        narrowed = mark_narrowed(tx, subject, consent.recorded_at)
        weights = mark_weights(tx, subject, Leaving.CONSENT, consent.recorded_at, pictured=True)
        if narrowed or weights:
            marked = {"in_releases": list(narrowed)} | ({"in_weights": list(weights)} if weights else {})
            audit_log.record(tx, "subject.narrow", "subject", subject.code, marked)
    return consent


def withdraw_consent(
    tx: Session, subject: Subject, scopes: Sequence[ConsentScope] = tuple(ConsentScope), *, at: datetime | None = None
) -> Withdrawal:
    """Close the open consents of `scopes` (all by default), with all that follows from it.

    What was released under them is marked, and so are every face model that the subject is in and all weights that were
    trained on it, where it withdraws from these; weights that hold a picture of it go with publication. When no consent
    stays open, pending stage runs are stopped. With publication goes its condition, eyes mosaicked. Raises ConsentError
    when there was none to close, and for eyes mosaicked alone: without it more could be shown.
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
            closing = {"scope": scope, "at": when.astimezone(UTC).isoformat()}
            audit_log.record(tx, "consent.withdraw", "subject", subject.code, closing)
    if not closed:
        raise ConsentError(f"Subject {subject.code} has no open consent for {', '.join(scopes)}; nothing was withdrawn")
    for consent in subject.consents:
        tx.refresh(consent)
    released = mark_released(tx, subject, closed, when)
    still_open = any(consent.withdrawn_at is None for consent in subject.consents)
    stopped = 0 if still_open else stop_work(tx, subject)
    models: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    if ConsentScope.STATISTICAL_MODEL in closed:
        stopped += stop_models(tx, subject)
        models = mark_models(tx, subject, Leaving.CONSENT, when)
        weights = mark_weights(tx, subject, Leaving.CONSENT, when)
        released = tuple(dict.fromkeys((*released, *releases_with_models(tx, subject))))
    elif ConsentScope.PUBLICATION in closed:
        weights = mark_weights(tx, subject, Leaving.CONSENT, when, pictured=True)
    if stopped or released or models or weights:
        detail = {"stopped_runs": stopped, "in_releases": list(released)}
        detail |= {"in_models": list(models)} if models else {}
        detail |= {"in_weights": list(weights)} if weights else {}
        audit_log.record(tx, "subject.withdraw", "subject", subject.code, detail)
    return Withdrawal(tuple(closed), stopped, released, models, weights)


def _next_code(tx: Session) -> str:
    last = tx.scalar(select(Subject.code).order_by(func.length(Subject.code).desc(), Subject.code.desc()).limit(1))
    return str(SubjectCode(max(SubjectCode.parse(last).number if last else 0, subjects_given(tx)) + 1))
