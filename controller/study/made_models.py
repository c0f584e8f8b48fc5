"""What the farm made of takes, for the page to draw: scans, registered meshes, textures, displacement."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from controller.study.farm_records import take_data
from controller.study.stage_outputs import DISPLACEMENT, MESH, MODELS, RIG, SCAN, TEXTURE
from db.engine import reading
from db.models import JobState
from db.stage_runs import take_runs
from db.stage_runs.served_files import served_file
from db.stage_runs.subject_runs import SubjectRun, subject_runs
from db.stage_runs.take_runs import MadeFile, ProcessedSession, ProcessedTake
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

    def rig(self, session: str) -> dict[str, Any]:
        """What the session's subject is moved by: its rig, and the displacement of each expression that it was made of.

        `rig` is None where there is none of these takes, or it may not be shown. Raises NotFound.
        """
        with reading(self._engine) as tx:
            takes = take_runs.takes_of_session(tx, session)
            subjects = sorted({take.subject for take in takes})
            runs = [run for run in subject_runs(tx, RIG[0], subjects) if run.session == session]
        made = next((run for run in runs if run.shown and run.run.state is JobState.DONE), None)
        return {"session": session, **(_rig(made, takes) if made is not None else {"rig": None})}

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


def _rig(made: SubjectRun, takes: list[ProcessedTake]) -> dict[str, Any]:
    """Its files by what they are; maps by FaceScape's names of the takes that the rig was made of."""
    rig = made.run.files.get(RIG[1])
    if rig is None or made.run.template is None:
        return {"rig": None}
    read = {take.label: take for take in takes if take.shown and take.label in made.takes}
    maps = {label: _file(file) for label, take in read.items() if (file := _made(take, DISPLACEMENT)) is not None}
    neutral = next((take for label, take in read.items() if label.endswith("_neutral")), None)
    texture = _made(neutral, TEXTURE) if neutral is not None else None
    return {
        "subject": made.subject, "stands": made.stands, "rig": _file(rig), "template": {"sha256": made.run.template},
        "texture": _file(texture) if texture is not None else None, "maps": maps,
    }  # fmt: skip


def _made(take: ProcessedTake, output: tuple[str, str]) -> MadeFile | None:
    stage, name = output
    return take.runs[stage].files.get(name) if stage in take.runs else None


def _file(made: MadeFile) -> dict[str, Any]:
    return {"sha256": made.sha256, "bytes": made.bytes}
