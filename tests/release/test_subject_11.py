"""A release of the photographs of ../shared/data/subject-11, opened by code that knows only FaceScape's layout.

Every day from its truth, filed as what the stages would have found; with -m slow by the farm and the real stages, from
fewer and smaller photographs.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from db import captures
from db.engine import transaction
from db.models import ConsentScope, Gender
from db.rigs import rig_records
from db.studio import StudioRecords
from processing.farm.daemon import FarmDaemon
from processing.farm.settings import FarmSettings
from processing.files.camera_models import camera_from_params
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.ply import write_ply
from processing.files.stage_files import write_vertices
from processing.geometry.mesh import Mesh
from processing.release.holder.verify import verify
from processing.release.studio.export import topology_files
from processing.release.studio.export.build import build_release
from processing.template.builtin_template import default_template
from processing.template.template import from_mesh, place_landmarks
from processing.template.template_file import write_template
from processing.texture.texture_projection import project_texture

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SUBJECT = DATA / "subject-11"
EXPRESSIONS = ("neutral", "smile", "mouth_stretch")
pytestmark = [
    pytest.mark.skipif(not SUBJECT.is_dir(), reason="the test data of ../shared/data are not here"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@pytest.fixture(scope="session")
def readers(beside: Callable[[str], Any]) -> Any:
    """The readers written from FaceScape's documents."""
    return beside("studio/export/test_facescape_layout")


def reduced(expression: str, views: list[int], scale: float) -> tuple[dict[str, Any], list[Any]]:
    """Cameras and photographs of some views, smaller, numbered from 0."""
    folder = SUBJECT / f"{EXPRESSIONS.index(expression) + 1}_{expression}"
    given = json.loads((folder / "params.json").read_text())
    params: dict[str, Any] = {}
    images = []
    for number, view in enumerate(views):
        image = cv2.imread(str(folder / f"{view}.jpg"))
        height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
        images.append(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
        grown = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5], [0, 0, 1]])
        params |= {f"{number}_{key.partition('_')[2]}": v for key, v in given.items() if key.startswith(f"{view}_")}
        params |= {f"{number}_K": (grown @ np.array(given[f"{view}_K"])).tolist()}
        params |= {f"{number}_width": width, f"{number}_height": height, f"{number}_sn": f"SN{view:03d}"}
    return params, images


def truth(expression: str) -> Any:
    return np.load(SUBJECT / f"{EXPRESSIONS.index(expression) + 1}_{expression}.truth.npz")


def face_topology() -> tuple[Any, Mesh]:
    """The facial skin of the topology behind subject-11: which vertices it has, and the mesh at rest with its UVs."""
    ict = np.load(DATA / "ict_face.npz", allow_pickle=True)
    skin = ict["quad_material"] == list(ict["materials"]).index("M_Face")
    (kept, quads), (kept_uvs, quad_uvs) = (np.unique(ict[n][skin], return_inverse=True) for n in ("quads", "quad_uvs"))
    corners = [
        np.concatenate([q.reshape(-1, 4)[:, half] for half in ([0, 1, 2], [0, 2, 3])]).astype(np.int32)
        for q in (quads, quad_uvs)
    ]
    with truth("neutral") as known:
        vertices = known["base_vertices"][kept].astype(np.float64)
    return kept, Mesh(vertices, corners[0], ict["uvs"][kept_uvs].astype(np.float64), corners[1])


