"""What makes a consent one: a day on which it can have been signed, a form that says something, a person who may sign.

db.subjects.give_consent asks here, whoever records the consent and by whatever way. What cannot be is refused with
ConsentError; what may be, and is odd, is told.
"""

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import utc_now
from db.errors import ConsentError, RecordError
from db.models import Consent, ConsentScope, Subject, SubjectChange

Told = Callable[[str], None]

EARLIEST = date(1990, 1, 1)
AGE_OF_CONSENT = 18
YEAR_DAYS = 365.2425
VERSION_LETTERS, REASON_LETTERS, JOB_LETTERS = 32, 200, 100
LARGEST_FORM_BYTES = 256 << 20
_EMPTY_FORM = hashlib.sha256(b"").hexdigest()
_BLANK = b" \t\r\n\f\v\0"
_BLOCK = 1 << 20
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Unicode's categories


@dataclass(frozen=True)
class ConsentRules:
    """What a studio demands."""

    earliest: date = EARLIEST  # no form of it can be older
    age_of_consent: int = AGE_OF_CONSENT  # years from which one signs alone


RULES = ConsentRules()


@dataclass(frozen=True)
class SignedForm:
    """What was signed, as it was handed in."""

    document_sha256: str | None = None
    form_version: str | None = None
    guardian: bool = False  # somebody signed for the subject who may; who is not kept
    shared_form: str | None = None  # why others' consents may name the same form


def hash_form(path: Path) -> str:
    """SHA-256 of a signed form. Raises ConsentError for what is no file, cannot be read, or says nothing."""
    name = words_shown(str(path))
    try:
        # A pipe that nobody writes to would be waited for without an end.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise ConsentError(f"The signed form {name} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a zero byte in its name
        raise ConsentError(f"The signed form {name} cannot be read: no file has such a name") from error
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode):
        os.close(opened)
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no file"
        raise ConsentError(f"The signed form {name} is {kind}: give the scan of the form itself")
    with os.fdopen(opened, "rb") as file:
        if found.st_size > LARGEST_FORM_BYTES:
            raise ConsentError(f"The signed form {name} has {found.st_size / 1e6:.0f} MB: is that the form?")
        try:
            digest, says_something = _read_form(file)
        except OSError as error:
            raise ConsentError(f"The signed form {name} cannot be read: {error.strerror}") from error
    if not says_something:
        raise ConsentError(f"The signed form {name} is empty: nothing was signed there")
    return digest


def _read_form(file: IO[bytes]) -> tuple[str, bool]:
    digest, says_something = hashlib.sha256(), False
    while block := file.read(_BLOCK):
        digest.update(block)
        says_something = says_something or bool(block.strip(_BLANK))
    return digest.hexdigest(), says_something


def check_consent(
    tx: Session,
    subject: Subject,
    scope: ConsentScope,
    given_on: object,
    signed: SignedForm,
    rules: ConsentRules,
    told: Told,
) -> tuple[date, SignedForm]:
    """The consent as it is recorded. Raises ConsentError; `told` hears what is odd about it."""
    if subject.erased_at is not None:
        raise ConsentError(f"Subject {subject.code} was erased; whoever takes part again is a new subject")
    day = _day(subject, scope, given_on, rules)
    signed = _form(signed)
    if scope is ConsentScope.EYES_MOSAICKED and not _is_open(subject, ConsentScope.PUBLICATION):
        raise ConsentError(
            f"eyes_mosaicked says how pictures of {subject.code} may be shown: it needs an open consent for publication"
        )
    _who_signed(tx, subject, day, signed, rules, told)
    _withdrawn_before(subject, scope, day, signed, told)
    if signed.document_sha256 is not None:
        _form_of_others(tx, subject, signed)
    return day, signed


def latest_day(now: datetime | None = None) -> date:
    """Today where it is latest on Earth: no day after it is today anywhere."""
    return ((now or utc_now()).astimezone(UTC) + timedelta(hours=14)).date()


def words(text: str, what: str, most: int) -> str:
    """Text that somebody typed, without blanks around it.

    Raises RecordError when it is longer than `most` letters, or has anything that steers a terminal or shows nothing.
    """
    said = text.strip()
    if len(said) > most:
        raise RecordError(f"{what} has {len(said)} letters; {most} at most")
    if any(unicodedata.category(letter) in _UNSHOWN for letter in said):
        raise RecordError(f"{what} has letters that no page shows (control characters): leave them out")
    return said


def words_shown(text: str) -> str:
    """Text from elsewhere, safe on a terminal."""
    return "".join(letter if unicodedata.category(letter) not in _UNSHOWN else "?" for letter in text)


def _day(subject: Subject, scope: ConsentScope, given_on: object, rules: ConsentRules) -> date:
    if not isinstance(given_on, date):
        raise ConsentError(f"A consent of {subject.code} for {scope} lacks the day on which it was signed")
    day = given_on.date() if isinstance(given_on, datetime) else given_on
    if day < rules.earliest:
        raise ConsentError(
            f"{day} is before {rules.earliest}, from when this studio has consents: which year was it signed?"
            " (earliest_consent in [records] of studio.toml)"
        )
    if day > latest_day():
        raise ConsentError(f"{day} is in the future: a consent is recorded when it has been signed")
    return day


