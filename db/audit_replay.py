"""The log is told again and held against the rows: who takes part, what was consented to, withdrawn, erased, put right.

The chain proves that nobody changed the log. Here it is asked whether somebody changed the rows behind its back: a date
that was moved, a consent that was opened again, removed, or never given by any act that the log knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.consents.consent_rules import words_shown
from db.models import AuditEvent, Consent, Subject, SubjectChange, Take, TakeWithdrawal

ACTS = ("subject.add", "consent.give", "consent.withdraw", "subject.erase.begin", "subject.edit")
TAKE_ACTS = ("take.withdraw", "take.erase.begin")
# Logs of older versions do not say when exactly a consent was closed, only when that was written.
_WRITTEN_WITHIN = timedelta(minutes=10)
_SAME = timedelta(milliseconds=1)


class ReplayDifference(NamedTuple):
    """A consent in the records."""

    id: int
    given_on: str
    document: str | None
    form: str | None
    guardian: bool
    shared_form: bool
    recorded_at: datetime
    withdrawn_at: datetime | None


@dataclass
class ReplayedState:
    """A consent as the log tells of it."""

    said: Mapping[str, Any]
    written: datetime
    withdrawn: datetime | None = None  # when that was written
    at: str | None = None  # when it was closed, where it says so


@dataclass
class _Person:
    added: bool = False
    erased: bool = False
    edits: dict[str, int] = field(default_factory=dict)
    consents: dict[str, list[ReplayedState]] = field(default_factory=dict)  # by scope


def one_snapshot(tx: Session) -> None:
    """Let a reading transaction that has not begun see one moment throughout; SQLite's do anyway."""
    if tx.get_bind().dialect.name == "postgresql":
        tx.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def differences(tx: Session) -> list[str]:
    """What the rows say otherwise than the log, in words; empty: they agree."""
    people, found = _told(tx)
    rows = _rows(tx)
    codes: dict[str, tuple[int, bool]] = {
        code: (number, erased is not None)
        for number, code, erased in tx.execute(select(Subject.id, Subject.code, Subject.erased_at))
    }
    counted = select(SubjectChange.subject_id, SubjectChange.field, func.count())
    changes: dict[int, dict[str, int]] = {}
    for number, name, count in tx.execute(counted.group_by(SubjectChange.subject_id, SubjectChange.field)):
        changes.setdefault(number, {})[name] = count
    for code in sorted({*people, *codes}):
        if code not in codes:
            found.append(f"the log tells of {_name(code)}, and the records have no such subject")
            continue
        number, erased = codes[code]
        person = people.get(code, _Person())
        found += _of_subject(code, person, erased, rows.get(number, {}), changes.get(number, {}))
    nobodys = len(set(rows) - {number for number, _ in codes.values()})
    if nobodys:
        found.append(f"there are consents of {nobodys} subjects that the records do not have")
    return found + list(_of_takes(tx))


def _told(tx: Session) -> tuple[dict[str, _Person], list[str]]:
    people: dict[str, _Person] = {}
    odd: list[str] = []
    columns = (AuditEvent.id, AuditEvent.at, AuditEvent.action, AuditEvent.about_id, AuditEvent.detail)
    query = select(*columns).where(AuditEvent.about_kind == "subject", AuditEvent.action.in_(ACTS))
    with closing(tx.execute(query.order_by(AuditEvent.id).execution_options(yield_per=1000))) as entries:
        for entry, at, action, code, said in entries:
            detail: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
            person = people.setdefault(code, _Person())
            match action:
                case "subject.add":
                    person.added = True
                case "subject.erase.begin":
                    person.erased = True
                case "subject.edit":
                    for name in detail.get("fields", ()):
                        person.edits[name] = person.edits.get(name, 0) + 1
                case "consent.give":
                    person.consents.setdefault(str(detail.get("scope")), []).append(ReplayedState(detail, at))
                case _:
                    given = person.consents.get(str(detail.get("scope")), [])
                    if not given or given[-1].withdrawn is not None:
                        odd.append(f"entry {entry} withdraws a consent of {_name(code)} that the log does not know")
                        continue
                    given[-1].withdrawn, given[-1].at = at, detail.get("at")
    return people, odd


