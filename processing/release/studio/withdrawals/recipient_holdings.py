"""Holdings of recipients: who has what, under which licence, and what of it has to be deleted."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from db.engine import utc_now
from db.models import Grant, Notice, Recipient, SignedLicence
from db.release_records.recipients import licences_of, number_of
from db.release_records.release_holders import Holder, find_notice, grants_named, holders_of, releases_named
from processing.release.formats.released_files import MODEL, PHOTOGRAPHS
from processing.release.formats.tombstones import Tombstone
from processing.release.studio.withdrawals.release_records import find_tombstones

# What those alone must delete who got this kind of files.
_OF_A_KIND: dict[str, str] = {"photographs": PHOTOGRAPHS, "model": MODEL.kind}


@dataclass(frozen=True)
class DeletionDue:
    """What a recipient must delete of a release."""

    #: Its row.
    recipient_id: int
    #: Its name.
    release: str
    #: That the recipient holds -> what is withdrawn of each.
    versions: dict[int, tuple[Tombstone, ...]]

    @property
    def sha256(self) -> str:
        said = [
            [version, tombstone.code, tombstone.in_words(), list(tombstone.places())]
            for version, tombstones in sorted(self.versions.items())
            for tombstone in sorted(tombstones, key=lambda tombstone: (tombstone.index, tombstone.in_words()))
        ]
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class HoldingRow:
    """A grant and a version that went out under it."""

    #: Under which it went.
    grant: Grant
    #: Whether the grant opens anything, in words.
    state: str
    #: The newest that its recipient signed for this release.
    licence: SignedLicence | None
    #: What went; None where nothing did.
    held: Holder | None
    #: None where nothing is to be deleted; 'to be told', or how far the notice N001 has come.
    notified: str | None


def deletions_due(tx: Session, name: str, day: date | None = None) -> dict[int, DeletionDue]:
    """recipient's number -> what it must delete of a release, by today's consents."""
    tombstones = find_tombstones(tx, name, day or utc_now().date())
    if not tombstones:
        return {}
    found: dict[int, dict[int, tuple[Tombstone, ...]]] = {}
    got: set[tuple[int, int, str]] = set()  # recipient, version, kind
    held = holders_of(tx, releases_named(tx, name))
    for one in held:
        got |= {(number_of(one.recipient, "R"), one.version, kind) for kind in one.kinds}
    for one in held:
        number = number_of(one.recipient, "R")
        mine = tuple(
            tombstone
            for tombstone in tombstones
            if tombstone.concerns(one.version)
            and (tombstone.what not in _OF_A_KIND or (number, one.version, _OF_A_KIND[tombstone.what]) in got)
        )
        if mine:
            found.setdefault(number, {})[one.version] = mine
    return {number: DeletionDue(number, name, versions) for number, versions in found.items()}


def holdings(tx: Session, name: str | None, now: datetime | None = None) -> list[HoldingRow]:
    """Every grant for a release, or all, with what went out under it, in order of recipient and grant."""
    now = now or utc_now()
    grants = grants_named(tx, name)
    due_by_release = {
        release: deletions_due(tx, release, now.date()) for release in {grant.release_name for grant in grants}
    }
    held: dict[str, list[Holder]] = {}
    for one in holders_of(tx, releases_named(tx, name)):
        held.setdefault(one.grant, []).append(one)
    lines = []
    for grant in sorted(grants, key=lambda grant: (grant.recipient_id, grant.id)):
        licences = licences_of(tx, grant.recipient_id, grant.release_name)
        mine: Sequence[Holder | None] = held.get(grant.code) or [None]
        for version in mine:
            due = due_by_release[grant.release_name].get(grant.recipient_id)
            notified = None
            if version is not None and due is not None and version.version in due.versions:
                notified = progress(find_notice(tx, grant.recipient_id, grant.release_name, due.sha256))
            lines.append(
                HoldingRow(grant, state(grant, licences, now), licences[-1] if licences else None, version, notified)
            )
    return lines


def state(grant: Grant, licences: Sequence[SignedLicence], now: datetime) -> str:
    """Whether a grant opens anything, in words."""
    if grant.revoked_at is not None:
        return f"revoked {grant.revoked_at:%Y-%m-%d}"
    if now >= grant.expires_at:
        return f"expired {_last_day(grant)}"
    return f"until {_last_day(grant)}" if licences else "waits for the licence"


def progress(notice: Notice | None) -> str:
    """How far the telling has come, in words."""
    if notice is None:
        return "TO BE TOLD"
    if notice.confirmed_at is not None:
        return f"{notice.code} confirmed {notice.confirmed_at:%Y-%m-%d}"
    if notice.sent_at is not None:
        return f"{notice.code} sent {notice.sent_at:%Y-%m-%d}"
    return f"{notice.code} written, NOT SENT"


def as_outline(lines: Sequence[HoldingRow]) -> list[str]:
    """For people: a recipient, its grants, what it holds under each, and what is still to be done."""
    said: list[str] = []
    last: tuple[str, str] = ("", "")
    for line in lines:
        grant, held = line.grant, line.held
        who = grant.recipient
        if last[0] != who.code:
            said += ["", f"{who.code}  {who.institution or '(its name was removed)'}"]
        if last[1] != grant.code:
            later = {None: " and later", grant.first_version: ""}.get(grant.last_version, f" to {grant.last_version}")
            without = "" if PHOTOGRAPHS in grant.kinds.split(",") else ", no photographs"
            said.append(f"  {grant.code}  {grant.release_name} {grant.first_version}{later}{without}; {line.state}")
            if line.licence is not None:
                said.append(f"        licence {line.licence.text_version}, signed {line.licence.signed_on}")
        last = (who.code, grant.code)
        if held is None:
            said.append("        holds nothing yet")
            continue
        said.append(f"        holds {held.release} {held.version}: {_how_much(held)}")
        if line.notified is not None:
            said.append(f"          something of it is withdrawn: {line.notified}")
    behind = {
        line.grant.recipient.code for line in lines if line.notified is not None and "confirmed" not in line.notified
    }
    if behind:
        said += [
            "",
            f"{len(behind)} have not confirmed that they deleted what was withdrawn: mien release notices NAME",
        ]
    return said[1:]


def _how_much(held: Holder) -> str:
    first, last = held.first_at.date(), held.last_at.date()
    when = f"{first}" if first == last else f"{first} to {last}"
    if held.way == "links":
        return f"links given out {when}; what was fetched by them is not seen"
    if held.way == "handed":
        return f"handed over {when}"
    files = "complete" if held.complete_at is not None else f"{held.files} of {held.files_wanted} files"
    return f"fetched {when}, {files}, {held.bytes / 1e6:,.1f} MB"


def _last_day(grant: Grant) -> date:
    return (grant.expires_at - timedelta(seconds=1)).date()


def as_report(line: HoldingRow) -> dict[str, object]:
    """For programs."""
    grant, held = line.grant, line.held
    return {
        "recipient": grant.recipient.code,
        "institution": grant.recipient.institution,
        "grant": grant.code,
        "release": grant.release_name,
        "versions": [grant.first_version, grant.last_version],
        "kinds": grant.kinds.split(","),
        "issued": grant.issued_at,
        "expires": grant.expires_at,
        "revoked": grant.revoked_at,
        "state": line.state,
        "licence": None
        if line.licence is None
        else {
            "version": line.licence.text_version,
            "text_sha256": line.licence.text_sha256,
            "document_sha256": line.licence.document_sha256,
            "signed_on": line.licence.signed_on,
            "accepted_by": line.licence.accepted_by,
        },
        "holds": None
        if held is None
        else {
            "version": held.version,
            "way": str(held.way),
            "first": held.first_at,
            "last": held.last_at,
            "complete": held.complete_at,
            "files": held.files,
            "files_wanted": held.files_wanted,
            "bytes": held.bytes,
            "network": held.network,
            "agent": held.agent,
        },
        "told": line.notified,
    }


def held_by(tx: Session, recipient: Recipient, name: str) -> list[Holder]:
    """What a recipient holds of a release, in order of version."""
    return [one for one in holders_of(tx, releases_named(tx, name)) if one.recipient == recipient.code]