def subject_11_studio(base: type, records: StudioRecords, rows: Any, folder: Path) -> Any:
    """A finished studio of kind `base` (conftest.py) whose stages have found the truth."""
    chosen = [11, 13, 14, 16, 25, 48]

    class Subject11(base):  # type: ignore[misc, valid-type]
        def __post_init__(self) -> None:
            self.views = len(chosen)
            self.kept, self.mesh = face_topology()
            with truth("neutral") as known:
                landmarks = place_landmarks(self.mesh, known["base_vertices"][known["landmarks68"]].astype(np.float64))
            write_template(self.folder / "template.npz", from_mesh("ict", self.mesh, *landmarks))
            self.template = self.records.store.put_file(self.folder / "template.npz")
            self.params, _ = reduced("neutral", chosen, 0.25)

        def calibration(self) -> dict[str, Any]:
            return dict(self.params)

        def photographs(self, _session: str, expression: str) -> list[tuple[str, int]]:
            self.expression = expression
            _, self.images = reduced(expression, chosen, 0.25)
            filed = []
            for image in self.images:
                data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                filed.append((self.records.store.put_bytes(data), len(data)))
            return filed

        def _make(self, output: str, _text: str) -> Path:
            with truth(self.expression) as known:
                everywhere, triangles = known["base_vertices"].astype(np.float64), known["base_triangles"]
            mesh = self.mesh.with_vertices(everywhere[self.kept])
            path: Path = self.folder / {"scan": "s.ply", "mesh": "m.npz", "texture": "t.jpg"}.get(output, "d.png")
            if output == "scan":
                write_ply(path, Mesh(everywhere, triangles))
            if output == "mesh":
                write_vertices(path, mesh.vertices_mm)
            elif output == "texture":
                cameras = [camera_from_params(self.params, view) for view in range(self.views)]
                cv2.imwrite(str(path), project_texture(mesh, self.images, cameras, size_px=256).image)
            elif output == "displacement":
                write_displacement_png(
                    path, DisplacementMap(np.zeros((64, 64), np.float32), np.ones((64, 64), np.bool_))
                )
            return path

    return Subject11(records, rows, folder)


def look_alike(readers: Any, folder: Path, k: int, views: int, nose: Any, off: Any = (0.0, 0.0, 0.0)) -> float:
    """How well texture and photographs agree on the nose and beside it: correlation of grey values over frontal views.

    nose: (3,) its tip, mm; off: (3,) mm that the mesh is moved.  Nothing but FaceScape's layout is used.
    """
    tu, mview = readers.TuModel(folder, 1, k), readers.MviewModel(folder, 1, k)
    uv = np.zeros((len(tu.verts), 2))
    uv[tu.faces_v.ravel()] = tu.texcoords[tu.faces_vt.ravel()]
    a, b, c = np.moveaxis(tu.verts[tu.faces_v], 1, 0)
    normals = np.zeros_like(tu.verts)
    np.add.at(normals, tu.faces_v.ravel(), np.repeat(np.cross(b - a, c - a), 3, axis=0))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    near = (np.linalg.norm(tu.verts - nose, axis=1) < 45) & (tu.verts[:, 1] > nose[1] - 8)
    size = tu.texture.shape[0]
    rows, columns = ((1 - uv[:, 1]) * size).astype(int), (uv[:, 0] * size).astype(int)
    painted = tu.texture.mean(axis=2)[rows.clip(0, size - 1), columns.clip(0, size - 1)]
    found = []
    for view in range(views):
        Rt = np.array(mview.params[f"{view}_Rt"])
        towards = -Rt[:3, :3].T @ Rt[:3, 3] - tu.verts
        seen = near & ((normals * towards).sum(axis=1) > 0.5 * np.linalg.norm(towards, axis=1))
        if seen.sum() < 0.45 * near.sum():  # from the side or from below
            continue
        x, y = np.rint(mview.projected(view, tu.verts[seen] + off)).astype(int).T
        found.append(np.corrcoef(mview.undistorted(view).mean(axis=2)[y, x], painted[seen])[0, 1])
    assert len(found) >= 2
    return float(np.median(found))


