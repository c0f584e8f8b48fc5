"""A small studio whose farm has finished: real files in a real store, lineage in the records."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from sqlalchemy import Engine

from db import captures
from db.engine import transaction, utc_now
from db.models import Consent, ConsentScope, Gender, Take
from db.protocols import EXPRESSIONS
from db.rigs import rig_records
from db.settings import Settings
from db.stage_runs import job_queue
from db.stage_runs.artefacts import OutputFile, frames_of_take
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec
from db.store import Store
from db.studio import StudioRecords
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.ply import write_ply
from processing.files.stage_files import write_vertices
from processing.geometry.mesh import Mesh
from processing.release.studio.export import topology_files
from processing.release.studio.export.build import build_release
from processing.template.template import from_mesh
from processing.template.template_file import write_template

VIEWS = 3
OUTPUTS = {"reconstruct": "scan", "register": "mesh", "texture": "texture", "bake": "displacement"}


def grid(size: int = 6) -> Mesh:
    """A bent sheet of size x size vertices with UVs, mm."""
    u, v = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    uvs = np.stack([u.ravel(), v.ravel()], axis=1)
    vertices = np.stack([uvs[:, 0] * 100, uvs[:, 1] * 120, 20 * np.sin(np.pi * uvs[:, 0])], axis=1)
    a = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).ravel()
    triangles = np.concatenate(
        [np.stack([a, a + 1, a + size], axis=1), np.stack([a + 1, a + size + 1, a + size], axis=1)]
    ).astype(np.int32)
    return Mesh(vertices, triangles, uvs, triangles)


@dataclass
class FinishedStudio:
    """Writes subjects with processed takes."""

    records: StudioRecords
    rows: Any
    folder: Path
    mesh: Mesh = field(default_factory=grid)
    relief_scale_mm: float = 5.0
    views: int = VIEWS

    def __post_init__(self) -> None:
        landmarks = np.zeros(68, np.int32), np.tile([1 / 3, 1 / 3, 1 / 3], (68, 1))
        write_template(self.folder / "template.npz", from_mesh("sheet", self.mesh, *landmarks))
        self.template = self.records.store.put_file(self.folder / "template.npz")

    def subject(
        self, *scopes: Any, expressions: tuple[str, ...] = ("neutral", "smile"), given_on: date = date(2026, 1, 2)
    ) -> str:
        """A subject with a closed session of processed takes; its code."""
        with transaction(self.records.engine) as tx:
            subject = self.rows.subject(tx, *scopes, given_on=given_on)
            # The farm works for those alone who consent: who does not in the end did while it worked.
            early = date(2026, 1, 1)
            lent = [] if scopes else [Consent(subject_id=subject.id, scope=ConsentScope.RESEARCH_RELEASE,
                                              given_on=early, recorded_at=utc_now())]  # fmt: skip
            tx.add_all(lent)
            for consent in subject.consents:
                consent.given_on = min(given_on, early)
            tx.flush()
            tx.expire(subject, ["consents"])
            self.session(tx, subject, expressions)
            for consent in lent:
                tx.delete(consent)
            tx.flush()
            tx.expire(subject, ["consents"])
            for consent in subject.consents:
                consent.given_on = given_on
        return str(subject.code)

    def photographs(self, session: str, expression: str) -> list[tuple[str, int]]:
        """(SHA-256, bytes) a view, filed in the store."""
        return [self.photograph(f"{session} {expression} {view}") for view in range(self.views)]

    def session(self, tx: Any, subject: Any, expressions: tuple[str, ...]) -> list[Take]:
        rig = self.rows.rig(tx, cameras=self.views)
        session = self.rows.session(tx, subject, rig)
        session.calibration = rig_records.add_calibration(tx, rig, "board", self.calibration())
        takes = []
        for name in expressions:
            takes.append(self.rows.accepted(tx, session, rig, name, self.photographs(session.code, name)))
            self.process(tx, takes[-1])
        captures.close_session(tx, session, incomplete=True)
        return takes

    def calibration(self) -> dict[str, Any]:
        rt = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 900.0]]
        k = [[50.0, 0, 4.0], [0, 50.0, 6.0], [0, 0, 1.0]]
        return {f"{v}_{key}": value for v in range(self.views) for key, value in (("K", k), ("Rt", rt))}

    def photograph(self, text: str) -> tuple[str, int]:
        path = self.folder / "photo.jpg"
        Image.fromarray(self._pixels(text, (12, 8, 3))).save(path)
        return self.records.store.put_file(path), path.stat().st_size

    def process(self, tx: Any, take: Take, *, until: str = "bake", version: int = 1) -> None:
        """What the farm leaves: jobs done in order, up to stage `until`."""
        keys = {stage: self.rows.sha(f"{stage} {version} {take.code}") for stage in OUTPUTS}
        scan, mesh = InputMade("scan", keys["reconstruct"], "scan"), InputMade("mesh", keys["register"], "mesh")
        photos, template = InputFile("take", self.rows.sha(take.code)), InputFile("template", self.template)
        needs = {
            "reconstruct": [photos],
            "register": [template, scan],
            "texture": [template, photos, mesh],
            "bake": [template, mesh, scan],
        }
        for stage, output in OUTPUTS.items():
            spec = JobSpec(keys[stage], stage, version, {}, needs[stage], take.session.subject_id, take.id)
            job_queue.enqueue(tx, spec)
            lease = job_queue.claim(tx, "test", stages=[stage])
            assert lease is not None
            assert lease.key == keys[stage]
            made = {output: self._make(output, f"{take.code} {version}"), **self.also(stage, take)}
            filed = [(name, self.records.store.put_file(path), path.stat().st_size) for name, path in made.items()]
            outputs = [OutputFile(name, sha256, size, "test") for name, sha256, size in filed]
            frames = [frame.id for frame in frames_of_take(tx, take.id)] if photos in needs[stage] else []
            job_queue.finish(tx, lease, outputs, frame_ids=frames)
            if stage == until:
                return

    def also(self, _stage: str, _take: Take) -> dict[str, Path]:
        """Further outputs of a stage."""
        return {}

    def _make(self, output: str, text: str) -> Path:
        moved = self.mesh.vertices_mm + np.random.default_rng(_seed(text)).normal(0, 0.1, self.mesh.vertices_mm.shape)
        if output == "scan":
            write_ply(self.folder / "scan.ply", Mesh(moved, self.mesh.triangles))
            return self.folder / "scan.ply"
        if output == "mesh":
            write_vertices(self.folder / "mesh.npz", moved)
            return self.folder / "mesh.npz"
        if output == "texture":
            Image.fromarray(self._pixels(text, (16, 16, 3))).save(self.folder / "texture.jpg")
            return self.folder / "texture.jpg"
        rng = np.random.default_rng(_seed(text))
        relief = DisplacementMap(rng.normal(0, 0.3, (16, 16)).astype(np.float32), rng.random((16, 16)) < 0.9)
        write_displacement_png(self.folder / "displacement.png", relief, self.relief_scale_mm)
        return self.folder / "displacement.png"

    @staticmethod
    def _pixels(text: str, shape: tuple[int, ...]) -> Any:
        return np.random.default_rng(_seed(text)).integers(0, 255, shape).astype(np.uint8)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of landmarks are for people; most tests only need them to be there."""
    monkeypatch.setattr(topology_files, "CHECK_HEIGHT_PX", 48)


