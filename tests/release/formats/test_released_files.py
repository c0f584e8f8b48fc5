"""An entry in the table of released files is all that it takes to release a stage's output."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db.models import ConsentScope
from db.stage_runs import job_queue
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputMade, JobSpec
from processing.release.formats.released_files import LAYOUT, PHOTOGRAPHS, ReleasedFile, ReleaseLayout
from processing.release.formats.tombstones import Tombstone
from processing.release.holder.fetch import FetchFilter
from processing.release.holder.verify import verify
from processing.release.studio.export import take_export
from processing.release.studio.export.build import build_release
from processing.release.studio.export.eye_mosaic import EyeRegions
from processing.stages.discovery import discover

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RELEASE, PUBLICATION, EYES = list(ConsentScope)[:3]
# An output that a stage of releases has besides, and one of a stage that releases know nothing of.
CONFIDENCE = ReleasedFile(
    "confidence", "{index}/dpmap/{label}.npy", "confidence", "bake", "confidence", file_set="confidences",
    description="How sure each height is", media="application/x-npy",
    conventions={"range": "0 is not measured, 1 is measured by all cameras"},
)  # fmt: skip
STRANDS = ReleasedFile(
    "strands", "hair/{index}/{label}.txt", "hair", "hair", "strands", shows_eyes=True, file_set="hair",
    description="Hair as strands", media="text/plain",
)  # fmt: skip


@pytest.fixture
def wider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases have two files more of each take."""
    wider = ReleaseLayout((*LAYOUT.files, CONFIDENCE, STRANDS))
    monkeypatch.setattr(LAYOUT, "__dict__", wider.__dict__)


@pytest.fixture
def farm(studio: Any) -> Any:
    """A studio whose bake says how sure it is, and which combs the hair of the neutral face."""
    bakes = studio.process

    def also(stage: str, take: Any) -> dict[str, Path]:
        (studio.folder / "confidence.npy").write_bytes(f"sure {take.code}".encode())
        return {"confidence": studio.folder / "confidence.npy"} if stage == "bake" else {}

    def process(tx: Any, take: Any) -> None:
        bakes(tx, take)
        if take.expression.name != "neutral":
            return
        key, mesh = studio.rows.sha(f"hair {take.code}"), studio.rows.sha(f"register 1 {take.code}")
        needs = [InputMade("mesh", mesh, "mesh")]
        job_queue.enqueue(tx, JobSpec(key, "hair", 1, {}, needs, take.session.subject_id, take.id))
        lease = job_queue.claim(tx, "test", stages=["hair"])
        assert lease is not None
        (studio.folder / "strands.txt").write_text(f"combed {take.code}")
        sha256 = studio.records.store.put_file(studio.folder / "strands.txt")
        job_queue.finish(tx, lease, [OutputFile("strands", sha256, 10, "test")], frame_ids=[])

    studio.also, studio.process = also, process
    return studio


def release_of(studio: Any, tmp_path: Path, *scopes: ConsentScope) -> Any:
    studio.subject(*scopes)
    return build_release(studio.records, "faces", tmp_path)


@SQLITE
@pytest.mark.usefixtures("wider")
def test_it_is_exported_listed_and_described(farm: Any, tmp_path: Path) -> None:
    built = release_of(farm, tmp_path, RELEASE)
    folder = built.folder
    assert (folder / "1/dpmap/2_smile.npy").read_bytes().startswith(b"sure S001")
    assert (folder / "hair/1/1_neutral.txt").read_text().startswith("combed S001")
    assert {"1/dpmap/1_neutral.npy", "1/dpmap/2_smile.npy", "hair/1/1_neutral.txt"} <= built.manifest.by_path.keys()
    assert verify(folder).intact
    sets = {one["@id"]: one for one in json.loads((folder / "croissant.json").read_text())["distribution"]}
    assert sets["confidences"]["includes"] == "*/dpmap/*.npy"
    assert sets["hair"]["encodingFormat"] == "text/plain"
    assert json.loads((folder / "conventions.json").read_text())["confidence"] == CONFIDENCE.conventions
    assert "text/plain" in json.loads((folder / "datacite.json").read_text())["formats"]
    assert "| `hair/<id>/<k>_<name>.txt` | Hair as strands |" in (folder / "datasheet.md").read_text()
    said = json.loads((folder / "meta/1/1_neutral.json").read_text())
    assert said["files"]["hair/1/1_neutral.txt"] is None
    assert said["made_by"]["strands"]["stage"] == "hair"
    with (folder / "missing.csv").open() as lines:
        missing = {row["file"]: row["why"] for row in csv.DictReader(lines)}
    assert missing["hair/1/2_smile.txt"] == "its stage hair made no strands"
    assert "hair/1/1_neutral.txt" not in missing


