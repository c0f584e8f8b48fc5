"""Sealing a backup with age (the package pyrage), so that it may lie where the studio's people do not.

A backup is sealed for recipients: public keys, so that the nightly backup needs no secret at all. With a passphrase, a
key pair is made once; its public half seals, its private half lies in the backup under the passphrase (scrypt), because
stretching a passphrase for each of a million photographs would take days.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from db.errors import BackupKeyError

if TYPE_CHECKING:
    from pyrage import x25519

PASSPHRASE = "MIEN_BACKUP_PASSPHRASE"
_LONGEST = 65536  # bytes of a file of keys or of a passphrase
_SHORTEST = 12  # characters of a passphrase


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Writable(Protocol):
    def write(self, block: bytes, /) -> int: ...

    def flush(self) -> None: ...


@dataclass(frozen=True)
class Seal:
    """Public keys ('age1...') that a backup is sealed for."""

    recipients: tuple[str, ...]

    def encrypt(self, source: Readable, target: Writable) -> None:
        """Seal all of a stream."""
        _pyrage().encrypt_io(source, target, [_recipient(one) for one in self.recipients])


@dataclass(frozen=True, repr=False)
class Opener:
    """The private keys that open a backup; never shown."""

    identities: Sequence["x25519.Identity"]

    def decrypt(self, source: Readable, target: Writable) -> None:
        """Open all of a stream. Raises BackupKeyError when the key is another, ValueError when it is damaged."""
        pyrage = _pyrage()
        try:
            pyrage.decrypt_io(source, target, list(self.identities))
        except pyrage.DecryptError as error:
            if "no matching keys" in str(error).lower():
                raise BackupKeyError("This key does not open the backup: it was sealed for another") from error
            raise ValueError("it does not open: damaged") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise ValueError("it does not open: damaged") from error  # how pyrage tells of a damaged body


def read_recipients(given: str) -> Seal:
    """'age1...' itself, or a file of such lines. Raises BackupKeyError."""
    lines = [given] if given.startswith("age1") else _lines(Path(given))
    if not lines:
        raise BackupKeyError(f"{given} holds no recipient; age-keygen -y KEYFILE prints one ('age1…')")
    for line in lines:
        _recipient(line)
    return Seal(tuple(lines))


def read_identities(path: Path) -> Opener:
    """Private keys from a file as age-keygen writes it. Raises BackupKeyError."""
    pyrage = _pyrage()
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in _lines(path)]
    except pyrage.IdentityError as error:
        raise BackupKeyError(f"{path} is not a file of age identities ('AGE-SECRET-KEY-1…')") from error
    if not found:
        raise BackupKeyError(f"{path} holds no age identity ('AGE-SECRET-KEY-1…')")
    return Opener(found)


def read_passphrase(path: Path | None) -> str | None:
    """A passphrase from the first line of a file, else from MIEN_BACKUP_PASSPHRASE; None when there is neither."""
    if path is None:
        return os.environ.get(PASSPHRASE) or None
    lines = _text(path).splitlines()
    if not lines or not lines[0].strip():
        raise BackupKeyError(f"{path} holds no passphrase in its first line")
    return lines[0].strip()


def new_passphrase_key(passphrase: str) -> tuple[Seal, bytes]:
    """A new key pair: its public half, and its private half sealed under the passphrase."""
    if len(passphrase) < _SHORTEST:
        raise BackupKeyError(f"A backup's passphrase has {_SHORTEST} characters or more: four words, say")
    pyrage = _pyrage()
    identity = pyrage.x25519.Identity.generate()
    return Seal((str(identity.to_public()),)), pyrage.passphrase.encrypt(str(identity).encode(), passphrase)


def open_passphrase_key(sealed: bytes, passphrase: str) -> Opener:
    """The private half. Raises BackupKeyError for another passphrase."""
    pyrage = _pyrage()
    try:
        plain = pyrage.passphrase.decrypt(sealed, passphrase).decode()
        return Opener([pyrage.x25519.Identity.from_str(plain)])
    except (pyrage.DecryptError, pyrage.IdentityError, UnicodeDecodeError) as error:
        raise BackupKeyError("This passphrase does not open the backup") from error


def _recipient(text: str) -> Any:
    pyrage = _pyrage()
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        # Whoever mixes up the two halves must not read the secret one on the screen.
        raise BackupKeyError("A recipient is a public age key, 'age1…'; this is none") from error


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in _text(path).splitlines() if line.strip() and not line.startswith("#")]


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BackupKeyError(f"The key file {path} cannot be read: {reason}") from error


def _pyrage() -> Any:
    try:
        import pyrage
    except ModuleNotFoundError as error:
        raise BackupKeyError("Sealing a backup needs the package pyrage: pip install 'mien[controller]'") from error
    return pyrage
