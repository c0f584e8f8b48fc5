"""Holders of releases: which version went to which recipient, how much of it, what they were told to delete.

What left is written generously: a file counts as delivered when its last byte was given to the network, a version as
held from its first byte on. Whoever must be told is then never left out. Of the fetching machine no more is kept than
its network (/24, or /48 of IPv6) and the first word of what its program calls itself.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from db.audit import audit_log
from db.engine import changed, utc_now
from db.errors import NotFound, StateConflict
from db.models import Fetch, Grant, Notice, Recipient, Release, ReleaseState, Way
from db.release_records.recipients import number_of


@dataclass(frozen=True)
class Holder:
    """A version that a recipient holds, wholly or in part."""

    #: Its code, as in R001.
    recipient: str
    #: None: it was forgotten.
    institution: str | None
    #: Under which it went, as in G001.
    grant: str
    #: Its name.
    release: str
    #: Of the release.
    version: int
    #: How it went out.
    way: Way
    #: When the first byte went, UTC.
    first_at: datetime
    #: When the last one did, UTC.
    last_at: datetime
    #: When all of it had gone, UTC; None: not yet.
    complete_at: datetime | None
    #: How many it has whole.
    files: int
    #: How many the grant allows.
    files_wanted: int
    #: That went over the wire.
    bytes: int
    #: Of files that the grant allowed.
    kinds: frozenset[str]
    #: Of the address it went to, as /24 or /48.
    network: str | None = None
    #: The first word of what the fetching program calls itself.
    agent: str | None = None


def holders_of(tx: Session, release_ids: Collection[int]) -> list[Holder]:
    """Who holds any of these releases, in order of recipient, release and version: whom a withdrawal must be told."""
    query = (
        select(Fetch, Release.name, Release.version)
        .join(Release, Release.id == Fetch.release_id)
        .join(Grant, Grant.id == Fetch.grant_id)
        .where(Fetch.release_id.in_(list(release_ids)))
        .options(joinedload(Fetch.grant).joinedload(Grant.recipient))
        .order_by(Grant.recipient_id, Release.name, Release.version, Fetch.id)
    )
    return [
        Holder(
            recipient=fetch.grant.recipient.code,
            institution=fetch.grant.recipient.institution,
            grant=fetch.grant.code,
            release=name,
            version=version,
            way=fetch.way,
            first_at=fetch.first_at,
            last_at=fetch.last_at,
            complete_at=fetch.complete_at,
            files=fetch.files,
            files_wanted=fetch.files_wanted,
            bytes=fetch.bytes_sent,
            kinds=frozenset(filter(None, fetch.grant.kinds.split(","))),
            network=fetch.network,
            agent=fetch.agent,
        )
        for fetch, name, version in tx.execute(query)
    ]


def releases_named(tx: Session, name: str | None) -> dict[int, tuple[str, int]]:
    """Complete releases of a name, or all: id -> (name, version)."""
    query = select(Release.id, Release.name, Release.version).where(Release.state == ReleaseState.COMPLETE)
    if name is not None:
        query = query.where(Release.name == name)
    return {row.id: (row.name, row.version) for row in tx.execute(query.order_by(Release.id))}


def grants_named(tx: Session, name: str | None) -> list[Grant]:
    """Grants for a release, or all, with their recipients, oldest first."""
    query = select(Grant).options(joinedload(Grant.recipient)).order_by(Grant.id)
    return list(tx.scalars(query if name is None else query.where(Grant.release_name == name)))


def begin_fetch(
    tx: Session,
    grant_id: int,
    release_id: int,
    way: Way,
    *,
    files_wanted: int,
    address: str | None = None,
    agent: str | None = None,
) -> Fetch:
    """The ledger's line of a grant and version, made before anything leaves; the same line when it goes on."""
    key = (Fetch.grant_id == grant_id, Fetch.release_id == release_id, Fetch.way == way)
    found = tx.scalar(select(Fetch).where(*key))
    if found is not None:
        return found
    now = utc_now()
    fetch = Fetch(
        grant_id=grant_id, release_id=release_id, way=way, first_at=now, last_at=now, bytes_sent=0, files=0,
        files_wanted=files_wanted, network=reduced_address(address), agent=reduced_agent(agent),
    )  # fmt: skip
    try:
        with tx.begin_nested():
            tx.add(fetch)
    except IntegrityError:  # another server was first
        return tx.scalars(select(Fetch).where(*key)).one()
    release = tx.get_one(Release, release_id)
    detail = {"grant": f"G{grant_id:03d}", "way": str(way)}
    audit_log.record(tx, "release.fetch", "release", f"{release.name} {release.version}", detail)
    return fetch


@dataclass(frozen=True)
class Delivery:
    """How far a fetch has come."""

    #: In all.
    bytes_sent: int
    #: How many went whole.
    files: int
    #: A bit a file: whether it went whole.
    delivered: bytes
    #: A file's number -> its parts so far, as [from, to).
    begun: Mapping[int, Sequence[tuple[int, int]]]
    #: Whether all that the grant allows has gone.
    complete: bool


