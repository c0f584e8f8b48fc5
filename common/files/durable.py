"""Durability: what was written is on the disk before anybody relies on it."""

import errno
import os
from pathlib import Path

# What file systems answer that cannot flush a folder (some network and user-space ones); PostgreSQL's fsync_fname_ext
# passes over the same.
_CANNOT = {errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def fsync_file(path: Path) -> None:
    """Flush a finished file to the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_folder(folder: Path) -> None:
    """Flush a folder's list of names, so that a file made or renamed there is there after a power cut.

    A file system that cannot do this is passed over: the files themselves are flushed all the same. Any other failure
    (a disk that reports an error, a folder that is gone) raises OSError.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(handle)
