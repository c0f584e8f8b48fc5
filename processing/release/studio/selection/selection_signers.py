"""Signers of selections: a file of the studio that names people and their keys.

    [release]
    signers = "signers"          # in studio.toml; relative to the home

Its lines are OpenSSH's allowed signers, or public keys of minisign with the name before them as their comment:

    dm@studio.example namespaces="mien-selection" ssh-ed25519 AAAA...
    untrusted comment: A. Reviewer
    RWQ...
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from sshsig.allowed_signers import AllowedSigner

from common.configuration.loader import check_keys
from db.errors import SettingsError
from db.settings import Settings
from processing.release.formats.errors import SignatureError
from processing.release.formats.signing import SELECTION, PublicKey, check, read_small

_TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_COMMENT = "untrusted comment:"


@dataclass(frozen=True)
class Signer:
    """Somebody who may sign selections."""

    #: As the file calls them.
    name: str
    #: Theirs.
    key: PublicKey
    #: What their signatures may be for.
    namespaces: tuple[str, ...] = (SELECTION,)
    #: From when on, as the file limits it.
    after: datetime | None = None
    #: Until when.
    before: datetime | None = None


def trusted_signers(settings: Settings) -> tuple[Signer, ...] | None:
    """Those whom studio.toml names; None where it names no file, and a name written by hand is enough.

    Raises SignatureError for a file that is not there, cannot be read, or names nobody.
    """
    table = settings.sections.get("release", {})
    check_keys(table, ("signers", "about"), "studio.toml [release]", SettingsError)
    if "signers" not in table:
        return None
    path = settings.home / str(table["signers"])
    signers = read_signers(path)
    if not signers:
        raise SignatureError(f"{path} names nobody; give it a key, or take [release] signers out of studio.toml")
    return signers


def read_signers(path: Path) -> tuple[Signer, ...]:
    """Raises SignatureError naming the line that cannot be read."""
    found: list[Signer] = []
    name = ""
    text = read_small(path, "the file of signers").decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if line.lower().startswith(_COMMENT):
            name = line[len(_COMMENT) :].strip()
        elif line and not line.startswith("#"):
            try:
                found.append(_minisign(line, name) if len(line.split()) == 1 else _ssh(line))
            except (SignatureError, ValueError, NotImplementedError, IndexError) as error:
                raise SignatureError(f"{path}, line {number}: {error}") from None
            name = ""
    return tuple(found)


def signed_by(data: bytes, signature: bytes, signers: Sequence[Signer], *, now: datetime | None = None) -> str:
    """The name of whoever of these signed just these bytes. Raises SignatureError."""
    now = now or datetime.now(UTC)
    why = "no key of the trusted signers fits"
    for signer in signers:
        try:
            check(data, signature, signer.key, SELECTION)
        except SignatureError as error:
            if "another key" not in str(error) and "the key is not" not in str(error):
                why = str(error)
            continue
        if not any(fnmatchcase(SELECTION, pattern) for pattern in signer.namespaces):
            why = f"{signer.name} may not sign selections (namespaces)"
        elif (signer.after and now < signer.after) or (signer.before and now > signer.before):
            why = f"the key of {signer.name} does not count today (valid-after, valid-before)"
        else:
            return signer.name
    raise SignatureError(why)


def _minisign(line: str, name: str) -> Signer:
    key = PublicKey.parse(line)
    return Signer(name or key.text, key)


def _ssh(line: str) -> Signer:
    parsed = AllowedSigner.parse(line)
    options = parsed.options or {}
    if "cert-authority" in options:
        raise SignatureError("certificates are not read here; name the key itself")
    namespaces = tuple(options.get("namespaces", SELECTION).split(","))
    after, before = (_time(options[key]) if key in options else None for key in ("valid-after", "valid-before"))
    return Signer(
        parsed.principals, PublicKey.parse(f"{parsed.key_type} {parsed.base64_key}"), namespaces, after, before
    )


def _time(text: str) -> datetime:
    """OpenSSH's YYYYMMDD[HHMM[SS]], local or with Z."""
    plain = text.removesuffix("Z")
    if len(plain) not in _TIMES:
        raise ValueError(f"'{text}' is no time as OpenSSH writes it (YYYYMMDD or YYYYMMDDHHMM)")
    moment = datetime.strptime(plain, _TIMES[len(plain)])
    return moment.replace(tzinfo=UTC) if text.endswith("Z") else moment.astimezone()
