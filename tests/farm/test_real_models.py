"""Rigs and a model by Mien's own stages through the records: who left is in none of the next version's bytes."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from db import captures
from db.engine import reading, transaction
from db.models import ConsentScope
from db.rigs import rig_records
from db.settings import Settings
from db.stage_runs.job_queue import troubled_jobs
from db.stage_runs.subject_runs import standing_runs
from db.store import Store
from db.studio import StudioRecords
from db.subjects import get_subject, withdraw_consent
from processing.face_models.blendshapes.rig import read_rig
from processing.face_models.model_file import read_model
from processing.farm.daemon import FarmDaemon
from processing.farm.settings import FarmSettings
from processing.farm.study_model import BuiltModel, ModelSelection, build_model, copy_out, rebuild_model
from processing.stages.discovery import BUILT_IN, discover
from processing.stages.outputs import MODEL, RIG
from processing.synthetic.face_population import population
from processing.synthetic.face_study import face_study
from processing.template.face_units import FaceUnits, topology_of, write_units
from processing.template.template_file import write_template

SUBJECTS = 6
LABELS = ("1_neutral", "2_smile")


def file_of(vertices: Any) -> bytes:
    held = io.BytesIO()
    np.savez(held, vertices_mm=np.asarray(vertices, dtype=np.float64))
    return held.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_subject_leaves_a_model_of_the_real_stages(
    engine: Engine, database_url: str, tmp_path: Path, studio_rows: Any
) -> None:
    stages = tmp_path / "stages"
    shutil.copytree(Path(__file__).parent / "given_meshes", stages)
    for name in ("blendshapes.py", "bilinear.py"):
        shutil.copy(BUILT_IN / name, stages / name)
    home = tmp_path / "home"
    records = StudioRecords(Settings.load(home, database_url), engine, Store(str(home / "store")))
    people = list(face_study(SUBJECTS, 5, vertices=900))
    write_template(tmp_path / "small.npz", people[0].template)
    generic = population("anny", 900, None)
    units = FaceUnits(generic.units, generic.units_mm, topology_of(people[0].template))
    write_units(tmp_path / "small.units.npz", units)
    with transaction(engine) as tx:
        for person in people:
            session_of(tx, records.store, studio_rows, person)
    settings = FarmSettings(
        workers=1,
        poll_s=0.2,
        backoff_s=0.0,
        max_attempts=1,
        disk_floor_gb=0.0,
        stages=(str(stages),),
        template=str(tmp_path / "small.npz"),
        params={MODEL.stage: {"albedo_px": 32}},
    )
    summary = FarmDaemon(engine, records.settings.store, settings, tmp_path / "small.npz").run(until_idle=True)
    with reading(engine) as tx:
        assert [job.error for job in troubled_jobs(tx)] == []
    assert summary.jobs.done == summary.jobs.total == SUBJECTS * (2 * len(LABELS) + 1)
    with reading(engine) as tx:
        rigs = standing_runs(tx, RIG.stage)
    assert sorted(rigs) == codes(SUBJECTS)
    with records.store.open(rigs["S001"].run.files[RIG.output].sha256) as file:
        (tmp_path / "rig.npz").write_bytes(file.read())
    assert read_rig(tmp_path / "rig.npz").examples == LABELS[1:]
    first = build_model(records, settings, "faces", chosen(codes(SUBJECTS)), MODEL.stage)
    assert first.runs == 1
    with transaction(engine) as tx:
        assert withdraw_consent(tx, get_subject(tx, "S003"), [ConsentScope.STATISTICAL_MODEL]).models == ("faces 1",)
    second = rebuild_model(records, settings, "faces", MODEL.stage)
    never = build_model(
        records, settings, "faces-without", chosen(c for c in codes(SUBJECTS) if c != "S003"), MODEL.stage
    )
    assert arrays(records, second, tmp_path / "a.npz") == arrays(records, never, tmp_path / "b.npz")
    copy_out(records, second.files, tmp_path / "faces.npz", discover(stages)[MODEL.stage])
    model = read_model(tmp_path / "faces.npz")
    assert (model.name, model.version, model.card.members) == ("faces", 2, SUBJECTS - 1)


def session_of(tx: Any, store: Store, rows: Any, person: Any) -> None:
    """A subject's closed session whose 'photographs' are its registered meshes."""
    scopes = (ConsentScope.RESEARCH_RELEASE, ConsentScope.STATISTICAL_MODEL)
    rig = rows.rig(tx, cameras=1)
    session = rows.session(tx, rows.subject(tx, *scopes), rig)
    session.calibration = rig_records.add_calibration(tx, rig, "made up", {"0_K": [[1.0, 0.0], [0.0, 1.0]]})
    for label in LABELS:
        data = file_of(person.meshes[label])
        rows.accepted(tx, session, rig, label.partition("_")[2], [(store.put_bytes(data), len(data))])
    captures.close_session(tx, session, incomplete=True)


def codes(number: int) -> list[str]:
    return [f"S{k:03d}" for k in range(1, number + 1)]


def chosen(which: Any) -> ModelSelection:
    return ModelSelection(dict.fromkeys(which, ()), "a" * 64)


def arrays(records: StudioRecords, built: BuiltModel, path: Path) -> dict[str, bytes]:
    """Every array of a model's file, byte for byte, but for its name and version."""
    with records.store.open(built.files[MODEL.output]) as file:
        path.write_bytes(file.read())
    with np.load(path) as held:
        return {name: held[name].tobytes() for name in held.files if held[name].dtype.kind not in "US"}
