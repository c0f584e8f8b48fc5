import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from common.progress import Progress, no_progress
from processing.errors import DataError, MeshError, NoFace
from processing.farm.register_scan import RegistrationInputs, register_scan
from processing.files.mesh_files import read_scan
from processing.files.obj import read_obj, write_obj
from processing.files.ply import write_ply
from processing.geometry.mesh import Mesh, Surface, subdivide, submesh
from processing.geometry.procrustes import Similarity
from processing.landmarks.landmark_files import read_landmarks, write_landmarks
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.landmarks.scan_landmarks import landmarks_of_scan
from processing.mesh_repair.mesh_defects import find_mesh_defects
from processing.registration.correspondence import TargetSurface
from processing.registration.register import register_expression, register_neutral
from processing.scan_quality.registration_quality import measure_registration
from processing.stages.substitutes.given_files import complete_landmarks
from processing.template.builtin_template import default_template
from processing.template.face_regions import face_regions
from processing.template.template import Template, from_mesh, place_landmarks
from processing.template.template_file import write_template

DATA = Path(__file__).parents[3] / "shared" / "data"
SUBJECT, JAMES = DATA / "subject-11", DATA / "james"


def head(v: np.ndarray) -> np.ndarray:
    """A unit sphere to an egg with a nose and a chin, mm."""
    v = v * [70, 100, 85]
    front = v[:, 2] > 0
    nose = 16 * np.exp(-np.square(v[:, 0] / 10) - np.square(v[:, 1] / 14)) * front
    chin = 8 * np.exp(-np.square(v[:, 0] / 18) - np.square((v[:, 1] + 60) / 12)) * front
    return v + np.c_[0 * nose, 0 * nose, nose + chin]


def smiling(v: np.ndarray) -> np.ndarray:
    """Cheeks out and up around two places beside the mouth."""
    out = v.copy()
    for side in (-1, 1):
        there = np.exp(-np.square((v[:, 0] - 28 * side) / 14) - np.square((v[:, 1] + 35) / 14)) * (v[:, 2] > 0)
        out += there[:, None] * np.array([4.0 * side, 5.0, 4.0])
    return out


@pytest.fixture(scope="module")
def template(uv_sphere) -> Template:
    ball = uv_sphere(28, 1.0)
    count = len(ball.vertices_mm)
    eye = ball.vertices_mm * 9 + [28.0, 25, 62]
    skin = head(ball.vertices_mm)
    triangles = np.concatenate([ball.triangles, ball.triangles + count])
    mesh = Mesh(
        np.concatenate([skin, eye]), triangles, ball.uvs, np.concatenate([ball.uv_triangles, ball.uv_triangles])
    )
    rng = np.random.default_rng(5)
    wanted = np.c_[rng.uniform(-50, 50, 68), rng.uniform(-70, 60, 68), np.full(68, 70.0)]
    wanted[36], wanted[45] = (-42, 25, 70), (42, 25, 70)
    wanted[48], wanted[54] = (-25, -40, 70), (25, -40, 70)
    corners, barycentric = place_landmarks(
        mesh, wanted, np.r_[np.ones(len(ball.triangles), bool), np.zeros(len(ball.triangles), bool)]
    )
    parts = np.r_[np.zeros(count), np.ones(count)].astype(np.int8)
    posed = np.concatenate([smiling(skin), eye])
    return from_mesh("egg", mesh, corners, barycentric, parts=parts, expressions={"smile": posed})


def subject(v: np.ndarray) -> np.ndarray:
    return (
        v * [1.04, 0.97, 1.02] + np.c_[1.5 * np.sin(v[:, 1] / 35), 1.2 * np.sin(v[:, 2] / 40), 2 * np.cos(v[:, 0] / 45)]
    )


@pytest.fixture(scope="module")
def pose() -> Similarity:
    return Similarity(1.0, Rotation.from_rotvec([0.05, -0.1, 0.03]).as_matrix(), np.array([4.0, -6, 3]))


