"""What a reviewer opens: Croissant with Responsible AI, data card, DOI record; and what a place to publish gets."""

import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from db.models import ConsentScope
from processing.release.formats.errors import ReleaseError
from processing.release.formats.manifest import read_manifest
from processing.release.formats.metadata.responsible_ai import ReleaseCounts, rai_fields, usage_info
from processing.release.formats.metadata.studio_statement import StudioStatement, read_about
from processing.release.holder.verify import verify
from processing.release.studio.export.build import BuildRequest, build_release
from processing.release.studio.export.publish import HUGGINGFACE, ZENODO, is_synthetic_release, publish
from processing.template.builtin_template import default_template
from processing.template.face_mask import face_vertices, mirrored, uv_mask
from processing.template.template import SKIN

RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
# The RAI fields and the provenance that the NeurIPS 2026 Evaluations and Datasets track asks for.
NEURIPS = (
    *("rai:dataLimitations", "rai:dataBiases", "rai:personalSensitiveInformation", "rai:dataUseCases"),
    *("rai:dataSocialImpact", "rai:hasSyntheticData", "prov:wasDerivedFrom", "prov:wasGeneratedBy"),
)


def _croissant(folder: Path) -> Any:
    return json.loads((folder / "croissant.json").read_text())


def test_croissant_is_1_1_with_responsible_ai_terms_and_provenance(synthetic: Any) -> None:
    said = _croissant(synthetic.folder)
    assert "http://mlcommons.org/croissant/1.1" in said["conformsTo"]
    assert not [key for key in NEURIPS if said.get(key) in (None, "", [])]
    assert {term["termCode"] for term in said["usageInfo"] if "termCode" in term} >= {"DUO_0000042", "DUO_0000046"}
    assert any("odrl:Offer" in term["@type"] for term in said["usageInfo"])
    prefixes = {key.partition(":")[0] for key in said if ":" in key}
    assert prefixes <= said["@context"].keys()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlcroissant = pytest.importorskip("mlcroissant")
        dataset = mlcroissant.Dataset(jsonld=synthetic.folder / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    assert dataset.metadata.ctx.is_v1_1()
    assert dataset.metadata.data_limitations
    assert dataset.metadata.data_biases


def test_what_a_studio_says_of_itself_is_read_and_a_misspelt_key_is_named() -> None:
    assert read_about({"about": {"title": "Faces", "creators": ["A", "B"]}}).made_by == ("A", "B")
    with pytest.raises(ReleaseError, match=r"release\.about.*titel"):
        read_about({"about": {"titel": "Faces"}})


def test_what_a_studio_writes_stands_before_what_is_counted() -> None:
    figures = ReleaseCounts(2, 3, 4, 1, 1, (20, None), ("female", None), 5, (("bake", 1, 3),))
    written = StudioStatement(limitations="No beards.", biases="Students.", commercial=True, ethics_approval="Board 12")
    fields = rai_fields(written, figures)
    assert (fields["rai:dataLimitations"], fields["rai:dataBiases"]) == ("No beards.", "Students.")
    codes = {term.get("termCode") for term in usage_info(written, "x")}
    assert "DUO_0000021" in codes
    assert "DUO_0000046" not in codes


@SQLITE
def test_the_studio_named_in_its_settings_is_in_every_text(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    about = {"title": "Faces of the North", "creators": ["Studio North"], "doi": "10.1/x", "licence_id": "CC-BY-4.0"}
    studio.records.settings.sections["release"] = {"about": about}
    folder = build_release(studio.records, "faces", tmp_path, BuildRequest(licence="https://host/licence")).folder
    assert _croissant(folder)["creator"] == [{"@type": "sc:Organization", "name": "Studio North"}]
    assert "https://doi.org/10.1/x" in _croissant(folder)["citeAs"]
    record = json.loads((folder / "datacite.json").read_text())
    assert (record["titles"][0]["title"], record["doi"]) == ("Faces of the North", "10.1/x")
    assert record["rightsList"][0]["rightsIdentifier"] == "CC-BY-4.0"
    head, body = _card(folder)
    assert (head["pretty_name"], head["license"]) == ("Faces of the North", "cc-by-4.0")
    assert "## Biases" in body


def _card(folder: Path) -> tuple[Any, str]:
    match = re.fullmatch(r"---\n(.*?)---\n(.*)", (folder / "README.md").read_text(), re.DOTALL)
    assert match
    return yaml.safe_load(match[1]), match[2]


def test_the_card_asks_who_wants_real_faces(synthetic: Any) -> None:
    head, _ = _card(synthetic.folder)
    assert head["license"] == "other"
    assert head["extra_gated_fields"]["Country"] == "country"
    for file in head["configs"]:
        assert (synthetic.folder / file["data_files"]).is_file()


@pytest.mark.parametrize("target", [HUGGINGFACE, ZENODO, "folder"])
def test_real_people_are_never_ungated(synthetic: Any, tmp_path: Path, target: str) -> None:
    manifest, _ = read_manifest(synthetic.folder)
    assert not is_synthetic_release(synthetic.folder)
    with pytest.raises(ReleaseError, match="real people"):
        publish(synthetic.folder, manifest, target, tmp_path / "out", ungated=True)
    assert not list(tmp_path.iterdir())


@SQLITE
def test_a_release_of_synthetic_subjects_may_be_a_sample_for_everybody(studio: Any, tmp_path: Path) -> None:
    from datetime import date

    from db.engine import transaction
    from db.subjects import give_consent

    with transaction(studio.records.engine) as tx:
        subject = studio.rows.subject(tx)
        give_consent(tx, subject, RELEASE, date(2026, 1, 2), form_version="synthetic")
        studio.session(tx, subject, ("neutral",))
    built = build_release(studio.records, "sample", tmp_path / "out")
    assert is_synthetic_release(built.folder)
    assert _croissant(built.folder)["rai:hasSyntheticData"] is True
    assert "extra_gated_prompt" not in _card(built.folder)[0]
    made = publish(built.folder, built.manifest, ZENODO, tmp_path / "zenodo", ungated=True)
    assert json.loads((made.folder / "zenodo.json").read_text())["metadata"]["access_right"] == "open"
    studio.subject(RELEASE, expressions=("neutral",))  # a person joins
    assert not is_synthetic_release(build_release(studio.records, "sample", tmp_path / "out").folder)


def test_a_folder_and_the_hub_get_the_release_as_it_is(synthetic: Any, tmp_path: Path) -> None:
    manifest, _ = read_manifest(synthetic.folder)
    made = publish(synthetic.folder, manifest, "folder", tmp_path / "web")
    assert verify(made.folder).intact
    hub = publish(synthetic.folder, manifest, HUGGINGFACE, tmp_path / "hub")
    assert [problem.path for problem in verify(hub.folder).problems] == [".gitattributes"]
    assert "*.ply filter=lfs" in (hub.folder / ".gitattributes").read_text()
    with pytest.raises(ReleaseError, match="is there already"):
        publish(synthetic.folder, manifest, "folder", tmp_path / "web")


@pytest.mark.slow
def test_a_hub_that_takes_few_files_gets_archives(
    synthetic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processing.release.studio.export.publish.HUB_FILES", 100)
    manifest, _ = read_manifest(synthetic.folder)
    made = publish(synthetic.folder, manifest, HUGGINGFACE, tmp_path / "hub")
    assert made.packed
    for archive in (made.folder / "subjects").glob("*.zip"):
        zipfile.ZipFile(archive).extractall(made.folder)
        archive.unlink()
    (made.folder / ".gitattributes").unlink()
    assert verify(made.folder).intact


@pytest.mark.slow
def test_what_zenodo_gets_unpacks_to_the_release(synthetic: Any, tmp_path: Path) -> None:
    manifest, _ = read_manifest(synthetic.folder)
    made = publish(synthetic.folder, manifest, ZENODO, tmp_path / "zenodo")
    files = sorted(path.name for path in (made.folder / "files").iterdir())
    assert {"manifest.json", "README.md", "LICENCE.txt", f"{manifest.name}-{manifest.version}-shared.zip"} <= set(files)
    assert len(files) <= 100
    record = json.loads((made.folder / "zenodo.json").read_text())["metadata"]
    assert (record["upload_type"], record["access_right"]) == ("dataset", "restricted")
    for archive in (made.folder / "files").glob("*.zip"):
        zipfile.ZipFile(archive).extractall(made.folder / "files")
        archive.unlink()
    assert verify(made.folder / "files").intact
    again = publish(synthetic.folder, manifest, ZENODO, tmp_path / "again")
    for path in (again.folder / "files").glob("*.zip"):
        assert len(path.read_bytes()) > 0


def test_more_subjects_than_zenodo_takes_files_share_archives() -> None:
    from processing.release.studio.export.publish import ZENODO_FILES, _grouped

    subjects = {str(number): [f"{number}/x"] for number in range(1, 848)}
    groups = _grouped(subjects, ZENODO_FILES - 10)
    assert len(groups) <= ZENODO_FILES - 10
    assert sorted(path for paths in groups.values() for path in paths) == sorted(f"{n}/x" for n in subjects)


def test_facescapes_predef_points_at_the_right_places(synthetic: Any) -> None:
    """demo_landmark, demo_symmetry and demo_mask, as their cells do it, on a mesh of this release."""
    predef = synthetic.folder / "predef"
    facts = json.loads((synthetic.folder / "meta/1/1_neutral.json").read_text())
    rows = [line.split()[1:4] for line in (synthetic.folder / "1/models_reg/1_neutral.obj").read_text().splitlines()
            if line.startswith("v ")]  # fmt: skip
    verts = np.array(rows, dtype=float)
    with np.load(predef / "landmark_indices.npz") as indices:
        for version in ("v10", "v16"):
            off = np.linalg.norm(verts[indices[version]] - np.array(facts["landmarks"]["points_mm"]), axis=1)
            assert off.max() < 6.0  # the nearest corner of the landmark's triangle
    motion = facts["frames"]["tu_to_template"]
    upright = verts @ np.array(motion["R"]).T + motion["t_mm"]
    old = np.load(predef / "sym_dict_old.npy")
    other = np.load(predef / "sym_dict.npy")
    paired = old >= 0
    assert paired.mean() > 0.95
    assert (old[paired] == other[paired]).all()
    apart = np.abs(upright[other] - upright * [-1, 1, 1])[:, 1:].max(axis=1)
    assert np.quantile(apart, 0.9) < 6.0  # a subject is less symmetric than the template
    mask = np.asarray(Image.open(predef / "facial_mask_v10.png").convert("L"))
    assert set(np.unique(mask)) == {0, 255}


def test_the_face_mask_covers_the_face_and_not_the_neck() -> None:
    template = default_template()
    mesh = template.mesh
    assert mesh.uvs is not None
    assert mesh.uv_triangles is not None
    mask = uv_mask(template.mesh, face_vertices(template))[..., 0] > 0
    owner = np.zeros(len(mesh.uvs), dtype=int)
    owner[mesh.uv_triangles.ravel()] = mesh.triangles.ravel()
    px = np.clip(np.rint(mesh.uvs * [len(mask), -len(mask)] + [-0.5, len(mask) - 0.5]).astype(int), 0, len(mask) - 1)
    inside = np.zeros(len(mesh.vertices_mm), dtype=bool)
    inside[owner[mask[px[:, 1], px[:, 0]]]] = True
    points = template.landmark_points(mesh.vertices_mm)
    nearest = np.linalg.norm(mesh.vertices_mm[None] - points[17:68, None], axis=2).argmin(axis=1)
    assert inside[nearest].mean() > 0.95
    neck = (mesh.vertices_mm[:, 1] < points[8, 1] - 15) & (template.parts == SKIN)
    back = mesh.vertices_mm[:, 2] < points[[0, 16], 2].mean() - 30
    assert not inside[neck].any()
    assert not inside[back & (template.parts == SKIN)].any()


def test_a_mirror_of_a_mirror_is_the_vertex_itself() -> None:
    other, _ = mirrored(default_template())
    assert (other[other] == np.arange(len(other))).mean() > 0.99


def test_matches_count_what_a_photograph_sees(synthetic: Any) -> None:
    params = json.loads((synthetic.folder / "img/1/1_neutral/params.json").read_text())
    views = sorted(int(key.removesuffix("_K")) for key in params if key.endswith("_K"))
    seen = {view: params[f"{view}_matches"] for view in views if params[f"{view}_valid"]}
    assert min(seen.values()) > 100
    # Who stands before the face sees more of it than who stands beside.
    R = np.array(json.loads((synthetic.folder / "meta/1/1_neutral.json").read_text())["frames"]["tu_to_template"]["R"])
    frontal = {view: -(R @ np.array(params[f"{view}_Rt"])[:3, :3].T)[2, 2] for view in seen}
    assert seen[max(frontal, key=lambda v: frontal[v])] > seen[min(frontal, key=lambda v: frontal[v])]