def note_delivered(tx: Session, fetch_id: int, now: datetime, so_far: Delivery) -> None:
    """Write down how far a fetch has come; a version that was complete once stays so."""
    values = {
        "last_at": now, "bytes_sent": so_far.bytes_sent, "files": so_far.files, "delivered": so_far.delivered,
        "begun": {str(number): [list(part) for part in parts] for number, parts in so_far.begun.items()} or None,
    }  # fmt: skip
    changed(tx, update(Fetch).where(Fetch.id == fetch_id).values(values))
    if so_far.complete:
        finished = update(Fetch).where(Fetch.id == fetch_id, Fetch.complete_at.is_(None))
        if changed(tx, finished.values(complete_at=now)):
            about = select(Release.name, Release.version, Fetch.grant_id).join(Fetch, Fetch.release_id == Release.id)
            name, version, grant_id = tx.execute(about.where(Fetch.id == fetch_id)).one()
            audit_log.record(tx, "release.fetched", "release", f"{name} {version}", {"grant": f"G{grant_id:03d}"})


def hand_over(tx: Session, grant: Grant, release: Release, way: Way) -> None:
    """A version went to a recipient where no server of ours saw it."""
    fetch = begin_fetch(tx, grant.id, release.id, way, files_wanted=0)
    fetch.last_at = utc_now()


def write_notice(tx: Session, recipient_id: int, release_name: str, owed_sha256: str) -> Notice:
    """The notice of what a recipient owes to delete; the same one as long as it owes the same."""
    found = find_notice(tx, recipient_id, release_name, owed_sha256)
    if found is not None:
        return found
    notice = Notice(recipient_id=recipient_id, release_name=release_name, owed_sha256=owed_sha256, written_at=utc_now())
    tx.add(notice)
    tx.flush()
    recipient = tx.get_one(Recipient, recipient_id)
    detail = {"release": release_name, "recipient": recipient.code, "owed": owed_sha256}
    audit_log.record(tx, "notice.write", "notice", notice.code, detail)
    return notice


def find_notice(tx: Session, recipient_id: int, release_name: str, owed_sha256: str) -> Notice | None:
    """The notice of exactly this, if one was written."""
    query = select(Notice).where(
        Notice.recipient_id == recipient_id, Notice.release_name == release_name, Notice.owed_sha256 == owed_sha256
    )
    return tx.scalar(query)


def mark_notices(tx: Session, release_name: str, codes: Sequence[str], *, confirmed: bool) -> list[Notice]:
    """These notices were sent, or the recipient confirmed that it deleted.

    Raises NotFound, and StateConflict for one that was marked so before or confirmed before it was sent.
    """
    found = []
    for code in codes:
        notice = tx.get(Notice, number_of(code, "N"))
        if notice is None or notice.release_name != release_name:
            raise NotFound(f"{release_name} has no notice {code[:20]}; see: mien release notices {release_name}")
        if confirmed and notice.sent_at is None:
            raise StateConflict(f"{notice.code} was not sent yet; first: --sent {notice.code}")
        column = Notice.confirmed_at if confirmed else Notice.sent_at
        statement = update(Notice).where(Notice.id == notice.id, column.is_(None)).values({column: utc_now()})
        if changed(tx, statement) == 0:
            raise StateConflict(f"{notice.code} is marked as {'confirmed' if confirmed else 'sent'} already")
        tx.refresh(notice)
        action = "notice.confirm" if confirmed else "notice.send"
        audit_log.record(tx, action, "notice", notice.code, {"release": release_name})
        found.append(notice)
    return found


def reduced_address(address: str | None) -> str | None:
    """The network of an address: '192.0.2.0/24', '2001:db8:1::/48'; None for what is no address."""
    try:
        ip = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def reduced_agent(agent: str | None) -> str | None:
    """The first product of a User-Agent, plain letters alone: 'python-httpx/0.28.1'."""
    found = re.match(r"[A-Za-z][A-Za-z0-9._+-]{0,24}(/[0-9][0-9A-Za-z.+-]{0,12})?", agent or "")
    return found[0] if found else None


def holders_by_name(tx: Session, releases: Collection[str]) -> list[Holder]:
    """As holders_of, of releases by name and version ('faces 2')."""
    rows = tx.execute(select(Release.id, Release.name, Release.version).where(Release.state == ReleaseState.COMPLETE))
    return holders_of(tx, [number for number, name, version in rows if f"{name} {version}" in releases])


def holders_told_to(tx: Session, releases: Sequence[str]) -> list[Mapping[str, Any]]:
    """Who holds these releases, as the subject in them is told: institution, which version, since when."""
    return [
        {
            "release": f"{holder.release} {holder.version}",
            "held_by": holder.institution or holder.recipient,
            "since": holder.first_at.isoformat(),
        }
        for holder in holders_by_name(tx, releases)
    ]
