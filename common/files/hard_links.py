"""Hard links: one file's bytes under another name, without a second copy where the file system allows it."""

import errno
import os
import shutil
from pathlib import Path

# What file systems answer that cannot link (another disk, FAT, too many names, a rule of the kernel's).
_CANNOT = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def link_or_copy(source: Path, target: Path) -> None:
    """`source` at `target` too, for readers only: by a hard link, or as a copy where there can be none.

    The folder is made. Raises FileExistsError when something is at `target`, OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        shutil.copyfile(source, target)
