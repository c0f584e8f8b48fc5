"""The folder of a run: its files, its lock, and the request that it belongs to."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files.atomic_write import write_whole
from common.files.json_object import read_json_object
from common.files.locks import try_lock
from processing.learning.weights_file import LearnedCard
from processing.training.run_card import read_card
from processing.training.train_settings import TrainingError, TrainSettings

WEIGHTS, CARD = "weights.safetensors", "card.json"
_SHOWN = 8  # differences that are named


@dataclass(frozen=True)
class RunFiles:
    """A run's files; see `trainer`."""

    folder: Path

    @property
    def request(self) -> Path:
        return self.folder / "request.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def card(self) -> Path:
        return self.folder / CARD

    def best(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"

    def remove_bests(self, *, but: int) -> None:
        """Those that the checkpoint no longer means."""
        for path in self.folder.glob("best-*.safetensors"):
            if path != self.best(but):
                path.unlink(missing_ok=True)

    def write_progress(self, rows: Sequence[Mapping[str, float]]) -> None:
        """progress.csv; a column for everything that any row has: counts, losses, figures of those held back."""
        first = ("step", "epoch", "seconds")
        rest = {name for row in rows for name in row} - {*first}
        columns = [*first, *sorted(rest, key=lambda name: (name.startswith("held_back_"), name))]
        text = io.StringIO()
        table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_whole(self.folder / "progress.csv", text.getvalue(), durable=False)

    def read_card(self) -> LearnedCard:
        return read_card(self.card)


@contextmanager
def open_run(folder: Path, settings: TrainSettings, card: LearnedCard) -> Iterator[RunFiles]:
    """The run, for this process alone. Raises TrainingError where another trains there or its request is another."""
    files = RunFiles(Path(folder))
    if files.folder.exists() and not files.folder.is_dir():
        raise TrainingError(f"{folder} is a file; name a folder for the run")
    files.folder.mkdir(parents=True, exist_ok=True)
    lock = try_lock(files.folder / "lock")
    if lock is None:
        raise TrainingError(f"another process trains in {folder} just now: wait for it, or name another --out")
    try:
        _require_same(files, request_of(settings, card))
        yield files
    finally:
        os.close(lock)


def request_of(settings: TrainSettings, card: LearnedCard) -> dict[str, Any]:
    """What a run is of: equal requests give equal weights on one machine's CPU."""
    said = card.as_json()
    return {
        "kind": said["kind"], "model": said["model"], "release": said["release"], "subjects": said["subjects"],
        "held_back": said["held_back"], "settings": said["settings"], "training": dict(settings.request()),
    }  # fmt: skip


def _require_same(files: RunFiles, request: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps(request))  # tuples as lists, as the file has them
    if not files.request.is_file():
        strangers = [path for path in (files.checkpoint, files.weights) if path.exists()]
        if strangers:
            raise TrainingError(f"{strangers[0]} is there and {files.request.name} is not: name another --out")
        write_whole(files.request, json.dumps(plain, indent=1, sort_keys=True) + "\n")
        return
    differences = list(_differences(read_json_object(files.request, TrainingError), plain))
    if differences:
        more = f"\n  and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        listed = "\n".join(f"  {one}" for one in differences[:_SHOWN])
        raise TrainingError(
            f"{files.folder} is a run of another request:\n{listed}{more}\nAsk for the same again to go on, or name "
            "another --out"
        )


def _differences(was: Any, now: Any, name: str = "") -> Iterator[str]:
    """In words, as in 'settings.rate: was 0.001, now 0.002'."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*was, *now)):
            yield from _differences(was.get(key), now.get(key), f"{name}.{key}" if name else str(key))
    elif isinstance(was, list) and isinstance(now, list) and was != now:
        gone, new = [x for x in was if x not in now], [x for x in now if x not in was]
        if gone or new:
            yield f"{name}: {len(was)} were, {len(now)} are{_named(', no longer ', gone)}{_named(', new ', new)}"
        else:
            yield f"{name}: in another order"
    elif was != now:
        yield f"{name}: was {_short(was)}, now {_short(now)}"


def _named(what: str, some: Sequence[Any]) -> str:
    return what + " ".join(str(x)[:40] for x in some[:4]) + (" ..." if len(some) > 4 else "") if some else ""


def _short(value: Any) -> str:
    return json.dumps(value)[:80]
