"""One mesh, written in the ways that programs write it, is one mesh; what is cut, or says something else, is refused
with its place.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mesh_writers import FORMS, ObjStyle, PlyStyle, obj_bytes, ply_bytes

from processing.errors import MeshError
from processing.files.mesh_files import read_mesh, read_scan
from processing.files.ply import write_ply
from processing.geometry.mesh import Mesh

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PLACE = r", (line [\d,]+|(vertex|face|other) [\d,]+ \(byte [\d,]+\)|byte [\d,]+): "


@st.composite
def shapes(draw: Any, *, smallest: int = 3, largest: int = 6) -> tuple[Any, list[list[int]], Any, Any]:
    """Vertices whose numbers float32 holds, polygons, colours, confidences; not all vertices are in a polygon."""
    count = draw(st.integers(largest, 9))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    lengths = draw(st.lists(st.integers(smallest, largest), min_size=1, max_size=6))
    faces = [rng.permutation(count)[:length].tolist() for length in lengths]
    vertices = rng.uniform(-200, 200, (count, 3)).astype(np.float32).astype(float)
    return vertices, faces, rng.integers(0, 256, (count, 3), dtype=np.uint8), rng.random(count).astype(np.float32)


def triangles_of(faces: Sequence[Sequence[int]]) -> list[list[int]]:
    return [[f[0], f[k], f[k + 1]] for f in faces for k in range(1, len(f) - 1)]


_RGB = (("red", "uchar"), ("green", "uchar"), ("blue", "uchar"))
_WEDGES = ("texcoord", "float", 6)
_MORE = st.sampled_from([(), (("flags", "int"),), (_WEDGES,), (_WEDGES, ("number", "int")), _RGB])
PLY_STYLES = st.builds(
    PlyStyle,
    form=st.sampled_from(FORMS),
    coordinate=st.sampled_from(("float", "double", "float32")),
    colour=st.sampled_from(("uchar", "uint8", "float", "double", "ushort", "int")),
    index=st.sampled_from(("int", "uint", "ushort", "uchar", "int32")),
    length=st.sampled_from(("uchar", "int", "ushort")),
    list_name=st.sampled_from(("vertex_indices", "vertex_index")),
    newline=st.sampled_from(("\n", "\r\n", "\r")),
    comments=st.sampled_from(((), ("end_header", "element face 9"), ("made by hand",))),
    before=_MORE,
    behind=st.sampled_from([(), (("quality", "float"),), (("wedges", "short", 3),)]),
    vertex_more=st.sampled_from([(), ("nx", "ny", "nz"), ("s", "t")]),
    elements=st.sampled_from([("vertex", "face"), ("face", "vertex"), ("other", "vertex", "face"),
                              ("vertex", "other", "face"), ("vertex", "face", "other")]),
    colours=st.booleans(),
    rgb=st.sampled_from((("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))),
    confidence=st.sampled_from(("", "confidence", "quality")),
)  # fmt: skip


@QUIET
@given(shapes(), PLY_STYLES)
def test_a_ply_is_the_same_mesh_however_it_is_written(tmp_path: Path, shape: Any, style: PlyStyle) -> None:
    vertices, faces, colours, confidence = shape
    path = tmp_path / "m.ply"
    path.write_bytes(ply_bytes(vertices, faces, colours, confidence, style))
    mesh = read_mesh(path)
    assert np.array_equal(mesh.vertices_mm, vertices)
    assert mesh.triangles.tolist() == triangles_of(faces)
    assert np.array_equal(mesh.colors, colours) if style.colours else mesh.colors is None
    if style.confidence:
        assert mesh.confidence == pytest.approx(confidence, abs=1e-6)
    else:
        assert mesh.confidence is None


@QUIET
@given(shapes(), PLY_STYLES, st.data())
def test_a_ply_that_is_cut_is_refused_with_its_place(tmp_path: Path, shape: Any, style: PlyStyle, data: Any) -> None:
    """Of a text the last number alone may lose digits unseen, as long as it names a vertex that is there."""
    whole = ply_bytes(*shape, style)
    text = style.form == "ascii"
    most = len(whole.rstrip()) - len(whole.split()[-1]) if text else len(whole) - 1
    path = tmp_path / "m.ply"
    path.write_bytes(whole[: data.draw(st.integers(0, most))])
    with pytest.raises(MeshError, match=f"m.ply{PLACE}"):
        read_mesh(path)


@QUIET
@given(shapes(), PLY_STYLES, st.binary(min_size=1, max_size=20))
def test_a_ply_that_goes_on_is_refused_where_it_does(tmp_path: Path, shape: Any, style: PlyStyle, more: bytes) -> None:
    path = tmp_path / "m.ply"
    path.write_bytes(ply_bytes(*shape, style) + more)
    if more.strip(b" \t\r\n\0\f\v") and (style.form != "ascii" or more.split()):
        with pytest.raises(MeshError, match=f"m.ply{PLACE}.*it goes on"):
            read_mesh(path)


OBJ_STYLES = st.builds(
    ObjStyle,
    gap=st.sampled_from((" ", "\t", "   ", " \t")),
    newline=st.sampled_from(("\n", "\r\n", "\r")),
    continued=st.sampled_from((0, 2, 3)),
    negative=st.booleans(),
    normals=st.booleans(),
    colours=st.booleans(),
    comments=st.booleans(),
    groups=st.booleans(),
)


@QUIET
@given(shapes(), OBJ_STYLES, st.sampled_from(("all", "some", "none")), st.booleans(), st.integers(0, 99))
def test_an_obj_is_the_same_mesh_however_it_is_written(
    tmp_path: Path, shape: Any, style: ObjStyle, have_uvs: str, first: bool, seed: int
) -> None:
    vertices, faces, colours, _ = shape
    rng = np.random.default_rng(seed)
    uvs = None if have_uvs == "none" else rng.uniform(-1, 3, (5, 2))
    bare = [have_uvs == "none" or (have_uvs == "some" and k % 2 == 1) for k in range(len(faces))]
    uv_faces = [None if b else rng.integers(0, 5, len(f)).tolist() for b, f in zip(bare, faces, strict=True)]
    path = tmp_path / "m.obj"
    style = ObjStyle(**{**style.__dict__, "faces_first": first and not style.negative})
    path.write_bytes(obj_bytes(vertices, faces, uvs, uv_faces, colours, style))
    mesh = read_mesh(path)
    assert np.array_equal(mesh.vertices_mm, vertices)
    assert mesh.triangles.tolist() == triangles_of(faces)
    assert np.array_equal(mesh.colors, colours) if style.colours else mesh.colors is None
    of_triangle = [k for k, face in enumerate(faces) for _ in range(len(face) - 2)]
    assert mesh.without_uvs.tolist() == [bare[k] for k in of_triangle]
    if uvs is not None and mesh.uvs is not None and mesh.uv_triangles is not None:
        dressed = [f for f in uv_faces if f is not None]
        there = ~mesh.without_uvs
        assert mesh.uv_triangles[there].tolist() == triangles_of(dressed)
        assert np.array_equal(mesh.uvs[: len(uvs)], uvs)


@QUIET
@given(shapes(), st.data())
def test_an_obj_that_is_cut_is_refused_or_has_the_faces_before(tmp_path: Path, shape: Any, data: Any) -> None:
    """The format says nowhere how much there is: a cut between two faces cannot be told."""
    vertices, faces, colours, _ = shape
    whole = obj_bytes(vertices, faces, None, [None] * len(faces), colours, ObjStyle())
    path = tmp_path / "m.obj"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        mesh = read_mesh(path)
    except MeshError as error:
        if "m.obj" not in str(error):
            raise
        return
    assert path.read_bytes().startswith(whole[: whole.index(b"f ")])
    assert np.array_equal(mesh.vertices_mm, vertices)
    whole_faces = path.read_bytes().count(b"\n") - len(vertices)
    assert mesh.triangles.tolist()[: len(triangles_of(faces[:whole_faces]))] == triangles_of(faces[:whole_faces])


HEAD = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
FACE = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
ROWS = "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + FACE + ROWS.replace("3 0 1 2", "3 0 1 7"), "line 13: a face names vertex 7, counted from 0; 3 are"),
        (HEAD + FACE + ROWS.replace("3 0 1 2", "3 0 1 -1"), r"line 13: a face names vertex -1"),
        (HEAD + FACE + ROWS.replace("3 0 1 2", "2 0 1"), "line 13: a face has 2 corners"),
        (HEAD + FACE + ROWS.replace("1 0 0", "1 0,5 0"), r"line 11: it cannot be read as one of its vertices .*0,5"),
        (HEAD + FACE + ROWS.replace("1 0 0", "1 0 0 0"), "line 11: it cannot be read .*4 numbers, not 3"),
        (HEAD + FACE + ROWS.replace("1 0 0", "1 -nan(ind) 0"), "line 11: it has 1 vertices .* not finite"),
        (HEAD + FACE + ROWS.replace("3 0 1 2", "3 0 1 2.5"), "line 13: it is cut short or damaged"),
        (HEAD + FACE.replace("face 1", "face 4") + ROWS, "line 13: it is cut short: it has 1 of 4 faces"),
        (HEAD + FACE.replace("uchar int", "uchar float") + ROWS, "line 9: a corner is no number of a vertex"),
        (HEAD + "element tristrips 1\nproperty list int int vertex_indices\nend_header\n", "are in strips"),
        (HEAD + "end_header\n0 0 0\n1 0 0\n0 1 0\n", r"line 7: it is no mesh.*it holds vertex \(3\)"),
        (HEAD.replace("float y", "half y") + FACE + ROWS, "line 5: a property of a type that is not known"),
        (HEAD.replace("ascii", "text") + FACE + ROWS, "line 2: a format that is none of"),
        (HEAD.replace("float y", "float x") + FACE + ROWS, "line 5: an element has two properties of one name"),
        (HEAD.replace("vertex 3", "vertex -3") + FACE + ROWS, "line 3: "),
        (HEAD.replace("vertex 3", "vertex 999999999") + FACE + ROWS, "line 3: at most"),
        ("solid cube\n", "line 1: it does not begin with 'ply'"),
    ],
)
def test_a_ply_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.ply").write_text(text)
    with pytest.raises(MeshError, match=f"m.ply, .*{said}"):
        read_mesh(tmp_path / "m.ply")


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_binary_ply_with_another_number_of_corners_is_read_row_by_row(tmp_path: Path, form: str) -> None:
    rng = np.random.default_rng(1)
    vertices, colours = rng.random((9, 3)), np.zeros((9, 3), np.uint8)
    faces = [[0, 1, 2], [3, 4, 5, 6], [6, 7, 8]]
    data = ply_bytes(vertices, faces, colours, vertices[:, 0], PlyStyle(form))
    (tmp_path / "m.ply").write_bytes(data)
    assert read_mesh(tmp_path / "m.ply").triangles.tolist() == triangles_of(faces)
    at = data.index(b"end_header\n") + 11 + 9 * 15
    (tmp_path / "m.ply").write_bytes(data[: at + 13] + b"\x01" + data[at + 14 :])
    with pytest.raises(MeshError, match=rf"face 2 \(byte {at + 13}\): a face has 1 corners"):
        read_mesh(tmp_path / "m.ply")


V = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (V + "f 1 2 4\n", "line 4: a face names vertex 4, counted from 1; 3 are there"),
        (V + "f 1 2 -9\n", "line 4: a face names vertex -5"),
        (V + "f 1 2 0\n", "line 4: cannot be read as OBJ: 'f 1 2 0'"),
        (V + "f 1 2\n", "line 4: cannot be read as OBJ"),
        (V + "f 1/1 2/1 3/9\nvt 0 0\n", "line 4: a face names a UV that is not there"),
        (V + "vt nan 0\nf 1/1 2/1 3/1\n", "line 5: a face names a UV .* not finite"),
        (V.replace("1 0 0", "1 nan 0") + "f 1 2 3\n", "line 2: it has 1 vertices .* not finite"),
        (V.replace("1 0 0", "1 0,0 0") + "f 1 2 3\n", "line 2: cannot be read as OBJ"),
        (V.replace("v 1 0 0", "v 1 0") + "f 1 2 3\n", "line 2: cannot be read as OBJ"),
        (V + "0.5 0.5 0\nf 1 2 3\n", "line 4: cannot be read as OBJ"),
        (V + "call other.obj\n", "line 4: cannot be read as OBJ"),
        (V + "cstype bspline\nsurf 0 1 0 1 1 2 3\n", "0 faces: not a mesh; its curves and surfaces .line 4: cstype"),
    ],
)
def test_an_obj_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.obj").write_text(text)
    with pytest.raises(MeshError, match=f"m.obj.*{said}"):
        read_mesh(tmp_path / "m.obj")


def test_curves_beside_polygons_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "m.obj").write_bytes(
        b"\xef\xbb\xbf" + (V + "vp 0 0\ncurv 0 1 1 2\nl 1 2\np 1\nf 1 2 3 # first\nend\n").encode()
    )
    assert read_mesh(tmp_path / "m.obj").triangles.tolist() == [[0, 1, 2]]


def test_a_scan_needs_no_vertex_that_no_face_names(tmp_path: Path) -> None:
    """A topology does: its vertices keep their numbers."""
    mesh = Mesh(np.array([[0, 0, 0], [np.nan, 0, 0], [9, 0, 0], [0, 9, 0], [1e5, 0, 0.0]]), np.array([[0, 2, 3]]))
    write_ply(tmp_path / "m.ply", mesh)
    scan = read_scan(tmp_path / "m.ply")
    assert scan.vertices_mm.tolist() == [[0, 0, 0], [9, 0, 0], [0, 9, 0]]
    assert scan.triangles.tolist() == [[0, 1, 2]]
    with pytest.raises(MeshError, match=r"m.ply, vertex 2 \(byte \d+\): it has 1 vertices .* not finite"):
        read_mesh(tmp_path / "m.ply")


def test_another_ending_is_no_mesh(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"m\.stl: a mesh is an \.obj or a \.ply file"):
        read_mesh(tmp_path / "m.stl")
