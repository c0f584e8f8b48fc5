"""Faults of a machine, for which no input is to blame: no store, or a lack of memory, of a right, library, device."""

import errno
import socket

from db.errors import StoreError
from db.store import Store
from processing.errors import DeviceUnavailable

_ERRNOS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOMEM, errno.EMFILE,
    errno.ENFILE, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.EREMOTEIO, errno.EAGAIN,
    errno.ENOBUFS, errno.ENOLCK,
}  # fmt: skip
_NOT_LOADED = "cannot open shared object file"
_SAID = ("can't start new thread", "CUDA error", "CUDA driver", "cuDNN error")  # by Python and torch, as RuntimeError


class NoStore(Exception):
    """This machine does not see the studio's store."""


def require_store(store: Store, studio: str) -> None:
    """Raises NoStore where the store is not mounted on this machine, is an empty folder, or another studio's.

    studio: whose it must be; empty where the records carry no identity yet, and then its folder is all that is asked.
    """
    here = f"{socket.gethostname()} does not see the store {store.root}"
    try:
        if absent := store.absence():
            raise NoStore(f"{here}: {absent}. Mount it there")
        note = store.identity() if studio else None
    except StoreError as error:
        raise NoStore(f"{here}: {error}") from error
    if not studio:
        return
    if note is None:
        raise NoStore(f"{here}: what lies there carries no identity, as an empty mount point does. Mount it there")
    if note.studio != studio:
        raise NoStore(f"{here}: what lies there is another studio's ({note.studio[:8]}, not {studio[:8]})")


def machine_fault(error: BaseException) -> str:
    """What a machine lacks, where that is why a run ended, as its error and what caused it say; else empty."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":  # torch has one of its own
            return f"no memory is left for the run ({cause})" if str(cause) else "no memory is left for the run"
        if isinstance(cause, ImportError) or (isinstance(cause, OSError) and _NOT_LOADED in str(cause)):
            return f"a library is missing or cannot be loaded: {cause}"
        if isinstance(cause, OSError) and cause.errno in _ERRNOS:
            return str(cause)
        if isinstance(cause, DeviceUnavailable) or (isinstance(cause, RuntimeError) and str(cause).startswith(_SAID)):
            return str(cause).splitlines()[0]
        cause = cause.__cause__
    return ""
