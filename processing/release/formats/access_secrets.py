"""Secret files that open a release: tokens, links, the key that signs them. Their owner alone may read them."""

import os
import stat
from pathlib import Path

from processing.release.formats.errors import AccessError


def read_secret(path: Path, most: int = 4096) -> str:
    """A small file that its owner alone may read. Raises AccessError, never with what is in it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise AccessError(f"{path} cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise AccessError(f"{path} is no file")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise AccessError(f"{path} is a secret that others may read: chmod 600 {path}")
        data = os.read(handle, most + 1)
    finally:
        os.close(handle)
    if len(data) > most:
        raise AccessError(f"{path} is longer than {most} bytes: it is something else")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise AccessError(f"{path} is no plain text") from None


def write_secret(path: Path, text: str) -> None:
    """A new file that its owner alone may read. Raises AccessError when something is there already."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise AccessError(f"{path} cannot be made: {error.strerror}; name another file") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
