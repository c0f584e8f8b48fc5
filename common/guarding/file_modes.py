"""Who may read what Mien writes: its owner alone, save what is made to be handed on."""

import os
import stat
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o077  # the umask of every command
_given = 0o022
_closed = False


def restrict_new_files() -> None:
    """From here on new files and folders, and those of the processes started, are for their owner alone."""
    global _given, _closed
    was = os.umask(PRIVATE)
    if not _closed:
        _given, _closed = was, True


def file_mode() -> int:
    """The mode of a new file where one must be set by hand, as of a temporary that takes another's place."""
    return 0o600 if _closed else 0o644


def open_mode(path: Path) -> int | None:
    """The mode of a file or folder that others than its owner may use; None when it is closed or not there."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return mode if mode & PRIVATE else None


def close(path: Path) -> bool:
    """Take away what others may do with a file or folder of this user's; whether there was anything to take."""
    mode = open_mode(path)
    if mode is None or path.is_symlink():
        return False
    path.chmod(mode & ~PRIVATE)
    return True


def share_with_others(folder: Path) -> None:
    """Give a finished folder that is for others the modes that its maker's own umask would have given it.

    Links are left alone, and files of several names: one of the names may be in a store.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _open(Path(place, name))
    _open(folder)


def _open(path: Path) -> None:
    with suppress(OSError):
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) | (0o777 & ~_given))
        elif stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            path.chmod(stat.S_IMODE(found.st_mode) | (0o444 & ~_given))
