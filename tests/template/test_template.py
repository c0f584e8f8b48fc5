"""The built-in template's truth, template files and what is refused."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from processing.commands.template import app
from processing.errors import DataError, ShapeError
from processing.files.obj import write_obj
from processing.geometry.mesh import Mesh, Surface, triangle_components
from processing.geometry.uv_rasterization import texels_of
from processing.landmarks.multi_pie_68 import CONTOUR, GROUPS, MEDIAPIPE_TO_68, MIRROR_68
from processing.mesh_repair.mesh_defects import find_mesh_defects
from processing.template.builtin_template import default_template
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.part_labelling import label_parts
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, TemplateError, from_mesh, place_landmarks
from processing.template.template_file import read_template, write_template
from processing.template.template_import import import_obj


@pytest.fixture(scope="module")
def template():
    return default_template()


@pytest.fixture
def patch(tmp_path):
    """A 9 x 9 quad sheet as OBJ, its vertices, and a landmark file of 68 of its vertex numbers."""
    x, y = np.meshgrid(np.arange(9.0), np.arange(9.0))
    vertices = np.stack([x.ravel(), y.ravel(), 0.1 * x.ravel()], axis=1)
    lines = [f"v {a} {b} {c}" for a, b, c in vertices] + [f"vt {a / 8} {b / 8}" for a, b, _ in vertices]
    at = np.arange(81).reshape(9, 9) + 1
    for i in range(8):
        for j in range(8):
            corners = at[i, j], at[i, j + 1], at[i + 1, j + 1], at[i + 1, j]
            lines.append("f " + " ".join(f"{c}/{c}" for c in corners))
    obj, landmarks = tmp_path / "sheet.obj", tmp_path / "landmarks.txt"
    obj.write_text("\n".join(lines))
    landmarks.write_text("\n".join(str(i) for i in range(68)))
    return obj, vertices, landmarks


def test_the_template_is_one_clean_piece(template):
    mesh = template.mesh
    assert 25_000 <= len(mesh.vertices_mm) <= 27_000
    assert triangle_components(mesh).max() == 0
    assert len(mesh.vertices_mm) - len(mesh.edges) + len(mesh.triangles) == 1, "a disk: open at the neck only"
    assert (np.linalg.norm(mesh.triangle_cross, axis=1) > 1e-6).all()
    assert mesh.vertices_mm[template.boundary, 1].max() < -60
    assert set(np.unique(template.parts)) == {SKIN, EYE, MOUTH_INTERIOR}
    assert (template.weights[(template.parts == SKIN) & ~template.boundary] == 1).all()
    assert template.weights[template.parts != SKIN].max() < 0.5


def test_the_lids_do_not_pass_through_the_eyes(template):
    """In the neutral and where only the eyes' surroundings or the jaw move."""
    skin = (template.parts == SKIN)[template.mesh.triangles].all(axis=1)
    for name in ("neutral", "mouth_stretch", "brow_raiser", "grin"):
        faults = find_mesh_defects(template.mesh.with_vertices(template.expressions[name]), template.mesh)
        assert faults.counts(skin)["flipped"] == 0, name
        assert faults.counts(skin)["crossing"] == 0, name


def test_the_head_frame_and_its_size(template):
    v = template.mesh.vertices_mm
    low, high = v.min(0), v.max(0)
    assert low[0] == pytest.approx(-high[0], abs=0.5)
    assert 140 < high[0] - low[0] < 200
    eyes = v[template.parts == EYE].mean(0)
    assert eyes == pytest.approx([0, 34, 103], abs=5)
    assert low[1] < eyes[1] - 150, "the neck is there"
    assert v[np.argmax(v[:, 2]), 1] == pytest.approx(0, abs=20), "the nose is foremost"
    surface = Surface(template.mesh)
    outwards, _, _ = surface.cast(np.zeros((1, 3)), np.array([[0.0, 0, -1]]))
    assert np.isfinite(outwards).all(), "the origin is inside"


