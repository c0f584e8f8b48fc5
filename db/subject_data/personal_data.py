"""Who a subject is, for the studio that must reach it: optional, apart, and encrypted at rest.

Everything else in Mien knows a subject by its code alone. What is kept here is sealed with Fernet (AES-128 in CBC with
HMAC-SHA256, of the package cryptography) under a key from the environment, so that a copy of the database tells nobody:

    mien subject personal new-key --to FILE        # and then: export MIEN_PERSONAL_KEY_FILE=FILE

MIEN_PERSONAL_KEY holds the key itself, MIEN_PERSONAL_KEY_FILE the name of a file with it that is its owner's alone.
Several keys, separated by commas or lines: the first seals, all of them open. So keys are changed by putting a new one
in front, `mien subject personal rekey`, and taking the old one away.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import select
from sqlalchemy.orm import Session

from common.files.secret_files import NoSecret, read_secret, write_secret
from db.audit import audit_log
from db.engine import utc_now
from db.errors import NotFound, PersonalDataError, PersonalKeyError
from db.models import Personal, Recipient, Subject

KEY = "MIEN_PERSONAL_KEY"
KEY_FILE = "MIEN_PERSONAL_KEY_FILE"
FIELDS = ("name", "born", "email", "phone", "address", "note")
_HOW = "make one with `mien subject personal new-key --to FILE` and keep it where the database is not"
_LARGEST_KEY_FILE = 64 << 10


def new_key() -> str:
    """A key for MIEN_PERSONAL_KEY."""
    return Fernet.generate_key().decode()


def write_new_key(path: Path) -> None:
    """Make a key in a file of its own, for its owner's eyes alone. Raises PersonalKeyError when there is a file."""
    try:
        write_secret(path, new_key() + "\n")
    except FileExistsError:
        raise PersonalKeyError(
            f"{path} is there already: a key that is written over is lost with what it seals"
        ) from None
    except OSError as error:
        raise PersonalKeyError(f"{path} cannot be written: {error.strerror}") from error


def keep_personal(tx: Session, subject: Subject, data: Mapping[str, str], *, replace: bool = False) -> None:
    """Seal what is known of a subject, with what was there; fields that are empty stay as they were.

    replace: in place of all that was there. Raises PersonalKeyError without a key or with another than what is there
    was sealed with, PersonalDataError for an unknown field (never with its value) and for a subject that was erased.
    """
    unknown = sorted(set(data) - set(FIELDS))
    if unknown:
        raise PersonalDataError(f"There is a field that is none of {', '.join(FIELDS)}")
    if subject.erased_at is not None:
        raise PersonalDataError(f"Subject {subject.code} was erased; nothing more is kept of it")
    said = {name: text.strip() for name, text in data.items() if text.strip()}
    if not said:
        raise PersonalDataError(f"Nothing was said of {subject.code}; to remove it: mien subject personal remove")
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())  # two who add: both are kept
    row = None if replace else tx.get(Personal, subject.id, populate_existing=True)
    kept = {} if row is None else _unsealed(_keys(), row, subject)
    _seal(tx, subject, {**kept, **said})
    audit_log.record(tx, "personal.keep", "subject", subject.code, {"fields": sorted(said), "replace": replace})


def personal_of(tx: Session, subject: Subject) -> dict[str, str]:
    """What is known of a subject, by field; that somebody looked is in the audit log.

    Raises NotFound when nothing is, PersonalKeyError without the key that it was sealed with.
    """
    row = _row(tx, subject)
    found = _unsealed(_keys(), row, subject)
    audit_log.record(tx, "personal.read", "subject", subject.code)
    return found


def has_personal(tx: Session, subject: Subject) -> bool:
    """Whether anything personal is kept of a subject; needs no key."""
    return tx.scalar(select(Personal.subject_id).where(Personal.subject_id == subject.id)) is not None


