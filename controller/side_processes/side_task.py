"""A side task: one look at one take, in a private folder, by a command of the farm."""

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from controller.side_processes.side_command import SideResult
from db.store import Store
from db.takes.side_inputs import SideInputs


class SideTask(Protocol):
    """What is done beside a session with each take. The threads of the studio never wait for it."""

    name: str

    def begun(self, take: str) -> None:
        """It is about to be done."""

    def words(self, inputs: SideInputs, folder: Path) -> list[str]:
        """The command of Mien that does it, over the take's folder."""

    def views(self, inputs: SideInputs) -> Collection[int]:
        """The views whose photographs it needs."""

    def ended(self, inputs: SideInputs, folder: Path, result: SideResult) -> None:
        """What came of it. The folder is gone afterwards."""

    def not_done(self, take: str, why: str) -> None:
        """It was not begun, or was called off; why, "" where nobody need know."""


@dataclass(frozen=True)
class Scratch:
    """The folder under which private folders are made; what an earlier studio left there is removed."""

    place: Path

    def clear(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder for the owner alone (0700), gone at the end whatever happens."""
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=self.place))  # 0700
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def write_take_folder(inputs: SideInputs, views: Collection[int], store: Store, folder: Path) -> None:
    """A take folder as the farm reads it, with these views alone. Raises RecordError and OSError."""
    folder.mkdir(mode=0o700)
    for view, sha256 in inputs.photographs.items():
        if view in views:
            store.link(sha256, folder / f"{view}.jpg")
    told = {f"{view}_absent": why for view, why in inputs.absent.items() if view in views}
    params = {key: value for key, value in (inputs.calibration or {}).items() if _of(key) in views} | told
    (folder / "params.json").write_text(json.dumps(params))


def _of(key: str) -> int | None:
    """The view that a key of params.json is about, as in '12_Rt'."""
    number = key.partition("_")[0]
    return int(number) if number.isdecimal() else None