def test_landmarks_lie_on_the_skin_and_mirror_each_other(template):
    points = template.landmark_points(template.mesh.vertices_mm)
    assert (template.landmark_barycentric >= 0).all()
    assert template.landmark_barycentric.sum(1) == pytest.approx(np.ones(68))
    assert (template.parts[template.mesh.triangles[template.landmark_triangles]] == SKIN).all()
    assert Surface(template.mesh).closest(points).distance_mm.max() < 0.01
    apart = np.linalg.norm(points - points[MIRROR_68] * [-1, 1, 1], axis=1)
    assert apart.max() < 0.5
    assert np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(68, 1)].max() < 200


def test_landmarks_are_where_they_are_named(template):
    points = template.landmark_points(template.mesh.vertices_mm)
    middle = {name: points[list(indices)].mean(0) for name, indices in GROUPS.items()}
    assert middle["right_eye"][0] < 0 < middle["left_eye"][0]
    heights = ["right_brow", "right_eye", "nose_base", "outer_lips"]
    assert [middle[n][1] for n in heights] == sorted((middle[n][1] for n in heights), reverse=True)
    assert np.argmin(points[:, 1]) == 8, "the chin's middle is lowest"
    eyes = template.mesh.vertices_mm[template.parts == EYE]
    for group, sign in (("left_eye", 1), ("right_eye", -1)):
        ball = eyes[sign * eyes[:, 0] > 0]
        assert np.linalg.norm(points[list(GROUPS[group])][:, None] - ball[None], axis=2).min(1).max() < 6


def test_the_table_of_landmarks():
    assert MEDIAPIPE_TO_68.shape == (68,)
    assert len(set(MEDIAPIPE_TO_68.tolist())) == 68
    assert (MIRROR_68[MIRROR_68] == np.arange(68)).all()
    assert CONTOUR.sum() == 17
    assert sorted(i for group in GROUPS.values() for i in group) == list(range(68))


def test_expressions_move_what_they_should(template):
    v = template.mesh.vertices_mm
    moved = {name: np.linalg.norm(p - v, axis=1) for name, p in template.expressions.items()}
    assert list(template.expressions) == list(EXPRESSION_RECIPES)
    assert moved["neutral"].max() < 1e-4
    assert all(moved[name].max() > 2.0 for name in moved if name != "neutral")
    skull = (v[:, 1] > 90) & (v[:, 2] < 0)
    assert max(m[skull].max() for m in moved.values()) < 1e-3
    points = {name: template.landmark_points(p) for name, p in template.expressions.items()}
    rest = points["neutral"]
    assert rest[8, 1] - points["mouth_stretch"][8, 1] > 15, "the chin drops"
    assert points["mouth_stretch"][62, 1] - points["mouth_stretch"][66, 1] > 15, "the lips part"
    assert points["smile"][[48, 54], 1].min() > rest[[48, 54], 1].max() + 2, "the corners rise"
    assert points["lip_puckerer"][54, 0] < rest[54, 0] - 2, "the mouth narrows"
    assert points["jaw_left"][8, 0] > 3
    assert points["jaw_right"][8, 0] < -3
    assert points["brow_raiser"][17:27, 1].mean() > rest[17:27, 1].mean() + 1
    assert points["brow_lower"][17:27, 1].mean() < rest[17:27, 1].mean() - 1
    opening = [p[[37, 38, 43, 44], 1].mean() - p[[41, 40, 47, 46], 1].mean() for p in (rest, points["eye_closed"])]
    assert opening[1] < 0.35 * opening[0]
    assert len({template.expressions[name].tobytes() for name in moved}) == 20


