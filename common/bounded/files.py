"""Files opened so that a pipe, a device or a file without end holds nobody up."""

import errno
import os
import stat
from pathlib import Path

from common.bounded.limits import OutOfBounds


def open_regular_file(path: Path, *, follow: bool = True) -> int:
    """A descriptor of an ordinary file, open for reading. follow: through a symbolic link.

    Raises OSError (also for a pipe, a socket, a device or a folder, with words that say so) and never waits.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags if follow else flags | getattr(os, "O_NOFOLLOW", 0))
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "is a pipe, a device or a socket, not a file", str(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_file_or_pipe(path: Path, most: int) -> bytes:
    """As read_bytes; a pipe too where the caller's shell has opened it: /dev/stdin, or /dev/fd/N as `<(…)` names it.

    Such a pipe has somebody who writes; one in the file system may wait for ever.
    """
    if not (str(path) == "/dev/stdin" or str(path.parent) in ("/dev/fd", "/proc/self/fd")):
        return read_bytes(path, most)
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OutOfBounds(f"it has more than {most:,} bytes, and no more are read")
    return data


def read_bytes(path: Path, most: int) -> bytes:
    """A whole ordinary file of at most `most` bytes. Raises OSError, and OutOfBounds for a larger one."""
    with os.fdopen(open_regular_file(path), "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OutOfBounds(f"it has {size:,} bytes; at most {most:,} are read")
        data = file.read(size)
        while len(data) <= most and (more := file.read(min(1 << 20, most + 1 - len(data)))):  # it is being written
            data += more
        if len(data) > most:
            raise OutOfBounds(f"it has more than {most:,} bytes, and no more are read")
        return data


def read_text(path: Path, most: int) -> str:
    """A whole UTF-8 file. Raises OSError, OutOfBounds, UnicodeDecodeError."""
    return read_bytes(path, most).decode("utf-8")