def forget_personal(tx: Session, subject: Subject, fields: Collection[str] = ()) -> None:
    """Remove what is known of a subject, which needs no key, or some fields of it alone. Raises NotFound.

    Raises PersonalDataError for a field that is none or was never said; the last one is removed with all.
    """
    row = _row(tx, subject)
    if not fields:
        tx.delete(row)
        audit_log.record(tx, "personal.forget", "subject", subject.code)
        return
    tx.execute(select(Subject.id).where(Subject.id == subject.id).with_for_update())
    tx.refresh(row)
    kept = _unsealed(_keys(), row, subject)
    if not set(fields) <= set(FIELDS):
        raise PersonalDataError(f"There is a field that is none of {', '.join(FIELDS)}")
    missing = sorted(set(fields) - set(kept))
    if missing:
        raise PersonalDataError(f"Of {subject.code} is not kept: {', '.join(missing)}")
    if set(fields) == set(kept):
        tx.delete(row)
    else:
        _seal(tx, subject, {name: text for name, text in kept.items() if name not in fields})
    audit_log.record(tx, "personal.forget", "subject", subject.code, {"fields": sorted(set(fields))})


def rekey_personal(tx: Session) -> int:
    """Seal everything anew with the first key; how many subjects. Raises PersonalKeyError when one does not open."""
    keys, count = _keys(), 0
    for row, code in tx.execute(select(Personal, Subject.code).join(Subject, Subject.id == Personal.subject_id)).all():
        row.sealed = keys.encrypt(_open(keys, row.sealed, code)).decode()
        count += 1
    for recipient in tx.scalars(select(Recipient).where(Recipient.contact.is_not(None))):
        recipient.contact = seal(unseal(recipient.contact or "", recipient.code))
    audit_log.record(tx, "personal.rekey", "personal", "all", {"subjects": count})
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


def _seal(tx: Session, subject: Subject, known: Mapping[str, str]) -> None:
    # The code is sealed with it: a row that was moved to another subject does not open.
    plain = json.dumps({"code": subject.code, **known}, ensure_ascii=False)
    sealed = _keys().encrypt(plain.encode()).decode()
    tx.merge(Personal(subject_id=subject.id, sealed=sealed, changed_at=utc_now()))


def _unsealed(keys: MultiFernet, row: Personal, subject: Subject) -> dict[str, str]:
    found = json.loads(_open(keys, row.sealed, subject.code))
    if found.pop("code") != subject.code:
        raise PersonalDataError(
            f"What is kept under {subject.code} was sealed for another subject; rows were exchanged"
        )
    return dict(found)


def _keys() -> MultiFernet:
    named, text = KEY, os.environ.get(KEY, "")
    if not text.strip(" ,\n"):
        path = os.environ.get(KEY_FILE)
        if not path:
            raise PersonalKeyError(f"{KEY} is not set, nor {KEY_FILE}, and personal data is sealed with it: {_HOW}")
        named, text = KEY_FILE, _key_file(Path(path))
    written = [key.strip() for key in text.replace("\n", ",").split(",") if key.strip()]
    try:
        return MultiFernet([Fernet(key) for key in written])
    except ValueError:
        raise PersonalKeyError(f"{named} holds something that is no key (32 bytes in base64): {_HOW}") from None


def _key_file(path: Path) -> str:
    """What the file says. Raises PersonalKeyError when it is not there, or others may read it."""
    try:
        return read_secret(path, _LARGEST_KEY_FILE, follow=True).decode("ascii", "replace")
    except OSError as error:
        raise PersonalKeyError(f"{KEY_FILE}: {path} cannot be read: {error.strerror}") from error
    except NoSecret as error:
        match error.fault:
            case "open":
                why = f"others may read {path}: chmod 600 it, and change the key if they did"
            case "size":
                why = f"{path} is no file with a key"
            case _:
                why = f"{path} is no file"
        raise PersonalKeyError(f"{KEY_FILE}: {why}") from None


def _open(keys: MultiFernet, sealed: str, code: str) -> bytes:
    try:
        return keys.decrypt(sealed)
    except InvalidToken:
        raise PersonalKeyError(
            f"What is kept of {code} does not open with {KEY}: it was sealed with another key, or changed"
        ) from None
