"""How long what is kept of a subject may be kept, and what is due. Nothing is deleted by itself: a person decides."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.consents.consent_rules import REASON_LETTERS, latest_day, words
from db.consents.study_settings import LASTING, StudySettings
from db.engine import utc_now
from db.errors import ConsentError, RecordError
from db.models import ConsentScope, RetentionTerm, Subject
from db.subjects import list_subjects

Standing = Literal["overdue", "due", "kept", "no term"]
SOON_DAYS = 90


@dataclass(frozen=True)
class Due:
    """Something that is kept, and until when."""

    code: str
    scope: ConsentScope | None  # None for what is kept of somebody who withdrew everything
    since: date
    until: date | None
    standing: Standing
    to_do: str


def set_term(
    tx: Session, subject: Subject, until: date, reason: str, scopes: tuple[ConsentScope, ...] = LASTING
) -> tuple[ConsentScope, ...]:
    """Keep a subject's data until that day under these scopes, whatever the studio's term is; the scopes.

    Raises ConsentError for a subject that was erased, RecordError without a reason and for eyes_mosaicked, which lasts
    as long as publication does.
    """
    if subject.erased_at is not None:
        raise ConsentError(f"Subject {subject.code} was erased; nothing more is kept of it")
    said = words(reason, "The reason", REASON_LETTERS)
    if not said:
        raise RecordError("A term of its own needs a reason, as in 'asked for in the form'")
    wrong = [str(scope) for scope in scopes if scope not in LASTING]
    if wrong or not scopes:
        raise RecordError(f"A term is set for {' or '.join(LASTING)}; eyes_mosaicked lasts as long as publication")
    now = utc_now()
    tx.add_all(RetentionTerm(subject_id=subject.id, scope=s, until=until, reason=said, set_at=now) for s in scopes)
    tx.flush()
    detail = {"until": until.isoformat(), "scopes": list(scopes)}
    audit_log.record(tx, "subject.retention", "subject", subject.code, detail)
    return scopes


def kept_until(tx: Session, subject_id: int, scope: ConsentScope, given_on: date, study: StudySettings) -> date | None:
    """Until when data is kept under a consent: the subject's own term, else the studio's; None: nobody said."""
    return _until(_own_terms(tx, subject_id), subject_id, scope, given_on, study)


def retention(tx: Session, study: StudySettings, *, day: date | None = None, soon_days: int = SOON_DAYS) -> list[Due]:
    """Every open consent and everybody who withdrew and is still kept, with what to do; the oldest day first."""
    day = day or latest_day()
    terms = _own_terms(tx)
    ids = dict(tx.execute(select(Subject.code, Subject.id)).all())
    found = []
    for subject in list_subjects(tx):
        if subject.erased_at is not None:
            continue
        kept = [c for c in subject.consents if c.withdrawn_at is None]
        for consent in kept:
            if consent.scope in LASTING:
                until = _until(terms, ids[subject.code], consent.scope, consent.given_on, study)
                found.append(_due(subject.code, consent.scope, consent.given_on, until, day, soon_days))
        ended = [c.withdrawn_at.date() for c in subject.consents if c.withdrawn_at is not None]
        if ended and not kept:
            until = study.withdrawn_kept.after(max(ended))
            found.append(_due(subject.code, None, max(ended), until, day, soon_days))
    return sorted(found, key=lambda due: (due.until or date.max, due.code))


def _own_terms(tx: Session, subject_id: int | None = None) -> dict[tuple[int, ConsentScope], date]:
    newest = select(func.max(RetentionTerm.id)).group_by(RetentionTerm.subject_id, RetentionTerm.scope)
    query = select(RetentionTerm).where(RetentionTerm.id.in_(newest))
    if subject_id is not None:
        query = query.where(RetentionTerm.subject_id == subject_id)
    return {(row.subject_id, row.scope): row.until for row in tx.scalars(query)}


def _until(
    own: dict[tuple[int, ConsentScope], date],
    subject_id: int,
    scope: ConsentScope,
    given_on: date,
    study: StudySettings,
) -> date | None:
    lasting = ConsentScope.PUBLICATION if scope is ConsentScope.EYES_MOSAICKED else scope
    if (subject_id, lasting) in own:
        return own[subject_id, lasting]
    return study.retention[lasting].after(given_on) if lasting in study.retention else None


def _due(code: str, scope: ConsentScope | None, since: date, until: date | None, day: date, soon_days: int) -> Due:
    if until is None:
        return Due(code, scope, since, None, "no term", f"say how long: [records.retention] {scope} in studio.toml")
    standing: Standing = "overdue" if until < day else "due" if until <= day + timedelta(days=soon_days) else "kept"
    if scope is None:
        to_do = f"mien subject withdraw {code} --erase"
    elif standing == "kept":
        to_do = ""
    else:
        to_do = f"ask for a new consent, or: mien subject withdraw {code} --consent {scope}"
    return Due(code, scope, since, until, standing, to_do)
