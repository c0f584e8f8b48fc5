"""Atomic writes: a file appears whole under its name or not at all, whoever is killed meanwhile.

Bytes go to a temporary name in the same folder, are flushed, and take the name by a rename. Which way to take:

    write_whole     in place of what is there
    atomic_write    the same for a library that writes to a path of its own
    write_new       only where nothing is there; another's file is never touched
    write_first     where two may make the same file at once, and the first one's counts
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.guarding.file_modes import file_mode

_PART = ".part"  # ends the name of what is not whole yet: no reader looks for such an ending


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder, renamed to `path` when the block ends well, removed when it does not.

    The folder is made; the temporary keeps the ending of `path`, by which some libraries choose the format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(file_mode())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes | str, *, mode: int | None = None, durable: bool = True) -> None:
    """Put `data` (a str as UTF-8) in place of what is at `path`; its folder must be there. Raises OSError.

    mode: of the file, as that of any new file by default. durable: flushed before it takes its name, so that a power
    cut leaves the old file or the new one; without, that holds for the end of this process alone.
    """
    temporary = _temporary(path, data, mode, durable)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_new(path: Path, data: bytes | str, *, mode: int | None = None) -> None:
    """Make a file, flushed when this returns. Raises FileExistsError where anything is there, a link too, and OSError.

    What was begun is removed when it cannot be finished.
    """
    mode = file_mode() if mode is None else mode
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        _fill(handle, data, mode, durable=True)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_first(path: Path, data: bytes | str, *, mode: int | None = None) -> bool:
    """Make a file unless another process makes it first; whether this one's counts. Raises OSError."""
    temporary = _temporary(path, data, mode, durable=True)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _temporary(path: Path, data: bytes | str, mode: int | None, durable: bool) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=_PART)
    try:
        _fill(handle, data, file_mode() if mode is None else mode, durable)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _fill(handle: int, data: bytes | str, mode: int, durable: bool) -> None:
    """Write to a descriptor and close it."""
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        file.write(data.encode() if isinstance(data, str) else data)
        if durable:
            file.flush()
            os.fsync(handle)
