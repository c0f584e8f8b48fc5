"""Secrets in files: keys and tokens that their owner alone may read.

Each room has its own words for what is wrong; here stands what is looked at, and in which order.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Literal

from common.bounded.files import open_regular_file
from common.files.atomic_write import write_new
from common.guarding.file_modes import PRIVATE

SECRET_MODE = 0o600
_OTHERS_WRITE = 0o022
Fault = Literal["kind", "size", "open", "owner"]


class NoSecret(Exception):
    """A file that is not fit to hold a secret.

    fault: "kind" (a pipe, a device, a folder), "size" (longer than any such secret), "open" (others than its owner may
    use it), "owner" (another user's).  mode: its permissions; uid: whose it is.
    """

    def __init__(self, fault: Fault, mode: int = 0, uid: int = 0) -> None:
        super().__init__(fault)
        self.fault, self.mode, self.uid = fault, mode, uid


def read_secret(path: Path, most: int, *, follow: bool = False) -> bytes:
    """What a secret's file holds. follow: through a symbolic link too.

    Raises OSError when it cannot be opened, NoSecret for what is no file, has more than `most` bytes or is open to
    others; never with what is in it.
    """
    try:
        handle = open_regular_file(path, follow=follow)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.EINVAL):
            raise NoSecret("kind") from None
        raise
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if found.st_size > most:
            raise NoSecret("size")
        if found.st_mode & PRIVATE:
            raise NoSecret("open", stat.S_IMODE(found.st_mode), found.st_uid)
        data = file.read(most + 1)
    if len(data) > most:
        raise NoSecret("size")
    return data


def write_secret(path: Path, text: str) -> None:
    """Make a file with a secret, flushed when this returns. Raises FileExistsError where anything is, OSError."""
    write_new(path, text, mode=SECRET_MODE)


def check_private(path: Path, *, owners: tuple[int, ...] = ()) -> None:
    """Raise NoSecret for a file or folder that others may use, or that belongs to none of `owners` (none: any).

    Raises OSError when it is not there.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & PRIVATE:
        raise NoSecret("open", mode, found.st_uid)
    if owners and found.st_uid not in owners:
        raise NoSecret("owner", mode, found.st_uid)


def close_own_folder(folder: Path, owners: tuple[int, ...]) -> None:
    """Make sure that a folder in a place where anybody may make one is of `owners`, and close it to all others.

    Raises NoSecret for a link or a file, another user's folder, or one in which others may write; OSError when there
    is none.
    """
    found = folder.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISDIR(found.st_mode):
        raise NoSecret("kind", mode, found.st_uid)
    if found.st_uid not in owners:
        raise NoSecret("owner", mode, found.st_uid)
    if mode & _OTHERS_WRITE:
        raise NoSecret("open", mode, found.st_uid)
    if mode & PRIVATE:
        folder.chmod(0o700)
