"""Presigned links to a release that lies in an object store, for one holder and some days.

Where our server does not run the store itself checks signature and time of each link. What is fetched by them is not
seen here, so the ledger says that links were given out, and they cannot be called back: days, not months.
"""

import hashlib
from datetime import datetime, timedelta

import fsspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.engine import reading, transaction, utc_now
from db.models import Grant, Way
from db.release_records.access_grants import access_of, get_grant
from db.release_records.release_holders import hand_over
from db.release_records.releases import get_release
from processing.release.formats.errors import AccessError
from processing.release.formats.link_list import LinkList
from processing.release.formats.manifest import MANIFEST, OWN, SIDECAR, Manifest, decode_manifest
from processing.release.formats.release_paths import path_problem
from processing.release.formats.released_files import LAYOUT, LICENCE, SHARED_KIND
from processing.release.studio.withdrawals.release_records import find_tombstones

MOST_DAYS = 7  # what S3 allows


def give_links(engine: Engine, code: str, place: str, until: datetime) -> LinkList:
    """Links to all that a grant allows of the release at `place` ('s3://bucket/faces-3'), written into the ledger.

    Raises AccessError where the grant does not open it, where it is not the release of the records, and where the store
    signs no links.
    """
    now = utc_now()
    if not now < until <= now + timedelta(days=MOST_DAYS, minutes=1):
        raise AccessError(f"links to an object store last {MOST_DAYS} days at most: they cannot be called back")
    try:
        fs, root = fsspec.core.url_to_fs(place.rstrip("/"), use_listings_cache=False)
        data = fs.cat_file(f"{root}/{MANIFEST}")
        beside = [name for name in OWN if name in (MANIFEST, SIDECAR) or fs.exists(f"{root}/{name}")]
    except (OSError, ValueError, ImportError) as error:
        why = type(error).__name__
        raise AccessError(f"no release can be read at that place ({why}): s3://bucket/folder") from None
    manifest = decode_manifest(data, f"the {MANIFEST} there")
    with reading(engine) as tx:
        grant = get_grant(tx, code)
        release = get_release(tx, manifest.name, manifest.version)
        if release.manifest_sha256 != hashlib.sha256(data).hexdigest():
            raise AccessError(f"what lies there is not {manifest.name} {manifest.version} as it was built")
        paths = _allowed(tx, grant, manifest, now)
    seconds = int((until - now).total_seconds())
    try:
        by_path = {path: str(fs.sign(f"{root}/{path}", expiration=seconds)) for path in [*beside, *paths]}
    except NotImplementedError:
        raise AccessError("that store signs no links; serve the folder: mien release serve") from None
    with transaction(engine) as tx:
        hand_over(tx, grant, release, Way.LINKS)
    return LinkList(manifest.name, manifest.version, by_path)


def _allowed(tx: Session, grant: Grant, manifest: Manifest, now: datetime) -> list[str]:
    """Paths that a grant opens today. Raises AccessError."""
    access = access_of(tx, grant.id)
    assert access is not None
    texts = {entry.path: entry.sha256 for entry in manifest.files}
    refusal = access.refusal(manifest.name, manifest.version, texts.get(LICENCE.path, ""), now)
    if refusal is not None:
        raise AccessError(f"{grant.code} does not open {manifest.name} {manifest.version}: {refusal}")
    tombstones = [
        tombstone
        for tombstone in find_tombstones(tx, manifest.name, now.date())
        if tombstone.concerns(manifest.version)
    ]
    return [
        entry.path
        for entry in manifest.files
        if path_problem(entry.path) is None
        and LAYOUT.kind_of(entry.path) in (SHARED_KIND, *access.kinds)
        and not any(tombstone.holds(entry.path) for tombstone in tombstones)
    ]
