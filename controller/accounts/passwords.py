"""Passwords: argon2id by argon2-cffi, two at a time, and the same work for a name that is nobody's."""

import threading
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from controller.errors import ControllerError

SHORTEST, LONGEST = 12, 200  # characters
FEWEST = 5  # different ones
AT_ONCE = 2  # each takes 64 MiB and some 100 ms of a core
PATIENCE_S = 10.0

_hasher = PasswordHasher()  # RFC 9106, for little memory: 64 MiB, three passes
_turns = threading.BoundedSemaphore(AT_ONCE)


class PasswordRefused(ControllerError):
    """A password that cannot be taken. The message never holds it."""

    exit_code = 2


class SignInBusy(ControllerError):
    """Too many are signing in at once."""


def new_hash(password: str, name: str) -> str:
    """The hash to keep. name: the account's. Raises PasswordRefused for a password that is easily guessed."""
    plain = _plain(password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise PasswordRefused(f"A password has {SHORTEST} to {LONGEST} characters: some words one after the other do")
    if len(set(plain)) < FEWEST or (len(name) > 2 and plain.lower().replace(name.lower(), "").strip() == ""):
        raise PasswordRefused("This password is easily guessed: take some words that nobody connects with you")
    with _turn():
        return _hasher.hash(plain)


def matches(hashed: str | None, password: str) -> bool:
    """Whether it is the password. None, an account without one: the same work, and False."""
    with _turn():
        nobodys = _nobodys()  # made by whoever comes first, whatever name was given
        try:
            right = _hasher.verify(hashed or nobodys, _plain(password)[: LONGEST * 4])
        except (VerificationError, InvalidHashError):
            return False
    return right and bool(hashed)


def hash_anew(hashed: str | None, password: str) -> str | None:
    """The hash of a password that was right, where the kept one was made with other parameters than this program's."""
    if hashed is None or not _hasher.check_needs_rehash(hashed):
        return None
    with _turn():
        return _hasher.hash(_plain(password))


def _plain(password: str) -> str:
    """The same password typed on another keyboard."""
    return unicodedata.normalize("NFKC", password)


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's password")


class _turn:  # noqa: N801
    """One of the few that work at the same time."""

    def __enter__(self) -> None:
        if not _turns.acquire(timeout=PATIENCE_S):
            raise SignInBusy("Too many are signing in at once: try again in a moment")

    def __exit__(self, *_: object) -> None:
        _turns.release()
