"""A folder for one run, on the store's own disk or where MIEN_SCRATCH says; what killed runs left is swept away."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.files.locks import try_lock
from common.files.secret_files import NoSecret, close_own_folder
from db.errors import StoreError
from db.store import Store

VARIABLE = "MIEN_SCRATCH"
YOUNG_S = 600.0  # not swept: its run may not have locked it yet
_LOCK = ".lock"


def scratch_folder(store: Store) -> Path:
    """Where runs work. On the store's disk photographs are linked into it; elsewhere they are copied."""
    if VARIABLE in os.environ:
        folder = Path(os.environ[VARIABLE])
    elif store.folder is not None:
        folder = store.folder / "tmp"
    else:
        return own_folder("scratch")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def own_folder(what: str) -> Path:
    """A folder in the temporary one for this user alone.

    Anybody could have made one of that name first: raises StoreError unless it is a folder, this user's, and closed.
    """
    folder = Path(tempfile.gettempdir()) / f"mien-{what}-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    try:
        close_own_folder(folder, (os.geteuid(),))
    except NoSecret:
        raise StoreError(f"{folder} is not this user's own folder; who made it? Remove it, or set TMPDIR") from None
    return folder


@contextmanager
def scratch(folder: Path, stage: str) -> Iterator[Path]:
    """A folder of this run's own, locked while it lives and removed at its end."""
    own = Path(tempfile.mkdtemp(prefix=f"mien-{stage}-", dir=folder))
    held = try_lock(own / _LOCK)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        if held is not None:
            os.close(held)


def _is_ours(left: Path) -> bool:
    """A run's folder, and not what else is called so: a studio's home is mien-studio unless somebody names another."""
    if left.is_symlink() or not left.is_dir():
        return False
    return (left / _LOCK).is_file() or {path.name for path in left.iterdir()} <= {"in", "out"}


def sweep(folder: Path, young_s: float = YOUNG_S) -> int:
    """Remove what runs that were killed left in `folder`, on whatever machine they ran; how many there were."""
    swept = 0
    for left in folder.glob("mien-*"):
        try:
            if time.time() - left.stat().st_mtime < young_s or not _is_ours(left):
                continue
            held = try_lock(left / _LOCK)
        except OSError:  # it ended just now
            continue
        if held is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)
            swept += 1
    return swept


def free_gb(folder: Path) -> float:
    """What may still be written there."""
    return shutil.disk_usage(folder).free / 1e9
