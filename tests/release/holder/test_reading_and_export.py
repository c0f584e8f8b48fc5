"""What holders of a release do with it: artists' files, a dataset for PyTorch, Croissant, old schemas, withdrawals."""

import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from glb_reader import Glb

from db.engine import transaction
from db.models import ConsentScope
from db.subjects import get_subject, withdraw_consent
from processing.release.dataset import ReleaseDataset, split_by_subject
from processing.release.formats.errors import ManifestError, ReleaseError
from processing.release.formats.manifest import (
    MANIFEST,
    SIDECAR,
    ManifestHead,
    decode_manifest,
    make_manifest,
    read_manifest,
)
from processing.release.formats.tombstones import Tombstone
from processing.release.holder.export_formats import EXPORT_FORMATS
from processing.release.holder.manifest_diff import compare
from processing.release.holder.release_export import export_release
from processing.release.holder.verify import VerificationFault, find_newer, verify
from processing.release.reader import ReleaseFolder
from processing.release.studio.export.build import build_release
from processing.release.studio.withdrawals.release_records import recorded

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION


def test_gltf_has_a_morph_target_an_expression(synthetic: Any, tmp_path: Path) -> None:
    (path,) = export_release(synthetic.folder, tmp_path, "gltf", subjects=[1])
    glb = Glb(path)
    (mesh,) = glb.document["meshes"]
    (primitive,) = mesh["primitives"]
    names = mesh["extras"]["targetNames"]
    assert len(names) == len(primitive["targets"]) == len(mesh["weights"]) == 19
    base = glb.array(primitive["attributes"]["POSITION"])
    dataset = ReleaseDataset(synthetic.folder, subjects=[1], frame="template")
    with np.load(next((synthetic.folder / "topology").glob("*.npz"))) as topology:
        owner = topology["uv_vertex"]
    assert len(base) == len(owner)
    corners = glb.array(primitive["indices"]).astype(int).reshape(-1, 3)
    smile = dataset[1]["vertices_mm"].numpy()
    target = glb.array(primitive["targets"][names.index("smile")]["POSITION"])
    np.testing.assert_allclose((base + target)[corners] * 1000, smile[dataset.topology.triangles], atol=0.025)
    normals = glb.array(primitive["attributes"]["NORMAL"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    image = glb.document["bufferViews"][glb.document["images"][0]["bufferView"]]
    picture = glb.binary[image["byteOffset"] : image["byteOffset"] + image["byteLength"]]
    assert picture == (synthetic.folder / "1/models_reg/1_neutral.jpg").read_bytes()
    loaded = trimesh.load(path)
    (geometry,) = loaded.geometry.values()
    assert geometry.vertices.shape == base.shape
    assert 0.15 < np.ptp(loaded.bounds, axis=0)[1] < 0.5  # metres
    assert geometry.visual.material.baseColorTexture.size == (256, 256)


def test_usd_has_a_blend_shape_an_expression(synthetic: Any, tmp_path: Path) -> None:
    usd = pytest.importorskip("pxr.Usd")
    from pxr import UsdGeom, UsdSkel

    (path,) = export_release(synthetic.folder, tmp_path, "usd", subjects=[2])
    stage = usd.Stage.Open(str(path))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 0.001
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    face = UsdGeom.Mesh(stage.GetPrimAtPath("/subject_2/face"))
    points = np.array(face.GetPointsAttr().Get())
    dataset = ReleaseDataset(synthetic.folder, subjects=[2], frame="template")
    np.testing.assert_allclose(points, dataset[0]["vertices_mm"], atol=1e-4)  # the topology's own numbers, no split
    query = UsdSkel.BlendShapeQuery(UsdSkel.BindingAPI(face.GetPrim()))
    assert query.GetNumBlendShapes() == 1
    shape = UsdSkel.BlendShape(stage.GetPrimAtPath("/subject_2/face/smile"))
    points[np.array(shape.GetPointIndicesAttr().Get())] += np.array(shape.GetOffsetsAttr().Get())
    np.testing.assert_allclose(points, dataset[1]["vertices_mm"], atol=0.025)
    st = UsdGeom.PrimvarsAPI(face).GetPrimvar("st")
    assert st.GetInterpolation() == "faceVarying"
    np.testing.assert_array_equal(np.array(st.GetIndices()), dataset.topology.uv_triangles.ravel())
    assert (tmp_path / "2.jpg").read_bytes() == (synthetic.folder / "2/models_reg/1_neutral.jpg").read_bytes()


@pytest.mark.parametrize("form", EXPORT_FORMATS, ids=lambda form: form.name)
def test_every_format_of_the_table_is_written_with_its_rights(synthetic: Any, tmp_path: Path, form: Any) -> None:
    if form.name == "usd":
        pytest.importorskip("pxr.Usd")
    written = export_release(synthetic.folder, tmp_path, form.name, subjects=[2])
    takes = [path.name for path in written] if form.of_take else []
    assert takes == (["1_neutral", "2_smile"] if form.of_take else [])
    assert form.of_take or [path.name for path in written] == [f"2{form.ending}"]
    for path in written:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        assert files
        assert all(file.stat().st_size for file in files)
        beside = path if form.of_take else tmp_path
        assert (beside / "LICENCE.txt").read_text() == (synthetic.folder / "LICENCE.txt").read_text()
        assert (beside / "CREDITS.txt").is_file()


def test_what_cannot_be_exported_is_said(synthetic: Any, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no format 'fbx'"):
        export_release(synthetic.folder, tmp_path, "fbx")
    with pytest.raises(ReleaseError, match="no subject 9"):
        export_release(synthetic.folder, tmp_path, "gltf", subjects=[9])


def test_the_dataset_gives_batches(synthetic: Any) -> None:
    parts = ("vertices", "texture", "displacement", "views")
    dataset = ReleaseDataset(
        synthetic.folder, parts=parts, subjects=[1, 2], expressions=["neutral", "smile"], texture_px=32
    )
    assert len(dataset) == 4
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=4)))
    count = len(np.unique(dataset.topology.triangles))
    assert batch["vertices_mm"].shape == (4, count, 3)
    assert batch["texture"].shape == (4, 3, 32, 32)
    assert batch["displacement_mm"].shape == batch["measured"].shape == (4, 1, 64, 64)
    assert batch["photographs"].shape == (4, 7, 3, 240, 160)
    assert (batch["index"].tolist(), batch["position"].tolist()) == ([1, 1, 2, 2], [1, 2, 1, 2])
    with pytest.raises(ReleaseError, match="no part 'mesh'"):
        ReleaseDataset(synthetic.folder, parts=("mesh",))
    with pytest.raises(ReleaseError, match="no photographs"):
        ReleaseDataset(synthetic.folder, parts=("views",), subjects=[3])[0]


