"""SHA-256 of files, as 64 hexadecimal digits."""

import hashlib
import os
from pathlib import Path
from typing import IO

from common.bounded.files import open_regular_file

_DIGITS = frozenset("0123456789abcdef")


def file_sha256(path: Path, *, follow: bool = True) -> str:
    """Of the file at `path`. Raises OSError.

    follow: through a symbolic link, and a pipe will do; otherwise it is an ordinary file in just this place.
    """
    with path.open("rb") if follow else os.fdopen(open_regular_file(path, follow=False), "rb") as file:
        return stream_sha256(file)


def stream_sha256(file: IO[bytes]) -> str:
    """Of what is left of an open file, to its end."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # read, readinto are enough


def is_sha256(text: str) -> bool:
    """Whether `text` could be such a hash, as it is written here."""
    return len(text) == 64 and set(text) <= _DIGITS