def photographed(template: Template, truth: np.ndarray) -> tuple[Mesh, Landmarks3d]:
    """A finer scan of the skin of `truth` alone, without its seam or eyes, and its landmarks with 0.5 mm of noise."""
    half = len(template.mesh.triangles) // 2
    skin = Mesh(truth[: len(truth) // 2], template.mesh.triangles[:half])
    points = template.landmark_points(truth) + np.random.default_rng(7).normal(0, 0.5, (68, 3))
    points[:17] += np.random.default_rng(8).normal(0, 12, (17, 3))
    return subdivide(skin, 1), Landmarks3d.of_points(points)


def check(template: Template, found: np.ndarray, truth: np.ndarray, scan: Mesh) -> None:
    count = len(truth) // 2
    front = template.mesh.vertices_mm[:count, 2] > 0
    assert Surface(scan).closest(found[:count]).distance_mm.mean() < 0.05
    assert np.linalg.norm(found - truth, axis=1)[:count][front].mean() < 1.5
    # The eyeball is not drawn to the skin around it: it keeps its shape and its place in the head.
    radius = np.linalg.norm(found[count:] - found[count:].mean(axis=0), axis=1)
    assert radius.std() < 0.02 * radius.mean()
    assert np.linalg.norm(found[count:].mean(axis=0) - truth[count:].mean(axis=0)) < 3


def test_neutral_then_smile(template: Template, pose: Similarity) -> None:
    truth = subject(template.mesh.vertices_mm)
    scan, landmarks = photographed(template, truth)
    neutral = register_neutral(template, scan, landmarks)
    check(template, neutral.vertices_mm, truth, scan)
    assert neutral.report.landmarks == 68
    assert neutral.report.flipped == 0
    smile = pose(subject(0.8 * template.expressions["smile"] + 0.2 * template.mesh.vertices_mm))
    scan, landmarks = photographed(template, smile)
    found = register_expression(template, "smile", neutral.vertices_mm, scan, landmarks)
    check(template, found.vertices_mm, smile, scan)
    assert found.report.strength == pytest.approx(0.8, abs=0.25)
    unknown = register_expression(template, "never_heard_of", neutral.vertices_mm, scan, landmarks)
    check(template, unknown.vertices_mm, smile, scan)


def test_scans_that_cannot_be_are_refused(template: Template) -> None:
    scan, landmarks = photographed(template, template.mesh.vertices_mm)
    with pytest.raises(MeshError, match="do not belong together"):
        register_neutral(template, scan.with_vertices(scan.vertices_mm / 10), landmarks)
    small = Landmarks3d.of_points(landmarks.points_mm / 1000)
    with pytest.raises(MeshError, match="millimetres"):
        register_neutral(template, scan.with_vertices(scan.vertices_mm / 1000), small)
    with pytest.raises(MeshError, match="look like centimetres"):
        register_neutral(
            template, scan.with_vertices(scan.vertices_mm / 10), Landmarks3d.of_points(landmarks.points_mm / 10)
        )
    half_turn = np.array([-1.0, -1, 1])
    with pytest.raises(MeshError, match="upside down"):
        register_neutral(
            template,
            scan.with_vertices(scan.vertices_mm * half_turn),
            Landmarks3d.of_points(landmarks.points_mm * half_turn),
        )
    with pytest.raises(MeshError, match="inside out"):
        register_neutral(template, replace(scan, triangles=scan.triangles[:, ::-1]), landmarks)
    few, shuffled = landmarks.points_mm.copy(), landmarks.points_mm.copy()
    few[20:] = np.nan
    with pytest.raises(NoFace, match="landmarks are known"):
        register_neutral(template, scan, Landmarks3d.of_points(few))
    others = np.setdiff1d(np.arange(17, 68), [36, 45])
    shuffled[others] = shuffled[np.random.default_rng(0).permutation(others)]
    with pytest.raises(NoFace, match="not those of a face"):
        register_neutral(template, scan, Landmarks3d.of_points(shuffled))
    broken = scan.vertices_mm.copy()
    broken[5] = np.nan
    with pytest.raises(MeshError, match="finite"):
        register_neutral(template, scan.with_vertices(broken), landmarks)


@pytest.mark.parametrize(
    ("axis", "sign", "name"), [(0, 1, "left"), (0, -1, "right"), (1, 1, "upper"), (1, -1, "lower")]
)
def test_half_a_face_is_refused_by_name(template: Template, axis: int, sign: int, name: str) -> None:
    scan, landmarks = photographed(template, template.mesh.vertices_mm)
    middle = scan.vertices_mm[scan.triangles].mean(axis=1)
    half = submesh(scan, sign * middle[:, axis] < 0)[0]
    with pytest.raises(MeshError, match=f"{name} half of the face is missing"):
        register_neutral(template, half, landmarks)


def test_a_hole_in_a_cheek_is_no_missing_half(template: Template) -> None:
    scan, landmarks = photographed(template, template.mesh.vertices_mm)
    middle = scan.vertices_mm[scan.triangles].mean(axis=1)
    holed = submesh(scan, np.linalg.norm(middle - [35, -10, 65], axis=1) > 16)[0]
    assert register_neutral(template, holed, landmarks).report.matched > 0.8


def test_files_in_files_out(template: Template, tmp_path: Path) -> None:
    truth = subject(template.mesh.vertices_mm)
    scan, landmarks = photographed(template, truth)
    write_template(tmp_path / "t.npz", template)
    write_ply(tmp_path / "scan.ply", scan)
    write_landmarks(tmp_path / "l.json", landmarks)
    placed = {"template": tmp_path / "t.npz", "landmarks": tmp_path / "l.json"}
    result = register_scan(RegistrationInputs(tmp_path / "scan.ply", **placed), tmp_path / "out", size_px=128)
    files = result.files
    mesh = read_obj(files.mesh)
    np.testing.assert_array_equal(mesh.triangles, template.mesh.triangles)
    assert files.displacement.is_file()
    assert read_landmarks(files.landmarks).known.all()
    assert files.texture is None
    assert '"surface_mm"' in result.as_json()
    assert result.review.verdict in result.as_text()
    assert files.quality.is_file()
    write_obj(tmp_path / "out2" / "other.obj", Mesh(scan.vertices_mm, scan.triangles))
    with pytest.raises(MeshError, match="not registered"):
        register_scan(
            RegistrationInputs(tmp_path / "scan.ply", **placed, neutral=tmp_path / "out2" / "other.obj"),
            tmp_path / "out3",
        )
    with pytest.raises(DataError, match="--neutral"):
        register_scan(RegistrationInputs(tmp_path / "scan.ply", expression="smile"), tmp_path / "out3")
    with pytest.raises(MeshError, match=r"\.obj or a \.ply"):
        register_scan(RegistrationInputs(tmp_path / "scan.stl"), tmp_path / "out3")
    assert not (tmp_path / "out3").exists()


def test_a_scan_of_no_heads_size_is_refused(uv_sphere) -> None:
    with pytest.raises(MeshError, match="millimetres"):
        landmarks_of_scan(uv_sphere(8, 9.0))
    with pytest.raises(NoFace, match="no face"):
        landmarks_of_scan(uv_sphere(8, 110.0))


@pytest.mark.slow
@pytest.mark.skipif(not SUBJECT.is_dir(), reason="the reference subject is not on this machine")
def test_the_reference_subject_within_half_a_millimetre() -> None:
    from processing.displacement.apply_displacement import displace
    from processing.displacement.displacement_bake import bake

    template = default_template()
    neutral = None
    for name in ("1_neutral", "2_smile", "3_mouth_stretch"):
        with np.load(SUBJECT / f"{name}.truth.npz") as truth:
            scan = Mesh(truth["vertices"], truth["triangles"])
        landmarks = landmarks_of_scan(scan)
        if neutral is None:
            found = register_neutral(template, scan, landmarks)
            neutral = found.vertices_mm
        else:
            found = register_expression(template, name.split("_", 1)[1], neutral, scan, landmarks)
        mesh = template.mesh.with_vertices(found.vertices_mm)
        detailed = displace(mesh, bake(mesh, scan, size_px=1024, skin=template.parts == 0))
        assert Surface(mesh).closest(scan.vertices_mm).distance_mm.mean() < 0.3
        assert Surface(detailed).closest(scan.vertices_mm).distance_mm.mean() < 0.15


@pytest.mark.slow
@pytest.mark.skipif(not JAMES.is_dir(), reason="the scan of a real face is not on this machine")
@pytest.mark.parametrize("given", [True, False])
def test_a_real_scan_with_closed_lips_and_lids(given: bool) -> None:
    """Landmarks given in the groups of its file, or found on pictures of the scan."""
    scan = read_scan(JAMES / "james.obj")
    landmarks = read_landmarks(JAMES / "james.ljson") if given else landmarks_of_scan(scan)
    template = default_template()
    found = register_neutral(template, scan, landmarks)
    figures = measure_registration(template, found.vertices_mm, TargetSurface(scan), landmarks).figures
    assert figures["surface_mm"] < 0.5
    assert max(figures["regions"][name]["mean_mm"] for name in ("brow", "nose", "chin", "cheek")) < 0.1
    mesh = Mesh(template.mesh.vertices_mm, template.mesh.triangles)
    faults = find_mesh_defects(mesh.with_vertices(found.vertices_mm), mesh)
    regions = face_regions(template)
    face = np.any([regions[name] for name in ("brow", "eye", "nose", "mouth", "chin", "cheek")], axis=0)
    counts = faults.counts(face[mesh.triangles].all(axis=1))
    assert counts["flipped"] == counts["crossing"] == 0


@pytest.mark.slow
@pytest.mark.skipif(not SUBJECT.is_dir(), reason="the reference subject is not on this machine")
@pytest.mark.parametrize(
    ("factor", "name"), [(0.001, "look like metres"), (0.1, "look like centimetres"), (-1.0, "upside down")]
)
def test_the_command_refuses_what_is_no_scan_by_name(tmp_path: Path, factor: float, name: str) -> None:
    """Exit code 4, the reason named, nothing written. factor -1: turned by half a turn about z."""
    with np.load(SUBJECT / "1_neutral.truth.npz") as truth:
        head = Mesh(truth["base_vertices"].astype(float), truth["base_triangles"])
    by = np.array([-1.0, -1, 1]) if factor < 0 else factor
    write_ply(tmp_path / "scan.ply", head.with_vertices(head.vertices_mm * by))
    command = [sys.executable, "-m", "mien", "register", str(tmp_path / "scan.ply"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 4
    assert name in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


def test_landmarks_placed_by_hand_go_before_those_found(template: Template, tmp_path: Path) -> None:
    _, found = photographed(template, template.mesh.vertices_mm)
    rows: list[list[float | None]] = [[None] * 3 for _ in range(68)]
    rows[30], rows[48] = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    (tmp_path / "placed.json").write_text(json.dumps(rows))
    points = complete_landmarks(tmp_path / "placed.json", lambda _progress: found, no_progress).points_mm
    np.testing.assert_array_equal(points[[30, 48]], [[1, 2, 3], [4, 5, 6]])
    others = np.delete(np.arange(68), [30, 48])
    np.testing.assert_array_equal(points[others], found.points_mm[others])

    def nobody(_progress: Progress) -> Landmarks3d:
        raise NoFace("no face is seen")

    alone = complete_landmarks(tmp_path / "placed.json", nobody, no_progress)
    np.testing.assert_array_equal(np.flatnonzero(alone.known), [30, 48])
    with pytest.raises(NoFace):
        complete_landmarks(None, nobody, no_progress)