def test_cameras_move_with_the_frame(synthetic: Any) -> None:
    """Projected into a photograph, a face lies at the same pixels whether its head motion was taken out or not."""
    rig, template = (
        ReleaseDataset(synthetic.folder, parts=("vertices", "views"), subjects=[1], expressions=["grin"], frame=frame)[
            0
        ]
        for frame in ("rig", "template")
    )
    assert (rig["vertices_mm"] - template["vertices_mm"]).abs().max() > 1

    def pixels(item: Any) -> Any:
        seen = torch.einsum("nij,vj->nvi", item["Rt"][:, :, :3], item["vertices_mm"]) + item["Rt"][:, None, :, 3]
        seen = torch.einsum("nij,nvj->nvi", item["K"], seen)
        return seen[..., :2] / seen[..., 2:]

    torch.testing.assert_close(pixels(rig), pixels(template), atol=0.02, rtol=0)


def test_no_subject_is_on_both_sides_of_a_split(synthetic: Any) -> None:
    dataset = ReleaseDataset(synthetic.folder)
    train, test = split_by_subject(dataset, test_share=0.5, seed="b")
    assert sorted([*train.indices, *test.indices]) == list(range(len(dataset)))
    sides = [{dataset.takes[n].index for n in side.indices} for side in (train, test)]
    assert not sides[0] & sides[1]
    assert len(split_by_subject(dataset, test_share=0)[1]) == 0


