"""A release opened by code that knows FaceScape's documented layout and nothing of Mien.

What such code knows: doc_tu_model.md, doc_mview_model.md and the notebooks demo_align, demo_mview_projection and
demo_landmark of zhuhao-nju/facescape. Written again here from the documents.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

EXPRESSIONS = [
    *("neutral", "smile", "mouth_stretch", "anger", "jaw_left", "jaw_right", "jaw_forward", "mouth_left"),
    *("mouth_right", "dimpler", "chin_raiser", "lip_puckerer", "lip_funneler", "sadness", "lip_roll", "grin"),
    *("cheek_blowing", "eye_closed", "brow_raiser", "brow_lower"),
]


class TuModel:
    """facescape_trainset: <root>/<id>/models_reg/<k>_<name>.obj, <root>/<id>/dpmap/<k>_<name>.png."""

    def __init__(self, root: Path, identity: int, k: int) -> None:
        name = f"{k}_{EXPRESSIONS[k - 1]}"
        base = root / str(identity)
        self.obj = base / "models_reg" / f"{name}.obj"
        self.verts, self.texcoords, self.faces_v, self.faces_vt, library = self._obj(self.obj)
        material = (self.obj.parent / library).read_text().split()
        self.texture = cv2.imread(str(self.obj.parent / material[material.index("map_Kd") + 1]))
        self.dpmap = cv2.imread(str(base / "dpmap" / f"{name}.png"), cv2.IMREAD_UNCHANGED)

    @staticmethod
    def _obj(path: Path) -> tuple[Any, Any, Any, Any, str]:
        """As PyTorch3D's load_obj: positions, texture coordinates, and an index of its own for each."""
        said: dict[str, list[str]] = {}
        for line in path.read_text().splitlines():
            word, _, rest = line.partition(" ")
            said.setdefault(word, []).append(rest)
        v, vt = (np.array(" ".join(said[word]).split(), float).reshape(len(said[word]), -1) for word in ("v", "vt"))
        corners = np.array(" ".join(said["f"]).replace("/", " ").split(), int).reshape(len(said["f"]), -1, 2) - 1
        return v, vt, corners[:, :, 0], corners[:, :, 1], said["mtllib"][0]


@lru_cache(maxsize=len(EXPRESSIONS))  # each takes half a second to read
def tu_model(root: Path, k: int) -> TuModel:
    """An expression of subject 1."""
    return TuModel(root, 1, k)


class MviewModel:
    """<root>/img/<id>/<k>_<name>/<view>.jpg, params.json; <root>/mesh/<id>/<k>_<name>.ply."""

    def __init__(self, root: Path, identity: int, k: int) -> None:
        name = f"{k}_{EXPRESSIONS[k - 1]}"
        self.images = root / "img" / str(identity) / name
        with (self.images / "params.json").open() as f:
            self.params = json.load(f)
        self.img_num = len(self.params) // 9
        self.mesh = trimesh.load(root / "mesh" / str(identity) / f"{name}.ply", process=False)

    def undistorted(self, view: int) -> Any:
        source = cv2.imread(str(self.images / f"{view}.jpg"))
        K, dist = (np.array(self.params[f"{view}_{key}"]) for key in ("K", "distortion"))
        return cv2.undistort(source, K, dist)

    def projected(self, view: int, points: Any) -> Any:
        K, Rt = (np.array(self.params[f"{view}_{key}"]) for key in ("K", "Rt"))
        seen = points @ Rt[:3, :3].T + Rt[:3, 3]
        pixels = seen @ K.T
        return pixels[:, :2] / pixels[:, 2:]


def test_all_twenty_expressions_of_the_tu_model(synthetic: Any) -> None:
    models = [tu_model(synthetic.folder, k) for k in range(1, 21)]
    assert len({model.verts.shape for model in models}) == 1
    for model in models:
        np.testing.assert_array_equal(model.faces_v, models[0].faces_v)
        np.testing.assert_array_equal(model.faces_vt, models[0].faces_vt)
        assert model.texture.shape[2] == 3
        assert model.dpmap.dtype == np.uint16
        assert model.dpmap.shape[0] == model.dpmap.shape[1]
    moved = [np.linalg.norm(model.verts - models[0].verts, axis=1).max() for model in models[1:]]
    assert min(moved) > 1  # every expression is another one, mm


def test_the_lists(synthetic: Any) -> None:
    rows = [row.split() for row in (synthetic.folder / "info_list.txt").read_text().splitlines()]
    assert rows == [["1", "f", "31", "10000"], ["2", "m", "58", "01111"], ["3", "m", "58", "01111"]]
    assert (synthetic.folder / "publishable_list.txt").read_text().split() == ["1", "2"]


