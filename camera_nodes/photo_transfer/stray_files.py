"""The tray as people look at it: files that are no take's, with the reason, copied out on request."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from camera_nodes.errors import SpoolError
from camera_nodes.photo_transfer.spool import STRAYS, StrayFile, read_stray_file


@dataclass(frozen=True)
class ListedStray:
    """A file in the tray and the folder that it is in."""

    folder: Path  # in the tray
    stray: StrayFile  # what is known of it

    def as_json(self) -> dict[str, Any]:
        """What is known of it."""
        known: dict[str, Any] = msgspec.to_builtins(self.stray)
        return known | {"folder": str(self.folder)}


def list_stray_files(spool: Path) -> list[ListedStray]:
    """What lies in the tray of this spool, oldest first.  It may be read while the node runs."""
    tray = spool / STRAYS
    if not tray.is_dir():
        return []
    found = [ListedStray(folder, stray) for folder in tray.iterdir() if (stray := read_stray_file(folder)) is not None]
    return sorted(found, key=lambda one: (one.stray.found_at, one.folder.name))


def copy_stray_files(files: Sequence[ListedStray], target: Path) -> list[Path]:
    """Copy them under their own names, two of one name apart; never over a file that is there.  Raises SpoolError."""
    copied = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for one in files:
            name = Path(one.stray.path).name
            place = target / name
            if place.exists():
                place = target / f"{one.stray.sha256[:12]}-{name}"
            if not place.exists():
                shutil.copyfile(one.folder / "photo", place)
                copied.append(place)
    except OSError as error:
        raise SpoolError(f"the tray cannot be copied to {target}: {error.strerror}") from None
    return copied
