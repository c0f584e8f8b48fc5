"""Append-only text files, such as journals and indexes, that a crash may leave with half a line at their end."""

import os
from pathlib import Path


def append_lines(path: Path, text: str) -> None:
    """Add whole lines, flushed when this returns; one that a crash cut off before stays a line of its own.

    The file is made for its owner alone where there is none, and is never reached through a link. Raises OSError.
    """
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "ab") as file:
        size = os.fstat(handle).st_size
        cut_off = bool(size) and os.pread(handle, 1, size - 1) != b"\n"
        file.write(("\n" if cut_off else "").encode() + text.encode())
        file.flush()
        os.fsync(handle)
