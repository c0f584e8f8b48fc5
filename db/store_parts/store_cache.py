"""This machine's copies of a remote store's files: people's photographs, in a folder that nobody else reaches.

In the studio's home where there is one. A worker without a home keeps them in the temporary folder, under a name that
anybody could have made first: so what is there must be a folder of this user's own, closed, and no link; nothing is
read, written or removed through a link; and a copy counts only once its bytes have been hashed by this process.
"""

import os
import tempfile
from pathlib import Path

from common.bounded.files import open_regular_file
from common.files.hashes import stream_sha256
from common.files.secret_files import NoSecret, close_own_folder
from db.errors import StoreError

NAME = "mien-store-cache"


class StoreCache:
    """The copies under `folder`, by hash: sha256/ab/ab12…; what is under way lies in tmp/."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else _of_this_user()
        self._found: dict[str, tuple[int, int, int]] = {}  # hash -> the file that was hashed: inode, size, change

    def place(self, sha256: str) -> Path:
        """Where a copy lies. Raises StoreError where the way there leads through a link or somebody else's folder."""
        shards = self.folder / "sha256"
        for folder in (self.folder, shards, shards / sha256[:2]):
            _own(folder)
        return shards / sha256[:2] / sha256

    def temporaries(self) -> Path:
        """The folder of what is under way, made here. Raises StoreError as place does."""
        folder = self.folder / "tmp"
        for made in (self.folder, folder):
            _own(made)
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def has(self, sha256: str) -> bool:
        """Whether the copy is here and has its hash; another is dropped. Hashed once as long as it is not touched."""
        place = self.place(sha256)
        try:
            descriptor = open_regular_file(place, follow=False)
        except FileNotFoundError:
            return False
        except OSError:  # a link, for one: the name goes, not what it points at
            place.unlink(missing_ok=True)
            return False
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            known = (found.st_ino, found.st_size, found.st_ctime_ns)
            if self._found.get(sha256) == known:
                return True
            if stream_sha256(file) == sha256:
                self._found[sha256] = known
                return True
        place.unlink(missing_ok=True)
        return False


def _own(folder: Path) -> None:
    """Raise StoreError for a link, another's folder, or one in which others may write. Closes one they may read."""
    try:
        close_own_folder(folder, (os.geteuid(), 0))
    except FileNotFoundError:
        return
    except NoSecret as error:
        if error.fault == "kind":
            raise StoreError(f"{folder} is no folder of Mien's own, but a link or a file; remove it") from None
        raise StoreError(
            f"{folder} belongs to another user, or others may write there: do not trust what it holds; remove it"
        ) from None


def _of_this_user() -> Path:
    """The folder in the temporary one; with the user's number where another user has that name."""
    plain = Path(tempfile.gettempdir()) / NAME
    try:
        mine = plain.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        mine = True
    return plain if mine else plain.with_name(f"{NAME}-{os.geteuid()}")
