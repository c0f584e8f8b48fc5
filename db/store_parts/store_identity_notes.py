"""What a store says of itself: small files under identity/ at its root, each written once.

A note names the studio and how far its records had come when it was written. Two that note at once write two files, so
neither takes the other's away; the highest number counts.
"""

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from common.files.atomic_write import write_whole
from common.files.durable import fsync_folder
from db.errors import StoreError
from db.store_parts.store_answers import unanswered

FOLDER = "identity"
KEPT = 3  # notes before the newest that stay, should the newest prove unreadable
MOST_BYTES = 65_536
_NAME = re.compile(r"^(\d{10})\.json$")


@dataclass(frozen=True)
class StoreNote:
    """One note: whose store it is, and how far the records had come when it was written."""

    studio: str  # the name of the studio that the store belongs to
    number: int  # which note, counted from 1
    head: str  # the hash of the audit log's last entry
    entries: int  # of the audit log
    takes: int  # rows of the table
    frames: int  # rows of the table
    erasures: int  # rows of the table
    noted_at: str  # ISO 8601, UTC

    @classmethod
    def parse(cls, text: bytes, where: str) -> Self:
        """Raises StoreError for what is no note."""
        try:
            found: Any = json.loads(text)
            given = {field.name: found[field.name] for field in fields(cls)}
            if not all(isinstance(given[field.name], field.type) for field in fields(cls)):  # type: ignore[arg-type]
                raise TypeError("a value of another type")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise StoreError(
                f"{where} is no note of a store's identity ({type(error).__name__}); restore it from a copy,"
                " or look at what is there: mien db adopt-store"
            ) from error
        return cls(**given)


def numbers(fs: AbstractFileSystem, root: str) -> list[int]:
    """The notes there are, oldest first. Raises StoreError when the store does not answer."""
    try:
        found = fs.ls(f"{root}/{FOLDER}", detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Exception as error:
        raise unanswered(root, error) from error
    names = (_NAME.match(str(path).rstrip("/").rsplit("/", 1)[-1]) for path in found)
    return sorted(int(name.group(1)) for name in names if name)


def newest(fs: AbstractFileSystem, root: str) -> StoreNote | None:
    """The note that counts; None where the store carries none. Raises StoreError."""
    for _ in range(3):  # a note may be pruned between the list and the reading of it
        found = numbers(fs, root)
        if not found:
            return None
        path = _path(root, found[-1])
        try:
            with fs.open(path, "rb") as file:
                text = file.read(MOST_BYTES)
        except FileNotFoundError:
            continue
        except Exception as error:
            raise unanswered(root, error) from error
        return StoreNote.parse(text, path)
    raise StoreError(f"The store {root} changes its identity while it is read; try again")


def write(fs: AbstractFileSystem, root: str, note: StoreNote) -> None:
    """Write a note, whole and durably, and remove the ones long before it. Raises StoreError."""
    text = (json.dumps(asdict(note), indent=1) + "\n").encode()
    path = _path(root, note.number)
    try:
        if isinstance(fs, LocalFileSystem):
            _write_file(Path(path), text)
        else:
            fs.pipe_file(path, text)
        for number in numbers(fs, root):
            if number < note.number - KEPT:
                fs.rm_file(_path(root, number))
    except FileNotFoundError:
        return  # another one pruned at the same time
    except StoreError:
        raise
    except Exception as error:
        raise unanswered(root, error) from error


def _write_file(path: Path, text: bytes) -> None:
    # Not the folders above it: a store that is away must not be begun anew on the disk underneath.
    path.parent.mkdir(exist_ok=True)
    write_whole(path, text)
    fsync_folder(path.parent)


def _path(root: str, number: int) -> str:
    return f"{root}/{FOLDER}/{number:010d}.json"