def _form(signed: SignedForm) -> SignedForm:
    document, version = signed.document_sha256, signed.form_version
    if document is not None:
        if not (len(document) == 64 and set(document) <= set("0123456789abcdef")):
            raise ConsentError(
                f"'{words_shown(document[:80])}' is not a SHA-256 of the signed document (64 lower-case hex digits)"
            )
        if document == _EMPTY_FORM:
            raise ConsentError("The signed form is empty: nothing was signed there")
    if version is not None:
        version = _consent_words(version, "The version of the form that was signed", VERSION_LETTERS)
    reason = signed.shared_form
    if reason is not None:
        reason = _consent_words(reason, "The reason why a form is several people's", REASON_LETTERS)
    return SignedForm(document, version, bool(signed.guardian), reason)


def _consent_words(text: str, what: str, most: int) -> str:
    try:
        said = words(text, what, max(most, len(text)))
    except RecordError as error:
        raise ConsentError(str(error)) from error
    if not 0 < len(said) <= most:
        raise ConsentError(f"{what} has 1 to {most} characters{', as in 2026-01' if most == VERSION_LETTERS else ''}")
    return said


def _is_open(subject: Subject, scope: ConsentScope) -> bool:
    return any(consent.scope == scope and consent.withdrawn_at is None for consent in subject.consents)


def age_between(tx: Session, subject: Subject, day: date) -> tuple[int, int] | None:
    """The subject's least and greatest age on `day`, in years, by the age that it said; None when it said none.

    Negative: it was not born. The two differ because an age is said, not a birthday.
    """
    if subject.age is None:
        return None
    changed = select(func.max(SubjectChange.changed_at)).where(
        SubjectChange.subject_id == subject.id, SubjectChange.field == "age"
    )
    said_on = (tx.scalar(changed) or subject.created_at).date()
    if day >= said_on:  # older since, perhaps: the age that was said is a floor
        least = subject.age + int(max(0, (day - said_on).days - 1) / YEAR_DAYS)
        return least, max(least, subject.age + int((day - said_on).days / YEAR_DAYS) + (day > said_on))
    years = (said_on - day).days / YEAR_DAYS
    youngest = subject.age - years  # its birthday was on the day it spoke
    return int(youngest // 1), int((youngest + 1 - 1e-6) // 1)


def _who_signed(tx: Session, subject: Subject, day: date, signed: SignedForm, rules: ConsentRules, told: Told) -> None:
    ages = age_between(tx, subject, day)
    code, grown = subject.code, rules.age_of_consent
    if ages is None:
        if not signed.guardian:
            told(
                f"{code} did not say its age: make sure that it is {grown} or over. Record it with mien subject edit"
                f" {code} --age YEARS; for a child a guardian signs (--guardian)"
            )
        return
    least, most = ages
    if most < 0:
        raise ConsentError(
            f"{code} was not born on {day}, by the age that it said: which is wrong, the day or the age?"
        )
    if signed.guardian:
        return
    if most < grown:
        raise ConsentError(
            f"{code} was {most} or younger on {day}, and signs alone from {grown}: a guardian's consent is needed"
            " (--guardian records that a guardian signed; who, stays on the form)"
        )
    if least < grown:
        told(f"{code} may have been {least} on {day}: under {grown} a guardian signs too (--guardian)")


def _withdrawn_before(subject: Subject, scope: ConsentScope, day: date, signed: SignedForm, told: Told) -> None:
    earlier: Sequence[Consent] = [c for c in subject.consents if c.scope == scope and c.withdrawn_at is not None]
    for consent in earlier:
        assert consent.withdrawn_at is not None
        ended = consent.withdrawn_at.date()
        same = signed.document_sha256 is not None and consent.document_sha256 == signed.document_sha256
        if same:
            raise ConsentError(
                f"{subject.code} withdrew this very form for {scope} on {ended}: who consents again signs again"
            )
    if earlier and day < max(c.withdrawn_at for c in earlier if c.withdrawn_at).date():
        told(f"{subject.code} withdrew {scope} after {day}: is this a form that was signed since?")


def _form_of_others(tx: Session, subject: Subject, signed: SignedForm) -> None:
    assert signed.document_sha256 is not None
    if tx.get_bind().dialect.name == "postgresql":  # two at once with one form: the second sees the first's row
        tx.execute(select(func.pg_advisory_xact_lock(int(signed.document_sha256[:15], 16))))
    query = (
        select(Subject.id, Subject.code, Consent.form_version)
        .join(Consent, Consent.subject_id == Subject.id)
        .where(Consent.document_sha256 == signed.document_sha256)
        .order_by(Consent.id)
    )
    for number, code, version in tx.execute(query):
        if version is not None and signed.form_version is not None and version != signed.form_version:
            raise ConsentError(
                f"This signed form is recorded for {code} as version '{words_shown(version)}', not"
                f" '{signed.form_version}': which text was signed?"
            )
        if number != subject.id and signed.shared_form is None:
            raise ConsentError(
                f"This signed form is {code}'s: is it the right file? Where one form is truly signed by several people,"
                f" say why: --shared-form REASON"
            )
