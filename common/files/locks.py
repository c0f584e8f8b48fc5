"""Locks on files, by which processes keep out of each other's way."""

import fcntl
import os
from pathlib import Path


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock on `path`, which is created; None when another process holds it.

    The lock is flock's: it ends with the descriptor, and so with the process. On NFS the server keeps it.
    """
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:  # removed between the two looks by who had it
            pass
        os.close(descriptor)