def test_save_and_load_give_the_same_template(template, tmp_path):
    path = tmp_path / "t.npz"
    write_template(path, template)
    again = read_template(path)
    assert (again.name, again.version) == (template.name, template.version)
    assert (again.mesh.vertices_mm == template.mesh.vertices_mm).all()
    assert (again.mesh.triangles == template.mesh.triangles).all()
    assert (again.mesh.uvs == template.mesh.uvs).all()
    assert (again.parts == template.parts).all()
    assert (again.boundary == template.boundary).all()
    assert (again.landmark_points(again.mesh.vertices_mm) == template.landmark_points(template.mesh.vertices_mm)).all()
    for name, vertices in template.expressions.items():
        assert np.abs(again.expressions[name] - vertices).max() < 1e-4
    assert [p.name for p in tmp_path.iterdir()] == ["t.npz"]


def test_an_unknown_expression_is_the_neutral_one(template):
    assert template.expression("wink") is template.mesh.vertices_mm


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "other"])
def test_damaged_files_are_refused(template, tmp_path, damage):
    path = tmp_path / "t.npz"
    if damage == "empty":
        path.touch()
    elif damage == "text":
        path.write_text("no template")
    elif damage == "other":
        np.savez(path, a=np.zeros(3))
    elif damage == "cut":
        write_template(path, template)
        path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(TemplateError, match=r"t\.npz") as refused:
        read_template(path)
    assert refused.value.exit_code == 4


def test_arrays_that_do_not_fit_are_refused(template):
    with pytest.raises(ShapeError):
        template.landmark_points(np.zeros((3, 3)))
    with pytest.raises(ShapeError, match="smile"):
        from_mesh(
            "x", template.mesh, template.landmark_triangles, template.landmark_barycentric,
            expressions={"smile": np.zeros((5, 3))},
        )  # fmt: skip
    with pytest.raises(TemplateError, match="triangle that is not there"):
        from_mesh("x", template.mesh, np.full(68, len(template.mesh.triangles), np.int32), np.full((68, 3), 1 / 3))


def test_a_studios_own_quads_become_a_template(patch, tmp_path):
    obj, vertices, landmarks = patch
    posed = tmp_path / "smile.obj"
    mesh = Mesh(vertices + np.array([0, 0, 5]), np.array([[0, 1, 10], [0, 10, 9]], np.int32))
    write_obj(posed, mesh)
    own = import_obj(obj, landmarks, name="ours", expressions={"smile": posed})
    assert len(own.mesh.triangles) == 128
    assert own.landmark_points(own.mesh.vertices_mm) == pytest.approx(vertices[:68])
    assert own.expressions["smile"] == pytest.approx(vertices + np.array([0, 0, 5]), abs=1e-4)
    assert own.boundary.sum() == 32
    points = tmp_path / "points.json"
    points.write_text(json.dumps(vertices[:68].tolist()))
    again = import_obj(obj, points)
    assert again.landmark_points(again.mesh.vertices_mm) == pytest.approx(vertices[:68], abs=1e-4)
    assert again.name == "sheet"


def test_what_nobody_says_of_a_heads_parts_is_found(template):
    """The built-in head with an eyeball and a tooth, and nothing said: what is in sight is skin."""
    landmarks = template.landmark_points(template.mesh.vertices_mm)
    eye, mouth = landmarks[36:42].mean(axis=0) - [0, 0, 15], landmarks[[51, 57]].mean(axis=0) - [0, 0, 25]
    count = len(template.mesh.vertices_mm)
    corners = np.array([[0, 0, 4.0], [4, 0, -3], [-4, 3, -3], [0, -4, -3]])
    solid = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    head = Mesh(
        np.concatenate([template.mesh.vertices_mm, corners + eye, corners + mouth]),
        np.concatenate([template.mesh.triangles, solid + count, solid + count + 4]),
    )
    parts = label_parts(head, landmarks)
    assert (parts[count : count + 4] == EYE).all()
    assert (parts[count + 4 :] == MOUTH_INTERIOR).all()
    own = template.parts
    assert (parts[:count][own == MOUTH_INTERIOR] == MOUTH_INTERIOR).mean() > 0.95
    assert (parts[:count][own == SKIN] == SKIN).mean() > 0.98
    known = label_parts(template.mesh, landmarks, own)
    assert (known[own == EYE] == EYE).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 2 3", "3 numbers"),
        ("a b", "no landmarks"),
        (" ".join(["99"] * 68), "0..80"),
        (" ".join(["1.5"] * 68), "whole"),
    ],
)
def test_landmark_files_that_do_not_fit_are_refused(patch, content, message):
    obj, _, landmarks = patch
    landmarks.write_text(content)
    with pytest.raises(TemplateError, match=message):
        import_obj(obj, landmarks)


