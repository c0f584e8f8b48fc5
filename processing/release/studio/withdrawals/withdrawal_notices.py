"""Withdrawal notices to holders: what has to be deleted and how to check it, as messages ready to be sent.

Nothing is sent from here. A notice names subjects by their codes, never anybody; its address is read from the sealed
contact, so the files are for their owner alone.
"""

import textwrap
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from sqlalchemy.orm import Session

from common.files.atomic_write import write_whole
from db.models import Notice, Recipient
from db.release_records.recipients import Contact, contact_of, is_address, licences_of
from db.release_records.release_holders import find_notice, releases_named, write_notice
from processing.release.formats.errors import AccessError
from processing.release.studio.withdrawals.recipient_holdings import DeletionDue, deletions_due, held_by

WIDTH = 78


@dataclass(frozen=True)
class NoticeMessage:
    """A notice to be written."""

    #: Its row.
    notice: Notice
    #: Its code.
    recipient: str
    #: None: it was forgotten.
    institution: str | None
    #: The message, RFC 5322.
    text: bytes
    #: Whether a contact is known.
    addressed: bool

    @property
    def file_name(self) -> str:
        return f"{self.notice.release_name}-{self.notice.code}-{self.recipient}.eml"


def make_notices(tx: Session, name: str, *, sender: str | None = None, again: bool = False) -> list[NoticeMessage]:
    """A message to each holder who must delete something and was not sent exactly this yet.

    sender: an address for 'From'.  again: those too that were sent and not confirmed. Raises PersonalKeyError where
    contacts are kept and their key is not there, AccessError for a sender that is no address.
    """
    newest = max((version for _, version in releases_named(tx, name).values()), default=0)
    messages = []
    for number, due in sorted(deletions_due(tx, name).items()):
        known = find_notice(tx, number, name, due.sha256)
        if known is not None and (known.confirmed_at is not None or (known.sent_at is not None and not again)):
            continue
        recipient = tx.get_one(Recipient, number)
        contact = contact_of(tx, recipient)
        notice = write_notice(tx, number, name, due.sha256)
        message = EmailMessage(policy=SMTP.clone(max_line_length=None))
        message["Subject"] = f"Data to be deleted from {name} ({notice.code})"
        if sender:
            message["From"] = _address(sender)
        if contact is not None:
            message["To"] = Address(display_name=contact.name, addr_spec=contact.email)
        message["X-Mien-Notice"] = f"{notice.code} {recipient.code}"
        message.set_content(text_of(tx, notice, recipient, contact, due, newest), cte="8bit")
        written = message.as_bytes()
        messages.append(NoticeMessage(notice, recipient.code, recipient.institution, written, contact is not None))
    return messages


def write_messages(folder: Path, messages: list[NoticeMessage]) -> list[Path]:
    """Each as a file for its owner alone; one that is there is replaced."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for message in messages:
        path = folder / message.file_name
        write_whole(path, message.text, mode=0o600)
        written.append(path)
    return written


def text_of(
    tx: Session, notice: Notice, recipient: Recipient, contact: Contact | None, due: DeletionDue, newest: int
) -> str:
    """What a notice says."""
    name = due.release
    said = [f"Dear {contact.name}," if contact is not None and contact.name else "Dear holder of this dataset,", ""]
    whose = f" at {recipient.institution}" if recipient.institution else ""
    licences = licences_of(tx, recipient.id, name)
    under = ""
    if licences:
        under = f", under the licence signed on {licences[-1].signed_on} (version {licences[-1].text_version})"
    said += _wrapped(f'our records say that {recipient.code}{whose} holds the dataset "{name}"{under}:')
    for held in held_by(tx, recipient, name):
        said.append(f"  - version {held.version}, {_how(str(held.way))} {held.first_at:%Y-%m-%d} (grant {held.grant})")
    said += [""]
    said += _wrapped(
        "Since then people who took part have withdrawn their consent, wholly or in part. Please delete the following "
        "in every copy that you have or have passed on: working copies, backups, and data that was made from it."
    )
    for version, tombstones in sorted(due.versions.items()):
        said += ["", f"From {name}-{version}, delete:", ""]
        for tombstone in sorted(tombstones, key=lambda tombstone: (tombstone.index, tombstone.in_words())):
            said.append(f"  {tombstone.code}: {tombstone.in_words()}")
            said += [f"      {place}" for place in tombstone.places()]
    said += [""]
    if newest not in due.versions and newest > max(due.versions):
        said += _wrapped(
            f"Version {newest} does without all of this; please use it from now on. With it you can see that nothing "
            "was missed (ADDRESS is where you fetched from; it complains until all is deleted):"
        )
        said += [""]
        said += [
            f"  mien release verify {name}-{version} --partial --newer ADDRESS/{name}-{newest}"
            for version in sorted(due.versions)
        ]
    else:
        said += _wrapped("A version that does without all of this is not out yet.")
    said += [""]
    said += _wrapped(
        f"Then please answer this message and confirm for {notice.code} that it is deleted, or say what hinders you. "
        "The codes are numbers of the dataset; please do not try to find out who the people are."
    )
    return "\n".join(said) + "\n"


def _how(way: str) -> str:
    return {"server": "fetched from", "links": "by links given out on", "handed": "handed over on"}[way]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _address(sender: str) -> Address:
    if not is_address(sender):
        raise AccessError("--from is no e-mail address (somebody@studio.example)")
    return Address(addr_spec=sender)
