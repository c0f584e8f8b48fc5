"""Who a subject is, for the studio that must reach it: optional, apart, and encrypted at rest.

Everything else in Mien knows a subject by its code alone. What is kept here is sealed with Fernet (AES-128 in CBC with
HMAC-SHA256, of the package cryptography) under a key from the environment, so that a copy of the database tells nobody:

    export MIEN_PERSONAL_KEY=$(mien subject personal new-key)

Several keys, separated by commas: the first seals, all of them open. So keys are changed by putting a new one in front,
`mien subject personal rekey`, and taking the old one away.
"""

import json
import os
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit
from db.engine import utc_now
from db.errors import NotFound, PersonalDataError, PersonalKeyError
from db.models import Personal, Recipient, Subject

KEY = "MIEN_PERSONAL_KEY"
FIELDS = ("name", "born", "email", "phone", "address", "note")
_HOW = "make one with `mien subject personal new-key` and keep it where the database is not"


def new_key() -> str:
    """A key for MIEN_PERSONAL_KEY."""
    return Fernet.generate_key().decode()


def keep_personal(tx: Session, subject: Subject, data: Mapping[str, str]) -> None:
    """Seal what is known of a subject, in place of what was there. Empty fields are left out.

    Raises PersonalKeyError without a key, PersonalDataError for an unknown field (never with its value) and for a
    subject that was erased.
    """
    unknown = sorted(set(data) - set(FIELDS))
    if unknown:
        raise PersonalDataError(f"There is a field that is none of {', '.join(FIELDS)}")
    if subject.erased_at is not None:
        raise PersonalDataError(f"Subject {subject.code} was erased; nothing more is kept of it")
    said = {name: text.strip() for name, text in data.items() if text.strip()}
    if not said:
        raise PersonalDataError(f"Nothing was said of {subject.code}; to remove it: mien subject personal remove")
    # The code is sealed with it: a row that was moved to another subject does not open.
    plain = json.dumps({"code": subject.code, **said}, ensure_ascii=False)
    sealed = _keys().encrypt(plain.encode()).decode()
    tx.merge(Personal(subject_id=subject.id, sealed=sealed, changed_at=utc_now()))
    audit.record(tx, "personal.keep", "subject", subject.code, {"fields": sorted(said)})


def personal_of(tx: Session, subject: Subject) -> dict[str, str]:
    """What is known of a subject, by field; that somebody looked is in the audit log.

    Raises NotFound when nothing is, PersonalKeyError without the key that it was sealed with.
    """
    row = _row(tx, subject)
    found = json.loads(_open(_keys(), row.sealed, subject.code))
    if found.pop("code") != subject.code:
        raise PersonalDataError(
            f"What is kept under {subject.code} was sealed for another subject; rows were exchanged"
        )
    audit.record(tx, "personal.read", "subject", subject.code)
    return dict(found)


def forget_personal(tx: Session, subject: Subject) -> None:
    """Remove what is known of a subject; needs no key. Raises NotFound."""
    tx.delete(_row(tx, subject))
    audit.record(tx, "personal.forget", "subject", subject.code)


def rekey_personal(tx: Session) -> int:
    """Seal everything anew with the first key; how many subjects. Raises PersonalKeyError when one does not open."""
    keys, count = _keys(), 0
    for row, code in tx.execute(select(Personal, Subject.code).join(Subject, Subject.id == Personal.subject_id)).all():
        row.sealed = keys.encrypt(_open(keys, row.sealed, code)).decode()
        count += 1
    for recipient in tx.scalars(select(Recipient).where(Recipient.contact.is_not(None))):
        recipient.contact = seal(unseal(recipient.contact or "", recipient.code))
    audit.record(tx, "personal.rekey", "personal", "all", {"subjects": count})
    return count


def seal(plain: str) -> str:
    """Text sealed with the first key, for what else is personal in the records. Raises PersonalKeyError."""
    return _keys().encrypt(plain.encode()).decode()


def unseal(sealed: str, of: str) -> str:
    """What `seal` sealed. of: whose it is, by code, for the message. Raises PersonalKeyError."""
    return _open(_keys(), sealed, of).decode()


def _row(tx: Session, subject: Subject) -> Personal:
    row = tx.get(Personal, subject.id)
    if row is None:
        raise NotFound(f"Nothing personal is kept of {subject.code}")
    return row


def _keys() -> MultiFernet:
    written = [key.strip() for key in os.environ.get(KEY, "").split(",") if key.strip()]
    if not written:
        raise PersonalKeyError(f"{KEY} is not set, and personal data is sealed with it: {_HOW}")
    try:
        return MultiFernet([Fernet(key) for key in written])
    except ValueError:
        raise PersonalKeyError(f"{KEY} holds something that is no key (32 bytes in base64): {_HOW}") from None


def _open(keys: MultiFernet, sealed: str, code: str) -> bytes:
    try:
        return keys.decrypt(sealed)
    except InvalidToken:
        raise PersonalKeyError(
            f"What is kept of {code} does not open with {KEY}: it was sealed with another key, or changed"
        ) from None
