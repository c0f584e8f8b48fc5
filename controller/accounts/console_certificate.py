"""The studio's own certificate, by which devices of its network speak to the console.

    <home>/keys/console/cert.pem    what a tablet takes up, once
    <home>/keys/console/key.pem     for the studio's account alone

Made at the first start with `console_address`, and anew when it is about to end or when the names have changed.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from common.files.atomic_write import write_whole
from common.files.secret_files import NoSecret, check_private
from common.guarding.certificates import (
    Holder,
    certificate_pem,
    fingerprint,
    key_pem,
    names_of,
    new_key,
    server_certificate,
)
from controller.errors import ConfigurationError

FOLDER = "console"
DAYS = 800  # tablets take none that lasts longer than 825
BEFORE = timedelta(days=30)  # its end, from which on a start makes another


@dataclass(frozen=True)
class ConsoleCertificate:
    """The certificate of a studio's console."""

    path: Path
    key: Path
    fingerprint: str  # SHA-256, as browsers show it
    names: frozenset[str]
    until: datetime
    is_new: bool = False  # made just now: devices must take it up again

    def context(self) -> ssl.SSLContext:
        """For a server: TLS 1.2 and later."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(self.path, self.key)
        return made


def console_certificate(keys: Path, names: set[str], *, anew: bool = False) -> ConsoleCertificate:
    """The certificate for these names and addresses; made where there is none that will do, or when it is asked for.

    keys: the home's folder of keys. Raises ConfigurationError when its key is open to others, or cannot be read.
    """
    folder = keys / FOLDER
    found = None if anew else _present(folder)
    if found is not None and found.names == names and found.until - datetime.now(UTC) > BEFORE:
        return found
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    holder = Holder("Mien studio console", new_key())
    made = server_certificate(holder, sorted(names), DAYS)
    write_whole(folder / "key.pem", key_pem(holder.key), mode=0o600)
    write_whole(folder / "cert.pem", certificate_pem(made))
    return _facts(folder, made, is_new=True)


def _present(folder: Path) -> ConsoleCertificate | None:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    if not (certificate.is_file() and key.is_file()):
        return None
    try:
        check_private(key)
    except NoSecret as error:
        raise ConfigurationError(f"{key} is open to other users (mode {error.mode:o}): chmod 600 {key}") from None
    try:
        return _facts(folder, x509.load_pem_x509_certificate(certificate.read_bytes()))
    except ValueError:
        raise ConfigurationError(f"{certificate} is no certificate; remove {folder}, and it is made anew") from None


def _facts(folder: Path, found: x509.Certificate, *, is_new: bool = False) -> ConsoleCertificate:
    names = frozenset(names_of(found))
    return ConsoleCertificate(
        folder / "cert.pem", folder / "key.pem", fingerprint(found), names, found.not_valid_after_utc, is_new
    )
