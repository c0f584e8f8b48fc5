"""Access control: whether a request opens a file, by token or link, licence, kind, and that nobody has withdrawn."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from db.engine import reading, utc_now
from db.errors import NotFound
from db.release_records.access_grants import GrantAccess, GrantRefusal, access_by_token, access_of
from db.release_records.releases import get_release
from processing.release.formats.errors import ReleaseError
from processing.release.formats.tombstones import Tombstone
from processing.release.studio.access import signed_links
from processing.release.studio.access.served_release import ServedFile, ServedRelease
from processing.release.studio.withdrawals.release_records import find_tombstones

TOMBSTONES_S = 2.0  # how long a withdrawal may take to reach the server


@dataclass(frozen=True)
class AccessRefused:
    """An answer without a file."""

    #: HTTP's.
    status: int
    #: A word for programs.
    refusal: str
    #: For people.
    why: str
    #: Of files, that the grant does allow.
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AccessGranted:
    """A file that may leave."""

    #: The grant by which it does.
    access: GrantAccess
    #: The release's row.
    release_id: int
    #: The release.
    served: ServedRelease
    #: The file.
    item: ServedFile


REFUSALS = {
    GrantRefusal.UNKNOWN: (401, "no such token or link is known here"),
    GrantRefusal.EXPIRED: (401, "the token or link has expired"),
    GrantRefusal.REVOKED: (403, "the token was revoked"),
    GrantRefusal.OTHER: (403, "the token or link is not for this release or version"),
    GrantRefusal.LICENCE: (403, "no signed licence of this version's text was accepted yet"),
}


class AccessControl:
    """Judges requests. Each is judged by the records of that moment: a revoked grant opens nothing more."""

    def __init__(self, engine: Engine, releases: Sequence[ServedRelease], key: bytes) -> None:
        """Raises ReleaseError for a folder that the records do not know as a release, or know otherwise."""
        self._engine, self._key = engine, key
        self._served: dict[str, tuple[ServedRelease, int]] = {}
        self._tombstones_by_name: dict[str, tuple[float, tuple[Tombstone, ...]]] = {}
        self._lock = threading.Lock()
        with reading(engine) as tx:
            for served in releases:
                try:
                    release = get_release(tx, served.name, served.version)
                except NotFound:
                    raise ReleaseError(f"{served.folder} is no release of this studio's records") from None
                if release.manifest_sha256 != served.manifest_sha256:
                    raise ReleaseError(
                        f"{served.folder} is not {served.place} as it was built: its manifest was changed"
                    )
                if served.place in self._served:
                    raise ReleaseError(f"{served.place} is given twice")
                self._served[served.place] = (served, release.id)

    def judge(self, path: str, token: str | None, now: datetime | None = None) -> AccessGranted | AccessRefused:
        """path: of the address, decoded, without its first '/'. token: of the header; None where there is none."""
        now = now or utc_now()
        until: datetime | None = None
        signed: signed_links.SignedLink | None = None
        if token is None and path.startswith(f"{signed_links.PREFIX}/"):
            said, _, path = path.removeprefix(f"{signed_links.PREFIX}/").partition("/")
            signed = signed_links.check(self._key, said, path)
            if signed is None:
                return refused(GrantRefusal.UNKNOWN)
            until = signed.until
        place, _, inside = path.partition("/")
        with reading(self._engine) as tx:
            access = access_of(tx, signed.grant_id) if signed else access_by_token(tx, token) if token else None
        if access is None:
            return refused(GrantRefusal.UNKNOWN)
        if until is not None and now >= until:
            return refused(GrantRefusal.EXPIRED)
        served, release_id = self._served.get(place, (None, 0))
        if served is None:  # what is not here looks like what is not given
            return refused(access.standing(now) or GrantRefusal.OTHER)
        refusal = access.refusal(served.name, served.version, served.licence_sha256, now)
        if refusal is not None:
            return refused(refusal)
        item = served.items.get(inside)
        if item is None:
            return AccessRefused(404, "path", "the release has no such file")
        if item.kind and item.kind not in access.kinds:
            return AccessRefused(403, "kind", "the grant does not allow files of this kind", access.kinds)
        tombstones = self._tombstones(served.name) if item.number is not None else ()
        if any(tombstone.concerns(served.version) and tombstone.holds(item.path) for tombstone in tombstones):
            return AccessRefused(410, "withdrawn", "the subject has withdrawn this; a newer version does without")
        return AccessGranted(access, release_id, served, item)

    def still(self, access: GrantAccess) -> bool:
        """Whether a grant that opened something opens it still."""
        with reading(self._engine) as tx:
            now = access_of(tx, access.grant_id)
        return now is not None and now.standing(utc_now()) is None

    def _tombstones(self, name: str) -> tuple[Tombstone, ...]:
        with self._lock:
            seen, tombstones = self._tombstones_by_name.get(name, (-TOMBSTONES_S, ()))
            if time.monotonic() - seen >= TOMBSTONES_S or name not in self._tombstones_by_name:
                with reading(self._engine) as tx:
                    tombstones = find_tombstones(tx, name, utc_now().date())
                self._tombstones_by_name[name] = (time.monotonic(), tombstones)
            return tombstones


def refused(refusal: GrantRefusal) -> AccessRefused:
    """The answer to it."""
    status, why = REFUSALS[refusal]
    return AccessRefused(status, str(refusal), why)