def test_croissant_loads_subjects_takes_and_pictures(synthetic: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlcroissant = pytest.importorskip("mlcroissant")
        dataset = mlcroissant.Dataset(jsonld=synthetic.folder / "croissant.json")
        assert not dataset.metadata.ctx.issues.errors
        assert not dataset.metadata.ctx.issues.warnings
        subjects = list(dataset.records(record_set="subjects"))
        takes = list(dataset.records(record_set="takes"))
        pictures = list(dataset.records(record_set="texture_images"))
    assert [(s["subjects/index"], s["subjects/eyes_mosaicked"]) for s in subjects] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert len(takes) == 23
    for take in takes:
        for part in ("mesh", "texture", "displacement", "scan", "facts"):
            assert (synthetic.folder / take[f"takes/{part}"].decode()).is_file()
    assert len(pictures) == 23
    assert pictures[0]["texture_images/image"].size == (256, 256)


def _edit(folder: Path, change: Any) -> None:
    value = json.loads((folder / MANIFEST).read_bytes())
    change(value)
    data = json.dumps(value).encode()
    (folder / MANIFEST).write_bytes(data)
    (folder / SIDECAR).write_text(hashlib.sha256(data).hexdigest())


@SQLITE
def test_a_release_of_schema_1_is_still_read(studio: Any, tmp_path: Path) -> None:
    """What version 1 wrote: no tombstones, no hash of a selection, no facts of takes."""
    studio.subject(RELEASE)
    folder = build_release(studio.records, "faces", tmp_path).folder

    def older(value: Any) -> None:
        value["schema_version"] = 1
        del value["tombstones"], value["selection_sha256"], value["no_longer"]
        later = ("meta/", "topology/", "checks/", "calibrations/", "release.pub")
        value["files"] = [f for f in value["files"] if not f["path"].startswith(later)]

    _edit(folder, older)
    for name in ("meta", "topology", "checks", "calibrations"):
        for path in (folder / name).rglob("*.*"):
            path.unlink()
    for name in ("release.pub", "manifest.json.minisig"):
        (folder / name).unlink()
    found = verify(folder)
    assert found.intact
    assert found.manifest is not None
    assert (found.manifest.schema_version, found.manifest.tombstones) == (4, ())
    release = ReleaseFolder(folder)
    assert release.vertices(release.takes[0]).shape == (36, 3)
    assert release.facts(release.takes[0]) == {}
    with pytest.raises(ReleaseError, match="does not say how"):
        release.to_template(release.takes[0])
    _edit(folder, lambda value: value.update(tombstones=[]))
    with pytest.raises(ManifestError, match="it was edited"):
        read_manifest(folder)
    with pytest.raises(ManifestError, match="schema version 5"):
        decode_manifest(b'{"schema_version": 5}', "it")


@SQLITE
def test_who_withdraws_is_a_tombstone_and_holders_are_told(studio: Any, tmp_path: Path) -> None:
    leaves, hides, stays = (studio.subject(RELEASE, PUBLICATION, expressions=("neutral",)) for _ in range(3))
    first = build_release(studio.records, "faces", tmp_path)
    assert first.manifest.tombstones == ()
    assert verify(first.folder, withdrawn=recorded(studio.records, "faces", 1)[1]).intact
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, leaves))
        withdraw_consent(tx, get_subject(tx, hides), [PUBLICATION])
    stones = (
        Tombstone(leaves, 1, 1, "everything", versions=(1,)),
        Tombstone(hides, 2, 1, "photographs", versions=(1,)),
    )
    assert recorded(studio.records, "faces", 1)[1] == list(stones)  # before any newer version is there
    second = build_release(studio.records, "faces", tmp_path)
    third = build_release(studio.records, "faces", tmp_path)
    for later in (second, third):
        assert later.manifest.tombstones == stones  # the newest version says who left which
        assert later.manifest.subjects == (hides, stays)
        assert verify(later.folder, withdrawn=later.manifest.tombstones).intact
    assert "1,S001,1,everything" in (second.folder / "tombstones.csv").read_text()
    assert compare(first.manifest, second.manifest).withdrawn == (leaves, hides)
    newer = find_newer(first.folder, first.manifest)
    assert [manifest.version for manifest in newer] == [2, 3]
    found = verify(first.folder, withdrawn=[stone for manifest in newer for stone in manifest.tombstones])
    assert [(p.fault, p.path) for p in found.problems] == [
        (VerificationFault.WITHDRAWN, "1"),
        (VerificationFault.WITHDRAWN, "img/2"),
    ]
    assert f"subject {leaves} has withdrawn everything: delete 1, mesh/1, img/1, meta/1" in found.problems[0].why
    for path in ("1", "mesh/1", "img/1", "meta/1", "img/2"):
        for file in (first.folder / path).rglob("*"):
            if file.is_file():
                file.unlink()
    (first.folder / "checks/1.png").unlink()
    assert verify(first.folder, withdrawn=stones, partial=True).intact  # who has deleted them is left in peace


@SQLITE
def test_a_manifest_that_names_a_subject_twice(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    folder = build_release(studio.records, "faces", tmp_path).folder
    manifest, _ = read_manifest(folder)
    _edit(folder, lambda value: value.update(subjects=["S001", "S001"]))
    (problem,) = (p for p in verify(folder).problems if p.fault is not VerificationFault.SIGNATURE)
    assert (problem.fault, problem.why) == (VerificationFault.SUBJECT, "names subject S001 2 times")
    twice = make_manifest(
        folder, [], ManifestHead(name="x", version=1, consent_day="2026-01-01", subjects=manifest.subjects)
    )
    assert twice.subjects == ("S001",)


def test_a_holder_needs_no_farm_to_read_displacement_and_cameras(synthetic: Any) -> None:
    """In a process without the libraries of the farm, as `pip install 'mien[release]'` leaves it."""
    program = """
import sys
for name in ("open3d", "torch", "cv2", "scipy", "dask", "distributed", "sqlalchemy", "mediapipe", "anny", "qdldl"):
    sys.modules[name] = None  # importing it raises ImportError
from processing.release.reader import ReleaseFolder
faces = ReleaseFolder(sys.argv[1])
take = faces.takes[0]
height, valid = faces.displacement(take)
print(height.shape, valid.all(), faces.vertices(take).shape[1], faces.texture(take, 32).shape, len(faces.views(take)))
"""
    done = subprocess.run([sys.executable, "-c", program, synthetic.folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["(64,", "64)", "True", "3", "(32,", "32,", "3)", "7"]
