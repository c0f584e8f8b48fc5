"""What a subject said of itself is put right, and what it had said before is kept beside it until it is erased."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.consents.consent_rules import RULES, ConsentRules, Told, age_between
from db.engine import utc_now
from db.errors import ConsentError, RecordError
from db.models import Gender, Subject, SubjectChange
from db.subjects import check_said

FIELDS = ("age", "gender", "job")


@dataclass(frozen=True)
class SubjectEdit:
    """Something that was put right."""

    field: str
    before: str | None  # as text; None: nothing had been said
    after: str | None  # ... likewise
    changed_at: datetime


def edit_subject(
    tx: Session,
    subject: Subject,
    said: Mapping[str, object],
    *,
    cleared: Collection[str] = (),
    rules: ConsentRules = RULES,
    told: Told = lambda _: None,
) -> tuple[str, ...]:
    """Put right what a subject said: values by field (age in years, gender, job); which fields changed.

    cleared: fields of which it wants to say nothing more. told: hears where an open consent does not fit the new age.
    Raises RecordError as add_subject, for an unknown field, and when nothing would change; ConsentError for a subject
    that was erased.
    """
    if subject.erased_at is not None:
        raise ConsentError(f"Subject {subject.code} was erased; nothing more is kept of it")
    unknown = sorted({*said, *cleared} - set(FIELDS))
    if unknown or set(said) & set(cleared):
        raise RecordError(f"What can be put right is {', '.join(FIELDS)}, each to a value or to nothing")
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())
    tx.refresh(subject)
    wanted = {name: getattr(subject, name) for name in FIELDS} | dict(said) | dict.fromkeys(cleared)
    age, gender, job = check_said(wanted["age"], wanted["gender"], wanted["job"])
    now, changed = utc_now(), []
    for name, after in zip(FIELDS, (age, gender, job), strict=True):
        before = getattr(subject, name)
        if before != after:
            tx.add(SubjectChange(subject_id=subject.id, field=name, before=_text(before), changed_at=now))
            setattr(subject, name, after)
            changed.append(name)
    if not changed:
        raise RecordError(f"{subject.code} says that already; nothing was changed")
    tx.flush()
    # Which fields, and never what they say: the log outlives an erasure.
    audit_log.record(tx, "subject.edit", "subject", subject.code, {"fields": changed, "at": now.isoformat()})
    if "age" in changed:
        _tell_children(tx, subject, rules, told)
    return tuple(changed)


def changes_of(tx: Session, subject: Subject) -> list[SubjectEdit]:
    """All that was put right, oldest first."""
    query = select(SubjectChange).where(SubjectChange.subject_id == subject.id).order_by(SubjectChange.id)
    now: dict[str, str | None] = {name: _text(getattr(subject, name)) for name in FIELDS}
    found = []
    for row in reversed(tx.scalars(query).all()):
        found.append(SubjectEdit(row.field, row.before, now[row.field], row.changed_at))
        now[row.field] = row.before
    return found[::-1]


def _tell_children(tx: Session, subject: Subject, rules: ConsentRules, told: Told) -> None:
    for consent in subject.consents:
        ages = age_between(tx, subject, consent.given_on)
        if ages is None or consent.withdrawn_at is not None or consent.guardian or ages[0] >= rules.age_of_consent:
            continue
        told(
            f"By this age {subject.code} may have been {max(ages[0], 0)} when it signed for {consent.scope} on"
            f" {consent.given_on}, and no guardian did: withdraw that consent, and record one with --guardian"
        )


def _text(value: int | Gender | str | None) -> str | None:
    return None if value is None else str(value)
