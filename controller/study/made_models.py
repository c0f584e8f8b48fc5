"""What the farm made of takes, for the page to draw: scans, registered meshes, textures, displacement."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from controller.study.farm_records import take_data
from controller.study.stage_outputs import MESH, MODELS, SCAN
from db.engine import reading
from db.stage_runs import take_runs
from db.stage_runs.served_files import served_file
from db.stage_runs.take_runs import ProcessedSession, ProcessedTake
from db.store import Store


@dataclass(frozen=True)
class ArtefactFile:
    """A file that may be shown, on this machine."""

    path: Path
    media: str
    sha256: str


class MadeModels:
    """Files of the store that may be shown: consent is asked at each. Methods may be called from any thread."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def sessions(self) -> list[ProcessedSession]:
        """Sessions with a scan, newest first."""
        with reading(self._engine) as tx:
            return take_runs.processed_sessions(tx, SCAN[0])

    def takes(self, session: str) -> list[dict[str, Any]]:
        """The session's takes with what there is of each. Raises NotFound."""
        with reading(self._engine) as tx:
            return [take_data(take) | {"models": _models(take)} for take in take_runs.takes_of_session(tx, session)]

    def file(self, sha256: str) -> ArtefactFile:
        """A file to read from; nothing of it is loaded.

        Raises NotFound, ConsentError (see db.stage_runs.served_files), MissingObject where the store lacks it.
        """
        with reading(self._engine) as tx:
            found = served_file(tx, sha256)
        return ArtefactFile(self._store.local_path(sha256), found.media, sha256)


def _models(take: ProcessedTake) -> dict[str, Any]:
    """By name {sha256, bytes}; `template` is the topology of the mesh."""
    models: dict[str, Any] = {
        name: {"sha256": file.sha256, "bytes": file.bytes}
        for name, (stage, output) in MODELS.items()
        if stage in take.runs and (file := take.runs[stage].files.get(output)) is not None
    }
    if "mesh" in models and (template := take.runs[MESH[0]].template) is not None:
        models["template"] = {"sha256": template}
    return models
