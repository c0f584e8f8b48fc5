"""Recipients of releases and the licences that they signed.

A recipient is a code everywhere (R001): in audit entries, logs, file names. Its institution is kept as it signed; the
contact, a person's name and e-mail address, is sealed by db.subject_data.personal_data. Both can be removed; what it
holds stays known.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from email.errors import MessageError
from email.headerregistry import Address

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.engine import utc_now
from db.errors import NotFound, PersonalDataError, RecordError, StateConflict
from db.models import Grant, Recipient, SignedLicence
from db.subject_data.personal_data import seal, unseal

_CODE = re.compile(r"([RGN])0*([1-9]\d{0,8})", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\]{1,189}\.[^\s@<>,;:\"()\[\]\\.]{2,}")
FIELDS = ("name", "email")
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Contact:
    """The person to write to."""

    #: As they sign.
    name: str
    #: Their address.
    email: str


def number_of(code: str, letter: str) -> int:
    """'R012' -> 12. Raises NotFound for what is no code of this kind."""
    found = _CODE.fullmatch(code.strip())
    if found is None or found[1].upper() != letter:
        kind = {"R": "recipient (R001)", "G": "grant (G001)", "N": "notice (N001)"}[letter]
        raise NotFound(f"{code[:20]!r} is no code of a {kind}; see: mien release holders")
    return int(found[2])


def add_recipient(tx: Session, institution: str, contact: Mapping[str, str] | None = None) -> Recipient:
    """A new recipient. contact: name and email. Raises RecordError, PersonalDataError, PersonalKeyError."""
    institution = _one_line(institution, "The institution", 200)
    recipient = Recipient(institution=institution, created_at=utc_now())
    tx.add(recipient)
    tx.flush()
    audit_log.record(tx, "recipient.add", "recipient", recipient.code)
    if contact:
        keep_contact(tx, recipient, contact)
    return recipient


def get_recipient(tx: Session, code: str) -> Recipient:
    """Raises NotFound."""
    found = tx.get(Recipient, number_of(code, "R"))
    if found is None:
        raise NotFound(f"No recipient {code[:20]}; see: mien release holders, or mien release recipient add")
    return found


def list_recipients(tx: Session) -> list[Recipient]:
    """All, oldest first."""
    return list(tx.scalars(select(Recipient).order_by(Recipient.id)))


def keep_contact(tx: Session, recipient: Recipient, contact: Mapping[str, str]) -> None:
    """Seal whom to write to, in place of whom there was.

    Raises PersonalDataError (never with a value) for other fields and for an address that is none, PersonalKeyError
    without a key.
    """
    if set(contact) - set(FIELDS):
        raise PersonalDataError(f"A contact has {' and '.join(FIELDS)} and nothing else")
    name, email = contact.get("name", "").strip(), contact.get("email", "").strip()
    if not is_address(email):
        raise PersonalDataError(f"The e-mail address of {recipient.code}'s contact is none")
    if len(name) > 100 or not name.isprintable():
        raise PersonalDataError(f"The name of {recipient.code}'s contact is longer than 100 signs, or no plain text")
    # The code is sealed with it: a row that was moved to another recipient does not open.
    plain = json.dumps({"code": recipient.code, "name": name, "email": email}, ensure_ascii=False)
    recipient.contact = seal(plain)
    audit_log.record(tx, "recipient.contact", "recipient", recipient.code)


def is_address(text: str) -> bool:
    """Whether an e-mail can be written to it: one address, without a name."""
    try:
        Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        return False
    return _ADDRESS.fullmatch(text) is not None


def contact_of(tx: Session, recipient: Recipient) -> Contact | None:
    """Whom to write to; None when nobody is kept. That somebody looked is in the audit log. Raises PersonalKeyError."""
    if recipient.contact is None:
        return None
    found = json.loads(unseal(recipient.contact, recipient.code))
    if found.pop("code") != recipient.code:
        raise PersonalDataError(f"What is kept of {recipient.code} was sealed for another; rows were exchanged")
    audit_log.record(tx, "recipient.contact.read", "recipient", recipient.code)
    return Contact(found["name"], found["email"])


def forget_recipient(tx: Session, recipient: Recipient, *, institution: bool = False) -> None:
    """Remove the contact, and the institution too when asked; needs no key. What it holds stays in the ledger.

    Raises StateConflict for an institution that may still fetch.
    """
    if institution:
        live = select(Grant).where(Grant.recipient_id == recipient.id, Grant.revoked_at.is_(None))
        open_grants = [grant.code for grant in tx.scalars(live) if grant.expires_at > utc_now()]
        if open_grants:
            raise StateConflict(
                f"{recipient.code} may still fetch under {', '.join(open_grants)}; first: mien release revoke"
            )
        recipient.institution = None
        recipient.forgotten_at = utc_now()
    recipient.contact = None
    audit_log.record(tx, "recipient.forget", "recipient", recipient.code, {"institution": institution})


def accept_licence(
    tx: Session,
    recipient: Recipient,
    release_name: str,
    *,
    text_sha256: str,
    text_version: str,
    document_sha256: str,
    signed_on: date,
) -> SignedLicence:
    """A licence's text that the recipient signed, accepted by whoever acts; the same again changes nothing.

    Raises RecordError for a day that is to come and for a document that is none; StateConflict where this text was
    accepted by another document or day, and where the document is somebody else's or another text's.
    """
    if signed_on > utc_now().date():
        raise RecordError(f"The licence is signed on {signed_on.isoformat()}, which is still to come")
    if signed_on.year < 2000:
        raise RecordError(f"The licence is signed on {signed_on.isoformat()}: is that the year?")
    if document_sha256 in (text_sha256, _NOTHING):
        raise RecordError("The signed document is empty, or the licence's text as it is, which nobody has signed")
    text_version = _one_line(text_version, "The licence's version", 32)
    same = select(SignedLicence).where(SignedLicence.document_sha256 == document_sha256)
    for other in tx.scalars(same):
        if (other.recipient_id, other.text_sha256) != (recipient.id, text_sha256):
            raise StateConflict(
                f"This document was accepted as R{other.recipient_id:03d}'s of version {other.text_version}: "
                "every recipient signs each text for itself"
            )
    known = tx.scalar(
        select(SignedLicence).where(
            SignedLicence.recipient_id == recipient.id,
            SignedLicence.release_name == release_name,
            SignedLicence.text_sha256 == text_sha256,
        )
    )
    if known is not None:
        if (known.document_sha256, known.signed_on) != (document_sha256, signed_on):
            raise StateConflict(
                f"{recipient.code} signed this text already, on {known.signed_on.isoformat()}, by another document"
            )
        return known
    licence = SignedLicence(
        recipient_id=recipient.id,
        release_name=release_name,
        text_sha256=text_sha256,
        text_version=text_version,
        document_sha256=document_sha256,
        signed_on=signed_on,
        accepted_by=audit_log.actor()[:100],
        accepted_at=utc_now(),
    )
    tx.add(licence)
    tx.flush()
    detail = {"release": release_name, "text": text_sha256, "version": text_version, "document": document_sha256}
    audit_log.record(tx, "licence.accept", "recipient", recipient.code, detail)
    return licence


def licences_of(tx: Session, recipient_id: int, release_name: str) -> list[SignedLicence]:
    """What it signed for a release, oldest first."""
    query = select(SignedLicence).where(
        SignedLicence.recipient_id == recipient_id, SignedLicence.release_name == release_name
    )
    return list(tx.scalars(query.order_by(SignedLicence.id)))


def _one_line(text: str, what: str, most: int) -> str:
    text = text.strip()
    if not text or len(text) > most or not text.isprintable():
        raise RecordError(f"{what} is empty, longer than {most} signs, or no plain text on one line")
    return text