def test_every_scan_lies_on_its_photographs(synthetic: Any) -> None:
    """demo_mview_projection: the scan's silhouette is that of the subject in each undistorted photograph."""
    for k in (1, 3, 20):
        model = MviewModel(synthetic.folder, 1, k)
        assert model.img_num == 7
        for view in range(model.img_num):
            assert model.params[f"{view}_valid"]
            image = model.undistorted(view)
            assert image.shape[:2] == (model.params[f"{view}_height"], model.params[f"{view}_width"])
            background = np.median(image[:20, :20].reshape(-1, 3), axis=0)
            subject = np.abs(image.astype(float) - background).max(axis=2) > 25  # hair may be as dark as the room
            drawn = np.zeros(image.shape[:2], np.uint8)
            for face in np.rint(model.projected(view, model.mesh.vertices))[model.mesh.faces].astype(np.int32):
                cv2.fillConvexPoly(drawn, face, 1)
            assert drawn[subject].mean() > 0.985
            assert subject[drawn > 0].mean() > 0.5
            assert min(np.roll(drawn, by, axis=1)[subject].mean() for by in (-5, 5)) < 0.975  # it would show


def test_align_as_the_notebook_does(synthetic: Any) -> None:
    """demo_align: scans and registered meshes of all expressions come to stand in one place, head motion taken out."""
    with (synthetic.folder / "Rt_scale_dict.json").open() as f:
        Rt_scale_dict = json.load(f)
    crowns, before = [], []
    crown = np.argsort(tu_model(synthetic.folder, 1).verts[:, 1])[-400:]
    for k in range(1, 21):
        scale, Rt = Rt_scale_dict["1"][str(k)]
        Rt = np.array(Rt)
        verts = tu_model(synthetic.folder, k).verts
        aligned = np.tensordot(Rt[:3, :3], (verts * scale).T, 1).T + Rt[:3, 3]
        crowns.append(aligned[crown])
        before.append(verts[crown])
    assert max(np.linalg.norm(c - before[0], axis=1).mean() for c in before) > 1.5  # the head had moved, mm
    assert max(np.linalg.norm(c - crowns[0], axis=1).mean() for c in crowns) < 0.1


def test_scan_and_mesh_lie_in_one_frame_and_the_frames_turn_back(synthetic: Any) -> None:
    scan = trimesh.load(synthetic.folder / "mesh/1/2_smile.ply", process=False)
    facts = json.loads((synthetic.folder / "meta/1/2_smile.json").read_text())
    tu = TuModel(synthetic.folder, 1, 2).verts

    def apply(name: str, points: Any) -> Any:
        motion = facts["frames"][name]
        return motion["scale"] * points @ np.array(motion["R"]).T + motion["t_mm"]

    def undo(name: str, points: Any) -> Any:
        motion = facts["frames"][name]
        return (points - motion["t_mm"]) @ np.array(motion["R"]) / motion["scale"]

    for name in facts["frames"]:
        R = np.array(facts["frames"][name]["R"])
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-8)
        assert np.linalg.det(R) > 0
        np.testing.assert_allclose(undo(name, apply(name, tu)), tu, atol=1e-6)
    np.testing.assert_allclose(undo("tu_to_rig", apply("scan_to_rig", tu)), apply("scan_to_tu", tu), atol=1e-9)
    in_tu = apply("scan_to_tu", scan.vertices)
    assert np.median(cKDTree(tu).query(in_tu)[0]) < 2.0
    assert facts["scale"]["unit"] == "mm"
    assert facts["scale"]["normalisation"] == "none"
    assert "calibration 1" in facts["scale"]["source"]


@pytest.mark.parametrize("loader", ["pytorch3d", "trimesh", "open3d"])
def test_vertices_and_uvs_at_the_seams(synthetic: Any, loader: str) -> None:
    """What each loader makes of vertices with several UVs is what the release says of them."""
    conventions = json.loads((synthetic.folder / "conventions.json").read_text())
    (said,) = conventions["mesh"]["topologies"]
    with np.load(synthetic.folder / said["file"]) as arrays:
        owner, seams, triangles = arrays["uv_vertex"], arrays["seam_vertices"], arrays["triangles"]
    model = TuModel(synthetic.folder, 1, 1)
    assert (len(model.verts), len(model.texcoords), len(model.faces_v)) == (
        said["vertices"], said["uvs"], said["triangles"],
    )  # fmt: skip
    assert said["uvs"] > said["vertices"]
    assert len(seams) == said["seam_vertices"] > 0
    np.testing.assert_array_equal(owner[model.faces_vt], model.faces_v)
    if loader == "trimesh":
        mesh = trimesh.load(model.obj, process=False)
        assert len(mesh.vertices) == said["uvs"]  # one index a corner: seams are split
        corners, wanted = mesh.vertices[mesh.faces], model.verts[model.faces_v]
        np.testing.assert_allclose(corners, wanted, atol=1e-6)
    elif loader == "open3d":
        import open3d as o3d

        mesh = o3d.io.read_triangle_mesh(str(model.obj), enable_post_processing=False)
        corners = np.asarray(mesh.vertices)[np.asarray(mesh.triangles)]
        np.testing.assert_allclose(corners, model.verts[triangles], atol=1e-6)
        uvs = np.asarray(mesh.triangle_uvs).reshape(-1, 3, 2)
        np.testing.assert_allclose(uvs, model.texcoords[model.faces_vt], atol=1e-6)
    else:
        assert _open_edges(model.faces_v) < _open_edges(model.faces_vt)  # seams are open in the UVs alone