def test_an_expression_of_another_topology_is_refused(patch, tmp_path):
    obj, _, landmarks = patch
    other = tmp_path / "other.obj"
    other.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(TemplateError, match="3 vertices"):
        import_obj(obj, landmarks, expressions={"smile": other})


def test_landmarks_are_placed_on_allowed_triangles_only(template):
    mesh = template.mesh
    allowed = mesh.vertices_mm[mesh.triangles][..., 0].max(1) < 0
    triangles, barycentric = place_landmarks(mesh, np.tile([[40.0, 0, 90]], (68, 1)), allowed)
    assert allowed[triangles].all()
    assert barycentric.sum(1) == pytest.approx(np.ones(68))


def test_commands_import_and_show(patch, tmp_path):
    obj, _, landmarks = patch
    out, picture = tmp_path / "ours.npz", tmp_path / "ours.png"
    run = CliRunner().invoke(app, ["import", str(obj), "--landmarks", str(landmarks), "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.output)["vertices"] == 81
    run = CliRunner().invoke(app, ["show", "--template", str(out), "--out", str(picture)])
    assert run.exit_code == 0, run.output
    assert picture.read_bytes()[:4] == b"\x89PNG"
    run = CliRunner().invoke(app, ["import", str(obj), "--out", str(out)])
    assert isinstance(run.exception, DataError)
    assert "--landmarks" in str(run.exception)


@pytest.mark.slow
def test_a_damaged_cache_is_built_again(tmp_path, monkeypatch):
    from processing.template import builtin_template as module

    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    module.cache_path().write_bytes(b"damaged")
    built = default_template.__wrapped__()
    assert len(built.mesh.vertices_mm) == len(default_template().mesh.vertices_mm)
    assert read_template(module.cache_path()).version == module.BUILTIN_VERSION
    found = built.landmark_points(built.mesh.vertices_mm)
    known = default_template().landmark_points(default_template().mesh.vertices_mm)
    assert np.linalg.norm(found - known, axis=1)[~CONTOUR].max() < 0.5, "the landmarks are found again where they were"


@pytest.mark.parametrize("full", [False, True])
def test_triangles_without_uvs_take_an_empty_place_of_the_map(patch, full, tmp_path):
    """full: the others leave no place, and shrink a little."""
    obj, _, landmarks = patch
    text = obj.read_text().splitlines()
    faces = [k for k, line in enumerate(text) if line.startswith("f ")]
    for k in faces[:3]:
        text[k] = "f " + " ".join(word.partition("/")[0] for word in text[k].split()[1:])
    if not full:
        text = [f"vt {float(w[1]) / 2} {float(w[2]) / 2}" if (w := line.split())[0] == "vt" else line for line in text]
    (tmp_path / "bare.obj").write_text("\n".join(text))
    mesh = import_obj(tmp_path / "bare.obj", landmarks).mesh
    assert not mesh.without_uvs.any()
    corners = mesh.uvs[mesh.uv_triangles]
    point = (corners == corners[:, :1]).all(axis=(1, 2))
    assert point.sum() == 6
    assert mesh.uvs.min() >= 0
    assert mesh.uvs.max() <= 1
    shown = texels_of(mesh, 256, margin_px=0)
    assert not point[shown.triangle].any()
    bare = corners[point][0, 0]
    covered = shown.image(np.ones(len(shown.index), np.uint8)).astype(bool)
    row, column = int((1 - bare[1]) * 256), int(bare[0] * 256)
    assert not covered[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4].any()
