"""Rigs and face models in releases: who may leave, what is written, what holders are told when a member leaves."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_model import small_model
from sqlalchemy import select

from db.engine import reading, transaction, utc_now
from db.erasure.take_withdrawals import withdraw_take
from db.face_models.model_records import record_model
from db.models import ConsentScope, FaceModel, ReleaseItem, Take
from db.stage_runs import job_queue
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec
from db.subjects import get_subject, withdraw_consent
from processing.face_models.blendshapes.rig import Rig, read_rig, write_rig
from processing.face_models.model_file import read_model, write_model
from processing.geometry.topology import topology_id
from processing.release.formats.errors import SelectionError
from processing.release.formats.tombstones import Tombstone
from processing.release.holder.manifest_diff import compare
from processing.release.holder.verify import VerificationFault, find_newer, verify
from processing.release.studio.export.build import BuildRequest, build_release
from processing.release.studio.selection.selection import select_takes
from processing.release.studio.selection.selection_file import propose, read_selection, write_selection
from processing.release.studio.selection.selection_rules import Options, Quality, Split
from processing.release.studio.withdrawals.release_records import recorded
from processing.template.face_units import ARKIT_UNITS

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RELEASE, MODELLED = ConsentScope.RESEARCH_RELEASE, ConsentScope.STATISTICAL_MODEL


class Study:
    """Rigs and models in the records of a finished studio, as the farm leaves them."""

    def __init__(self, studio: Any) -> None:
        self.studio, self.folder, self.records = studio, studio.folder, studio.records

    def _done(self, tx: Any, spec: JobSpec, made: dict[str, Path]) -> None:
        job_queue.enqueue(tx, spec)
        lease = job_queue.claim(tx, "test", stages=[spec.stage])
        assert lease is not None
        put = self.records.store.put_file
        outputs = [OutputFile(name, put(path), path.stat().st_size, "test") for name, path in made.items()]
        job_queue.finish(tx, lease, outputs, frame_ids=[])

    def rig(self, code: str, labels: tuple[str, ...] = ("1_neutral", "2_smile")) -> Rig:
        """The subject's rig, of all its takes."""
        mesh = self.studio.mesh
        rng = np.random.default_rng(int(code[1:]))
        neutral = (mesh.vertices_mm + rng.normal(0, 1, mesh.vertices_mm.shape)).astype(np.float32)
        shapes = np.repeat(neutral[None], len(ARKIT_UNITS), axis=0)
        shapes[:, :6] += rng.normal(0, 2, (len(ARKIT_UNITS), 6, 3)).astype(np.float32)
        rig = Rig(ARKIT_UNITS, neutral, shapes, topology_id(mesh), labels, np.zeros((len(labels), 52)))
        write_rig(self.folder / "rig.npz", rig)
        weights = {label: dict.fromkeys(ARKIT_UNITS, 0.0) for label in labels}
        (self.folder / "weights.json").write_text(json.dumps(weights))
        with transaction(self.records.engine) as tx:
            subject = get_subject(tx, code)
            takes = list(tx.scalars(select(Take).where(Take.code.startswith(f"{code}-")).order_by(Take.id)))
            meshes = [
                InputMade("meshes", self.studio.rows.sha(f"register 1 {take.code}"), "mesh", label)
                for take, label in zip(takes, labels, strict=True)
            ]
            inputs = [InputFile("template", self.studio.template), *meshes]
            key = self.studio.rows.sha(f"rig {code}")
            spec = JobSpec(key, "blendshapes", 1, {}, inputs, subject.id, subjects=[subject.id])
            self._done(tx, spec, {"rig": self.folder / "rig.npz", "weights": self.folder / "weights.json"})
        return rig

    def model(self, codes: list[str], version: int = 1) -> None:
        """A model of these subjects."""
        model = replace(small_model(), name="people", version=version)
        write_model(self.folder / "model.npz", model)
        for name, text in (("card.md", "# people"), ("card.json", "{}"), ("picture.png", f"{version}")):
            (self.folder / name).write_text(text)
        with transaction(self.records.engine) as tx:
            key = self.studio.rows.sha(f"model {version}")
            rigs = [InputMade("rigs", self.studio.rows.sha(f"rig {code}"), "rig", code) for code in codes]
            members = [get_subject(tx, code).id for code in codes]
            made = {"model": "model.npz", "card": "card.md", "card_data": "card.json", "quality": "picture.png"}
            spec = JobSpec(key, "bilinear", 1, {}, rigs, subjects=members)
            self._done(tx, spec, {name: self.folder / path for name, path in made.items()})
            record_model(tx, "people", version, key, "0" * 64, {"subjects": codes})