def _open_edges(faces: Any) -> int:
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    return int((np.unique(edges, axis=0, return_counts=True)[1] == 1).sum())


def test_landmarks_are_where_the_subject_has_them(synthetic: Any) -> None:
    """demo_landmark: the indices of the topology, on the TU mesh, against the subject's true landmarks."""
    conventions = json.loads((synthetic.folder / "conventions.json").read_text())
    (said,) = conventions["mesh"]["topologies"]
    topology = json.loads((synthetic.folder / f"topology/{said['topology']}.json").read_text())
    landmarks = topology["landmarks"]
    verts = TuModel(synthetic.folder, 1, 1)
    corners = verts.verts[verts.faces_v[landmarks["triangles"]]]
    points = np.einsum("nk,nkd->nd", np.array(landmarks["barycentric"]), corners)
    facts = json.loads((synthetic.folder / "meta/1/1_neutral.json").read_text())
    np.testing.assert_allclose(points, facts["landmarks"]["points_mm"], atol=2e-3)
    assert facts["landmarks"]["version"] == landmarks["version"] == said["landmarks"]
    assert np.linalg.norm(verts.verts[landmarks["nearest_vertices"]] - points, axis=1).max() < 4
    assert np.linalg.norm(points[45] - points[36]) == pytest.approx(90, abs=15)  # the eyes' outer corners, mm
    for picture in ("checks/1.png", f"topology/{said['topology']}_landmarks.png"):
        assert cv2.imread(str(synthetic.folder / picture)) is not None


def test_the_displacement_map_decodes_as_written(synthetic: Any) -> None:
    conventions = json.loads((synthetic.folder / "conventions.json").read_text())["displacement"]
    value = TuModel(synthetic.folder, 1, 1).dpmap.astype(np.float64)
    scale_mm, midpoint = conventions["scale_mm"], conventions["midpoint"]
    height_mm = eval(conventions["formula"].partition("=")[2], {}, {**locals()})  # the formula is written in Python
    from processing.files.displacement_exr import read_displacement_exr
    from processing.files.displacement_png import QUANTUM, read_displacement_png

    np.testing.assert_allclose(
        height_mm, read_displacement_png(synthetic.folder / "1/dpmap/1_neutral.png").height_mm, atol=1e-5
    )
    exact = read_displacement_exr(synthetic.folder / "1/dpmap/1_neutral.exr").height_mm
    assert 0 < np.abs(exact - height_mm).max() <= (QUANTUM / 2 + 1) / midpoint * scale_mm  # the EXR is not rounded
    facts = json.loads((synthetic.folder / "meta/1/1_neutral.json").read_text())["displacement"]
    assert (facts["scale_mm"], facts["midpoint"], facts["surface"]) == (
        scale_mm,
        midpoint,
        "1/models_reg/1_neutral.obj",
    )


def test_what_is_missing_is_told_file_by_file(synthetic: Any) -> None:
    import csv

    with (synthetic.folder / "missing.csv").open() as f:
        rows = [(row["index"], row["expression"], row["file"], row["why"]) for row in csv.DictReader(f)]
    assert [row for row in rows if row[0] == "1"] == [("1", "", "rigs/1", "no rig yet; see: mien farm graph")]
    assert ("3", "1_neutral", "img/3/1_neutral", "no consent to publish photographs") in rows
    assert ("2", "7_jaw_forward", "mesh/2/7_jaw_forward.ply", "not captured, or not accepted") in rows
    for _, _, path, _ in rows:
        assert not (synthetic.folder / path).exists()
    facts = json.loads((synthetic.folder / "meta/3/1_neutral.json").read_text())
    for path, why in facts["files"].items():
        assert (synthetic.folder / path).exists() == (why is None)


def test_nothing_that_a_camera_wrote_leaves(synthetic: Any) -> None:
    for path in synthetic.folder.rglob("*"):
        if path.is_file():
            assert b"Planted" not in path.read_bytes(), path
