"""Grants: what was signed, what may be fetched, and a token that is written to one file and kept nowhere."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from common.files.hashes import file_sha256
from db.engine import transaction
from db.models import Recipient, SignedLicence
from db.release_records.access_grants import add_grant, new_token
from db.release_records.recipients import accept_licence, get_recipient, licences_of
from db.release_records.releases import get_release
from db.studio import open_studio
from processing.release.formats.access_protocol import origin_of
from processing.release.formats.access_secrets import write_secret
from processing.release.formats.errors import AccessError
from processing.release.formats.released_files import LAYOUT, PHOTOGRAPHS

MOST_TEXT = 1 << 20


@dataclass(frozen=True)
class Licence:
    """A licence that was signed, as files: hashes alone are kept of them."""

    #: Of the licence's text as releases have it.
    text_sha256: str
    #: How the studio calls this text.
    version: str
    #: Of the signed document.
    document_sha256: str
    #: The day.
    signed_on: date

    @classmethod
    def of(
        cls, text: Path | None, version: str | None, document: Path | None, signed_on: datetime | None
    ) -> "Licence | None":
        """None when nothing is said of a licence. Raises AccessError when only a part is, or a file cannot be read."""
        said = {
            "--licence-text": text, "--licence-version": version, "--licence-document": document,
            "--signed-on": signed_on,
        }  # fmt: skip
        lacking = [option for option, value in said.items() if value is None]
        if len(lacking) == len(said):
            return None
        if lacking:
            raise AccessError(f"a signed licence needs all of {', '.join(said)}; {', '.join(lacking)} is not given")
        assert text is not None
        assert document is not None
        assert signed_on is not None
        try:
            if text.stat().st_size > MOST_TEXT:
                raise AccessError(f"--licence-text {text} is larger than a licence's text is")
            read = text.read_bytes()
            signed = file_sha256(document)
        except OSError as error:
            raise AccessError(f"{error.filename} cannot be read: {error.strerror}") from None
        # The text as a release has it: see processing.release.studio.export.export.
        as_released = read.decode("utf-8", "replace").rstrip("\n") + "\n"
        return cls(hashlib.sha256(as_released.encode()).hexdigest(), version or "", signed, signed_on.date())

    def accept(self, tx: Session, recipient: Recipient, release_name: str) -> SignedLicence:
        """Into the records. Raises RecordError."""
        return accept_licence(
            tx, recipient, release_name, text_sha256=self.text_sha256, text_version=self.version,
            document_sha256=self.document_sha256, signed_on=self.signed_on,
        )  # fmt: skip


@dataclass(frozen=True)
class GrantRequest:
    """Who is to fetch what, until when."""

    #: The release's name.
    release: str
    #: The recipient's code, as in R001.
    recipient: str
    #: The last day (UTC).
    until: datetime
    #: This version alone; None: the newest, and later ones.
    version: int | None
    #: The version, and later ones.
    and_later: bool
    #: Of files; None: all but photographs.
    kinds: Sequence[str] | None
    #: The photographs as well.
    photographs: bool


@dataclass(frozen=True)
class IssuedGrant:
    """A grant that was given."""

    #: Its code, as in G001.
    grant: str
    #: The recipient's code.
    recipient: str
    #: As in 'faces 3 and later'.
    what: str
    #: Of files, that may be fetched.
    kinds: tuple[str, ...]
    token: str
    #: The token's; None where there is none.
    file: Path | None
    #: Whether a licence was accepted before.
    licensed: bool

    def as_report(self, *, with_token: bool) -> dict[str, object]:
        """For programs; the token only where it was asked for."""
        report: dict[str, object] = {
            "grant": self.grant, "recipient": self.recipient, "what": self.what, "kinds": list(self.kinds),
            "file": str(self.file) if self.file else None, "licence_accepted": self.licensed,
        }  # fmt: skip
        return report | ({"token": self.token} if with_token else {})


def give(
    home: Path | None,
    database: str | None,
    request: GrantRequest,
    *,
    licence: Licence | None,
    token_to: Path | None,
    server: str | None,
) -> IssuedGrant:
    """Record a grant and write its token. token_to: its file, an empty path for one in this folder, None for none.

    The grant is there when its file is on the disk, and neither without the other. Raises AccessError, RecordError.
    """
    allowed = _allowed(request.kinds, request.photographs)
    origin = origin_of(server) if server is not None else None
    token = new_token()
    written: Path | None = None
    try:
        with open_studio(home, database) as studio, transaction(studio.engine) as tx:
            release = get_release(tx, request.release, request.version)
            recipient = get_recipient(tx, request.recipient)
            if licence is not None:
                licence.accept(tx, recipient, request.release)
            only = request.version is not None and not request.and_later
            grant = add_grant(
                tx, recipient, request.release, first_version=release.version,
                last_version=release.version if only else None, kinds=allowed,
                until=request.until.replace(tzinfo=UTC) + timedelta(days=1), token=token,
            )  # fmt: skip
            licensed = bool(licences_of(tx, recipient.id, request.release))
            if token_to is not None:
                file = token_to if token_to.name else Path(f"{request.release}-{grant.code}.token")
                write_secret(file, token + (f" {origin}" if origin else "") + "\n")
                written = file
    except BaseException:
        if written is not None:
            written.unlink(missing_ok=True)
        raise
    what = f"{request.release} {release.version}" + ("" if only else " and later")
    return IssuedGrant(grant.code, recipient.code, what, allowed, token, written, licensed)


def _allowed(kinds: Sequence[str] | None, photographs: bool) -> tuple[str, ...]:
    unknown = sorted(set(kinds or ()) - LAYOUT.kinds.keys())
    if unknown:
        raise AccessError(f"there is no kind '{unknown[0]}' of files; there are: {', '.join(LAYOUT.kinds)}")
    asked = {*(kinds or LAYOUT.default_kinds), *((PHOTOGRAPHS,) if photographs else ())}
    return tuple(kind for kind in LAYOUT.kinds if kind in asked)