@pytest.fixture
def study(studio: Any) -> Study:
    return Study(studio)


def missing(folder: Path) -> dict[str, str]:
    with (folder / "missing.csv").open() as lines:
        return {row["file"]: row["why"] for row in csv.DictReader(lines)}


def test_rigs_and_models_are_there_described_and_whole(study: Study, tmp_path: Path) -> None:
    codes = [study.studio.subject(RELEASE, MODELLED) for _ in range(2)]
    rigs = [study.rig(code) for code in codes]
    study.model(codes)
    built = build_release(study.records, "faces", tmp_path)
    folder = built.folder
    assert verify(folder).intact
    paths = built.manifest.by_path.keys()
    assert {f"rigs/{n}/{file}" for n in (1, 2) for file in ("rig.npz", "weights.json", "rig.glb")} <= paths
    files = ("model.npz", "card.md", "card.json", "picture.png")
    assert {path for path in paths if path.startswith("models/")} == {f"models/people-1/{file}" for file in files}
    np.testing.assert_array_equal(read_rig(folder / "rigs/2/rig.npz").shapes_mm, rigs[1].shapes_mm)
    assert read_model(folder / "models/people-1/model.npz").name == "people"
    assert b"browDownLeft" in (folder / "rigs/1/rig.glb").read_bytes()
    assert not {path for path in missing(folder) if path.startswith("rigs")}
    with (folder / "subjects.csv").open() as lines:
        assert [row["rig"] for row in csv.DictReader(lines)] == ["rigs/1/rig.npz", "rigs/2/rig.npz"]
    sets = {one["@id"]: one for one in json.loads((folder / "croissant.json").read_text())["distribution"]}
    assert sets["rigs"]["includes"] == "rigs/*/rig.npz"
    assert sets["models"]["includes"] == "models/*/model.npz"
    said = json.loads((folder / "conventions.json").read_text())
    assert "equation" in said["rig"]
    sheet = (folder / "datasheet.md").read_text()
    assert "Face model `models/people-1`, 20 people" in sheet
    assert "2 subjects have a rig" in sheet
    again = build_release(study.records, "faces", tmp_path)
    for path in paths:
        if path.startswith(("rigs/", "models/")) and not path.endswith(".glb"):  # which names its release
            assert (again.folder / path).read_bytes() == (folder / path).read_bytes()


def test_a_model_stays_without_the_consent_of_each_member(study: Study, tmp_path: Path) -> None:
    consents, unreleased = study.studio.subject(RELEASE, MODELLED), study.studio.subject(RELEASE, MODELLED)
    for code in (consents, unreleased):
        study.rig(code)
    study.model([consents, unreleased])
    with transaction(study.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, unreleased), [RELEASE])
    with reading(study.records.engine) as tx:
        chosen = select_takes(tx, study.records.store, utc_now().date())
    assert chosen.models == ()
    assert [kept.name for kept in chosen.models_kept] == ["people"]
    folder = build_release(study.records, "faces", tmp_path).folder
    assert not (folder / "models").exists()
    assert (folder / "rigs/1/rig.npz").exists()
    assert not (folder / "rigs/2").exists()