@pytest.fixture
def studio(engine: Engine, database_url: str, studio_rows: Any, tmp_path: Path) -> FinishedStudio:
    home = tmp_path / "home"
    settings = Settings(home, database_url, str(home / "store"))
    settings.make_home()
    (tmp_path / "work").mkdir()
    return FinishedStudio(StudioRecords(settings, engine, Store(settings.store)), studio_rows, tmp_path / "work")


@dataclass(frozen=True)
class SyntheticRelease:
    """Subject 1 performs and shows all 20 expressions; subject 2 two, with eyes mosaicked; subject 3 shows none."""

    folder: Path
    store: Store


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> SyntheticRelease:
    """A release of synthetic subjects, built once for all of the workers; tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "synthetic"
    said = folder / "release.txt"
    with FileLock(folder.with_suffix(".lock")):
        if not said.exists():
            folder.mkdir()
            said.write_text(str(_synthetic_release(folder)))
    return SyntheticRelease(Path(said.read_text()), Store(str(folder / "home" / "store")))


def _synthetic_release(folder: Path) -> Path:
    made = _beside("synthetic_studio")
    studio = made.synthetic_studio(FinishedStudio, folder, views=7)
    release, publication, eyes = list(ConsentScope)[:3]
    made.capture(studio, release, publication, expressions=EXPRESSIONS, age=31, gender=Gender.FEMALE)
    studio.person_is(5)
    two = ("neutral", "smile")
    made.capture(studio, release, publication, eyes, expressions=two, age=58, gender=Gender.MALE)
    made.capture(studio, release, expressions=two[:1], age=58, gender=Gender.MALE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            topology_files, "CHECK_HEIGHT_PX", 48
        )  # no longer than this: it outlives the tests that ask for it
        built = build_release(studio.records, "faces", folder / "releases", workers=1)
    studio.records.engine.dispose()
    return built.folder


@pytest.fixture(scope="session")
def g() -> Any:
    """What tests of gated access share: see gated.py."""
    return _beside("gated")


@pytest.fixture(scope="session")
def beside() -> Callable[[str], Any]:
    """Loads a module beside this file by its name; there are no packages under tests/."""
    return _beside


def _beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"mien_tests_{name}", Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