@SQLITE
@pytest.mark.usefixtures("wider")
def test_it_stays_where_eyes_must_not_be_seen(farm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.arange(len(farm.mesh.triangles)) == 0
    monkeypatch.setattr(take_export, "eye_regions", lambda _: EyeRegions((farm.mesh.triangles[0],), first))
    built = release_of(farm, tmp_path, RELEASE, PUBLICATION, EYES)
    said = json.loads((built.folder / "meta/1/1_neutral.json").read_text())
    assert said["files"]["hair/1/1_neutral.txt"] == "its eyes cannot be mosaicked"
    assert not (built.folder / "hair").exists()
    assert (built.folder / "1/dpmap/1_neutral.npy").is_file()


@pytest.mark.usefixtures("wider")
def test_it_has_a_kind_for_holders_and_grants() -> None:
    hair = "hair/1/2_smile.txt"
    assert {"confidence", "hair"} <= set(LAYOUT.default_kinds)
    assert (LAYOUT.kind_of(hair), LAYOUT.owner(hair)) == ("hair", ("1", "2_smile"))
    assert LAYOUT.kind_of("1/dpmap/2_smile.npy") == "confidence"
    wanted = FetchFilter(subjects=("S001",), kinds=("hair",))
    assert wanted.takes(hair)
    assert not wanted.takes("1/dpmap/2_smile.npy")
    assert not wanted.takes("hair/2/2_smile.txt")


@pytest.mark.usefixtures("wider")
def test_tombstones_name_it() -> None:
    hair, sure = "hair/1/2_smile.txt", "1/dpmap/2_smile.npy"
    gone = Tombstone("S001", 1, 3, "everything")
    assert all(gone.holds(path) for path in (hair, sure))
    assert "hair/1" in gone.places()
    take = Tombstone("S001", 1, 3, "take", ("2_smile",))
    assert all(take.holds(path) for path in (hair, sure))
    assert not take.holds("hair/1/1_neutral.txt")
    eyes = Tombstone("S001", 1, 3, "eyes")
    assert eyes.holds(hair)
    assert not eyes.holds(sure)


def test_stages_make_what_the_table_says() -> None:
    stages = discover()
    for file in LAYOUT.files:
        if file.stage in stages:
            assert file.output in stages[file.stage].makes, file.name


def test_each_path_is_one_file_of_one_subject_or_model() -> None:
    paths = {file.at(7, "2_smile", 12, model="faces-2"): file for file in LAYOUT.files}
    assert len(paths) == len({file.name for file in LAYOUT.files}) == len(LAYOUT.files)
    for path, file in paths.items():
        assert [other for other in LAYOUT.files if other.match(path)] == [file]
        of_subject = ("7", "2_smile" if file.of_take else None)
        assert LAYOUT.owner(path) == ((None, None) if file.of_study else of_subject)
        assert LAYOUT.kind_of(path) == file.kind


def test_rigs_and_models_are_kinds_of_their_own() -> None:
    assert {"rigs", "models"} <= set(LAYOUT.default_kinds)
    assert LAYOUT.kind_of("rigs/7/rig.npz") == "rigs"
    assert LAYOUT.kind_of("models/faces-2/what-nobody-knows.bin") == "models"
    assert LAYOUT.kind_of("calibrations/1-1.json") == ""
    rigs, models, mine = (FetchFilter(kinds=(kind,)) for kind in ("rigs", "models", "mesh"))
    assert (rigs.takes("rigs/7/rig.npz"), rigs.takes("models/faces-2/model.npz")) == (True, False)
    assert (models.takes("models/faces-2/model.npz"), models.takes("rigs/7/rig.npz")) == (True, False)
    assert not any(mine.takes(path) for path in ("rigs/7/rig.npz", "models/faces-2/model.npz"))
    one = FetchFilter(subjects=("S007",))
    assert one.takes("rigs/7/rig.npz")
    assert not one.takes("rigs/8/rig.npz")
    assert not one.takes("models/faces-2/model.npz")
    assert all(FetchFilter().takes(path) for path in ("rigs/8/rig.npz", "models/faces-2/card.md", "takes.csv"))


def test_a_rig_goes_with_any_of_its_takes_and_a_model_by_itself() -> None:
    take = Tombstone("S007", 7, 3, "take", ("2_smile",))
    assert take.holds("rigs/7/rig.glb")
    assert "rigs/7" in take.places()
    for what in ("photographs", "eyes"):
        assert not Tombstone("S007", 7, 3, what).holds("rigs/7/rig.npz")
    model = Tombstone("faces-2", 0, 3, "model", versions=(2, 3), next="faces-3")
    assert model.places() == ("models/faces-2",)
    assert model.holds("models/faces-2/facescape.npz")
    assert not model.holds("models/faces-22/model.npz")
    assert not model.holds("checks/0.png")
    assert model.in_words() == "the face model, which a member has left; faces-3 takes its place"


def test_what_nobody_knows_of_a_person_counts_as_a_photograph() -> None:
    assert LAYOUT.kind_of("7/dpmap/2_smile.heic") == PHOTOGRAPHS
    assert LAYOUT.kind_of("img/7/anything") == PHOTOGRAPHS
    assert LAYOUT.kind_of("takes.csv") == ""


@pytest.mark.parametrize(
    "path", ["dpmap/{label}.png", "{index}/dpmap/{label}_sure.png", "models/{model}/{label}.npz", "{index}/{model}.npz"]
)
def test_a_path_tells_subject_and_take(path: str) -> None:
    with pytest.raises(ValueError, match="a released file's path has"):
        ReleasedFile("made up", path, "mesh")