def test_holders_are_told_of_a_model_that_a_member_left(study: Study, tmp_path: Path) -> None:
    codes = [study.studio.subject(RELEASE, MODELLED) for _ in range(3)]
    for code in codes:
        study.rig(code)
    study.model(codes)
    first = build_release(study.records, "faces", tmp_path)
    with transaction(study.records.engine) as tx:
        done = withdraw_consent(tx, get_subject(tx, codes[2]), [MODELLED])
        assert (done.released, done.models) == (("faces 1",), ("people 1",))
        assert set(tx.scalars(select(ReleaseItem.withdrawn_at))) == {None}  # its takes stay
    assert recorded(study.records, "faces", 1)[1] == [Tombstone("people-1", 0, 1, "model", versions=(1,))]
    study.model(codes[:2], version=2)
    second = build_release(study.records, "faces", tmp_path)
    stone = Tombstone("people-1", 0, 1, "model", versions=(1,), next="people-2")
    assert second.manifest.tombstones == (stone,)
    assert (second.folder / "models/people-2/model.npz").exists()
    assert not (second.folder / "models/people-1").exists()
    assert (second.folder / "rigs/3/rig.npz").exists()  # of a model nobody speaks there
    newer = find_newer(first.folder, first.manifest)
    found = verify(first.folder, withdrawn=[stone for manifest in newer for stone in manifest.tombstones])
    (problem,) = found.problems
    assert (problem.fault, problem.path) == (VerificationFault.WITHDRAWN, "models/people-1")
    assert "a member has left the face model people-1 (people-2 takes its place): delete models/people-1" in problem.why
    assert compare(first.manifest, second.manifest).withdrawn == ("people-1",)
    for file in (first.folder / "models/people-1").iterdir():
        file.unlink()
    assert verify(first.folder, withdrawn=(stone,), partial=True).intact
    with (second.folder / "tombstones.csv").open() as lines:
        (row,) = csv.DictReader(lines)
    assert (row["code"], row["delete"], row["next"]) == ("people-1", "models/people-1", "people-2")


def test_a_rig_goes_with_a_take_that_was_withdrawn(study: Study, tmp_path: Path) -> None:
    code = study.studio.subject(RELEASE, MODELLED)
    study.rig(code)
    first = build_release(study.records, "faces", tmp_path)
    with transaction(study.records.engine) as tx:
        take = tx.scalars(select(Take).order_by(Take.id.desc())).first()
        withdraw_take(tx, code, take.code)
    second = build_release(study.records, "faces", tmp_path)
    assert not (second.folder / "rigs").exists()
    found = verify(first.folder, withdrawn=second.manifest.tombstones)
    assert [problem.fault for problem in found.problems] == [VerificationFault.WITHDRAWN]
    assert "rigs/1" in found.problems[0].why


def test_a_reviewer_may_keep_them_back(study: Study, tmp_path: Path) -> None:
    codes = [study.studio.subject(RELEASE, MODELLED) for _ in range(3)]
    for code in codes:
        study.rig(code)
    study.model(codes)
    with reading(study.records.engine) as tx:
        chosen = select_takes(tx, study.records.store, utc_now().date())
    file = propose("faces", chosen, quality=Quality(), split=Split(), options=Options(facescape=True), published={})
    assert [(line.name, line.decision, line.members) for line in file.model] == [("people", "publish", 3)]
    write_selection(tmp_path / "whole.toml", file)
    text = (tmp_path / "whole.toml").read_text().replace('by = ""', f'by = "A Reader"\non = {utc_now().date()}')

    def build(name: str, text: str) -> Any:
        (tmp_path / f"{name}.toml").write_text(text)
        request = BuildRequest(selection=tmp_path / f"{name}.toml")
        return build_release(study.records, "faces", tmp_path / name, request)

    whole = build("all", text).manifest.by_path.keys()
    assert {"rigs/3/rig.npz", "models/people-1/facescape.npz"} <= whole
    no_rig = "\n".join(line for line in text.splitlines() if not line.startswith("rig ="))
    kept = build("rigless", no_rig).folder
    assert missing(kept)["rigs/1"] == "left out by the reviewer"
    assert (kept / "models/people-1/model.npz").exists()
    takes = "\n".join(line for line in text.splitlines() if not line.startswith("2_smile ="))
    assert missing(build("takeless", takes).folder)["rigs/1"] == "it was made of 2_smile too, which stays"
    old = "\n".join(line for line in text.splitlines() if not line.startswith(("rigs =", "models =", "facescape =")))
    assert not [path for path in build("old", old).manifest.by_path if path.startswith(("rigs/", "models/"))]
    assert read_selection(tmp_path / "old.toml").file.options == Options(rigs=False, models=False)
    with transaction(study.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, codes[0]), [MODELLED])
        assert tx.scalars(select(FaceModel.marked_at)).one() is not None
    with pytest.raises(SelectionError, match="model people 1  a member left it"):
        build("late", text)