def _rows(tx: Session) -> dict[int, dict[str, list[ReplayDifference]]]:
    columns = (
        Consent.subject_id, Consent.scope, Consent.id, Consent.given_on, Consent.document_sha256, Consent.form_version,
        Consent.guardian, Consent.shared_reason, Consent.recorded_at, Consent.withdrawn_at,
    )  # fmt: skip
    rows: dict[int, dict[str, list[ReplayDifference]]] = {}
    for subject, scope, number, day, document, form, guardian, shared, recorded, withdrawn in tx.execute(
        select(*columns).order_by(Consent.id)
    ):
        row = ReplayDifference(
            number, day.isoformat(), document, form, guardian, shared is not None, recorded, withdrawn
        )
        rows.setdefault(subject, {}).setdefault(str(scope), []).append(row)
    return rows


def _of_subject(
    code: str, person: _Person, erased: bool, rows: Mapping[str, Sequence[ReplayDifference]], changes: Mapping[str, int]
) -> Iterator[str]:
    if not person.added:
        yield f"no entry of the log added {_name(code)}"
    if erased != person.erased:
        yield f"{_name(code)}'s row says that it was {'' if erased else 'not '}erased, and the log says the contrary"
    for scope in sorted({*person.consents, *rows}):
        what = f"{_name(code)}'s consent to {_name(scope)}"
        yield from _of_scope(what, person.consents.get(scope, []), rows.get(scope, []))
    if not erased:
        for name in sorted({*person.edits, *changes}):
            told, kept = person.edits.get(name, 0), changes.get(name, 0)
            if told != kept:
                what = f"{_name(code)}'s {_name(name)} was put right {told} times by the log"
                yield f"{what}, and what it said before is kept {kept} times"


def _of_scope(what: str, told: Sequence[ReplayedState], rows: Sequence[ReplayDifference]) -> Iterator[str]:
    for number in range(max(len(told), len(rows))):
        if number >= len(rows):
            yield f"{what}, given on {_name(told[number].said.get('given_on'))} by the log, is not in the records"
        elif number >= len(told):
            yield f"{what}, given on {rows[number].given_on}, was recorded by no entry of the log"
        else:
            yield from _of_consent(what, told[number], rows[number])


def _of_consent(what: str, told: ReplayedState, row: ReplayDifference) -> Iterator[str]:
    for key in ("given_on", "document", "form", "guardian", "shared_form"):
        if key in told.said and told.said[key] != getattr(row, key):  # older logs do not say everything
            yield f"{what}: its {_WORDS[key]} is {_name(getattr(row, key))}, the log says {_name(told.said[key])}"
    if abs(row.recorded_at - told.written) > _WRITTEN_WITHIN:
        yield f"{what}: recorded {row.recorded_at:%Y-%m-%d %H:%M} by its row, {told.written:%Y-%m-%d %H:%M} by the log"
    if told.withdrawn is None and row.withdrawn_at is not None:
        yield f"{what} is closed, and no entry of the log withdrew it"
    elif told.withdrawn is not None and row.withdrawn_at is None:
        yield f"{what} is open, and the log says that it was withdrawn on {told.withdrawn:%Y-%m-%d}"
    elif told.withdrawn is not None and row.withdrawn_at is not None:
        when, within = (told.withdrawn, _WRITTEN_WITHIN) if told.at is None else (_time(told.at), _SAME)
        if when is None or abs(row.withdrawn_at - when) > within:
            times = f"{row.withdrawn_at:%Y-%m-%d %H:%M} by its row, {told.withdrawn:%Y-%m-%d %H:%M} by the log"
            yield f"{what}: withdrawn {times}"


_WORDS = {
    "given_on": "day", "document": "signed form", "form": "version of the form", "guardian": "guardian's signature",
    "shared_form": "reason for a shared form",
}  # fmt: skip


def _of_takes(tx: Session) -> Iterator[str]:
    query = select(AuditEvent.about_id, AuditEvent.action).where(
        AuditEvent.about_kind == "take", AuditEvent.action.in_(TAKE_ACTS)
    )
    told: dict[str, set[str]] = {}
    for code, action in tx.execute(query):
        told.setdefault(code, set()).add(action)
    withdrawn = select(Take.code, TakeWithdrawal.erasure_id).join(TakeWithdrawal, TakeWithdrawal.take_id == Take.id)
    rows: dict[str, bool] = {code: erasure is not None for code, erasure in tx.execute(withdrawn)}
    for code in sorted({*told, *rows}):
        if code not in rows:
            yield f"the log says that take {_name(code)} was withdrawn, and the records do not"
        elif code not in told:
            yield f"take {_name(code)} is withdrawn, and no entry of the log says so"
        elif rows[code] != ("take.erase.begin" in told[code]):
            yield f"take {_name(code)}: the log and the records do not agree whether it was erased"


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _name(value: object) -> str:
    """Anything from the database, safe and short enough to print."""
    return "nothing" if value is None else words_shown(str(value))[:80]