def test_made_from_the_truth(
    studio: Any, studio_rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readers: Any
) -> None:
    monkeypatch.setattr(topology_files, "CHECK_HEIGHT_PX", 96)
    (tmp_path / "subject").mkdir()
    finished = subject_11_studio(type(studio), studio.records, studio_rows, tmp_path / "subject")
    with transaction(studio.records.engine) as tx:
        subject = studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)
        subject.age, subject.gender = 30, Gender.FEMALE
        finished.session(tx, subject, EXPRESSIONS)
    built = build_release(studio.records, "faces", tmp_path / "out", workers=1)
    assert verify(built.folder, recorded_sha256=built.manifest_sha256).intact

    for k, expression in enumerate(EXPRESSIONS, start=1):
        tu, views = readers.TuModel(built.folder, 1, k), readers.MviewModel(built.folder, 1, k)
        with truth(expression) as known:
            there = known["base_vertices"]
            np.testing.assert_allclose(tu.verts, there[finished.kept], atol=2e-3)  # one order: true correspondence
            assert cKDTree(views.mesh.vertices).query(there[finished.kept])[0].max() < 1e-2
            nose = there[known["landmarks68"][30]]
        assert views.img_num == finished.views
        assert tu.dpmap.dtype == np.uint16
        agree = look_alike(readers, built.folder, k, finished.views, nose)
        assert agree > 0.6
        assert look_alike(readers, built.folder, k, finished.views, nose, off=(0.0, 8.0, 0.0)) < agree - 0.15
    assert (built.folder / "info_list.txt").read_text().split()[:3] == ["1", "f", "30"]


@pytest.mark.slow
def test_made_by_the_real_stages(
    studio: Any, studio_rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readers: Any
) -> None:
    """Neutral and smile, 38 photographs of 0.24 MP, from the takes in the records to the release."""
    monkeypatch.setattr(topology_files, "CHECK_HEIGHT_PX", 96)
    chosen, records = [*range(30), *range(30, 68, 5)], studio.records
    with transaction(records.engine) as tx:
        subject = studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)
        rig = studio_rows.rig(tx, cameras=len(chosen))
        session = studio_rows.session(tx, subject, rig)
        for expression in EXPRESSIONS[:2]:
            params, images = reduced(expression, chosen, 0.5)
            filed = []
            for image in images:
                data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                filed.append((records.store.put_bytes(data), len(data)))
            if expression == "neutral":
                session.calibration = rig_records.add_calibration(tx, rig, "made up", params)
            studio_rows.accepted(tx, session, rig, expression, filed)
        captures.close_session(tx, session, incomplete=True)
    template = tmp_path / "template.npz"
    write_template(template, default_template())
    small = {"reconstruct": {"vertices": 200_000}, "texture": {"size_px": 512}, "bake": {"size_px": 512}}
    settings = FarmSettings(workers=1, disk_floor_gb=0.0, poll_s=0.5, params=small)
    summary = FarmDaemon(records.engine, records.settings.store, settings, template).run(until_idle=True)
    assert not summary.jobs.troubled
    built = build_release(records, "faces", tmp_path / "out", workers=1)
    assert verify(built.folder, recorded_sha256=built.manifest_sha256).intact

    for k, expression in enumerate(EXPRESSIONS[:2], start=1):
        tu, views = readers.TuModel(built.folder, 1, k), readers.MviewModel(built.folder, 1, k)
        assert views.img_num == len(chosen)
        with truth(expression) as known:
            skin, nose = known["vertices"], known["base_vertices"][known["landmarks68"][30]]
        face = skin[np.linalg.norm(skin - nose, axis=1) < 50]
        assert np.median(cKDTree(views.mesh.vertices).query(face[::50])[0]) < 0.5
        assert np.median(cKDTree(tu.verts).query(face[::50])[0]) < 1.5  # vertices lie 3 mm apart
        assert tu.dpmap.std() > 0
        agree = look_alike(readers, built.folder, k, len(chosen), nose)
        assert agree > 0.6
        assert look_alike(readers, built.folder, k, len(chosen), nose, off=(0.0, 8.0, 0.0)) < agree - 0.15
