"""Meshes against shapes whose numbers are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import open3d as o3d
import pytest

from common.files.atomic_write import atomic_write
from processing.errors import MeshError, ShapeError
from processing.files.obj import read_obj, write_obj
from processing.files.ply import read_ply, write_ply
from processing.geometry.loop_subdivision import loop_subdivided
from processing.geometry.mesh import Mesh, Surface, largest_component, subdivide, submesh


def sphere(radius_mm: float = 50.0, resolution: int = 40) -> Mesh:
    ball = o3d.geometry.TriangleMesh.create_sphere(radius_mm, resolution)
    return Mesh(np.asarray(ball.vertices), np.asarray(ball.triangles))


def square() -> Mesh:
    """Two triangles with UVs that have a seam: six UV corners for four vertices."""
    return Mesh(
        np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0.0]]),
        np.array([[0, 1, 2], [0, 2, 3]]),
        uvs=np.array([[0, 0], [0.4, 0], [0.4, 0.4], [0.5, 0.5], [0.9, 0.9], [0.5, 0.9]]),
        uv_triangles=np.array([[0, 1, 2], [3, 4, 5]]),
        colors=np.array([[0, 0, 0], [100, 0, 0], [100, 100, 0], [0, 100, 0]], np.uint8),
        confidence=np.array([0, 0.25, 0.5, 1], np.float32),
    )


def test_normals_and_areas_of_a_sphere() -> None:
    ball = sphere()
    outward = ball.vertices_mm / 50
    assert (ball.vertex_normals * outward).sum(1).min() > 0.999
    assert ball.vertex_areas.sum() == pytest.approx(4 * np.pi * 50**2, rel=5e-3)
    assert not ball.boundary_vertices.any()
    assert len(ball.vertices_mm) - len(ball.edges) + len(ball.triangles) == 2  # Euler


def test_subdivision_keeps_vertices_area_uvs_and_colours() -> None:
    fine = subdivide(square(), 2)
    assert len(fine.triangles) == 32
    assert np.array_equal(fine.vertices_mm[:4], square().vertices_mm)
    assert fine.vertex_areas.sum() == pytest.approx(4)
    assert (fine.triangle_normals[:, 2] > 0.999).all()
    assert fine.colors is not None
    assert fine.colors[:, 0].astype(float) == pytest.approx(fine.vertices_mm[:, 0] * 50, abs=1)
    assert fine.uvs is not None
    assert fine.uv_triangles is not None
    corners, uv = fine.vertices_mm[fine.triangles], fine.uvs[fine.uv_triangles]
    first = uv[..., 0].max(axis=1) <= 0.4 + 1e-9
    assert uv[first] == pytest.approx(corners[first][..., :2] / 5)


def test_confidence_goes_with_its_vertices() -> None:
    mesh = square()
    assert mesh.confidence is not None
    assert np.array_equal(mesh.with_vertices(mesh.vertices_mm + 1).confidence, mesh.confidence)
    part, old = submesh(mesh, np.array([False, True]))
    assert np.array_equal(part.confidence, mesh.confidence[old])
    fine = subdivide(mesh)
    assert fine.confidence is not None
    assert np.array_equal(fine.confidence[:4], mesh.confidence)
    assert fine.confidence[4:] == pytest.approx(mesh.confidence[mesh.edges].mean(axis=1))
    assert loop_subdivided(replace(mesh, uvs=None, uv_triangles=None)).confidence is None


@pytest.mark.parametrize("wrong", [[0.1, 0.2, 0.3], [0, 0, 0, 1.5], [-0.1, 0, 0, 0], [np.nan, 0, 0, 0]])
def test_a_confidence_that_is_none_is_refused(wrong: list[float]) -> None:
    with pytest.raises((ShapeError, MeshError), match="confidence"):
        replace(square(), confidence=np.array(wrong))


def test_subdivided_sphere_stays_closed() -> None:
    fine = subdivide(sphere())
    assert not fine.boundary_vertices.any()
    assert len(fine.vertices_mm) == len(sphere().vertices_mm) + len(sphere().edges)


def test_largest_component_and_submesh() -> None:
    large, small = sphere(50), sphere(5, 10)
    vertices = np.r_[small.vertices_mm + 200, large.vertices_mm]
    both = Mesh(vertices, np.r_[small.triangles, large.triangles + len(small.vertices_mm)])
    first_ten, old = submesh(both, np.arange(len(both.triangles)) < 10)
    assert len(first_ten.triangles) == 10
    assert np.array_equal(old[first_ten.triangles], both.triangles[:10])
    kept = largest_component(both)
    assert len(kept.triangles) == len(large.triangles)
    assert np.linalg.norm(kept.vertices_mm, axis=1) == pytest.approx(50)


def test_surface_queries_agree_with_geometry() -> None:
    surface = Surface(sphere())
    directions = np.random.default_rng(0).normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    near = surface.closest(directions * 53)
    assert near.distance_mm == pytest.approx(3, abs=0.1)
    hit, triangle, _ = surface.cast(directions * 100, -directions)
    assert hit == pytest.approx(50, abs=0.1)
    assert (triangle >= 0).all()
    miss, triangle, _ = surface.cast(directions * 100, directions)
    assert np.isinf(miss).all()
    assert (triangle == -1).all()


def test_obj_round_trip_keeps_the_seam(tmp_path: Path) -> None:
    write_obj(tmp_path / "1_neutral.obj", square(), "1_neutral.jpg")
    again = read_obj(tmp_path / "1_neutral.obj")
    assert np.array_equal(again.triangles, square().triangles)
    assert np.array_equal(again.uv_triangles, square().uv_triangles)
    assert again.uvs == pytest.approx(square().uvs)
    assert "map_Kd 1_neutral.jpg" in (tmp_path / "1_neutral.obj.mtl").read_text()


def test_obj_of_quads_and_negative_indices(tmp_path: Path) -> None:
    path = tmp_path / "quad.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4//1 -3//1 -2//1 -1//1\n")
    assert read_obj(path).triangles.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("ascii_form", [False, True])
def test_ply_round_trip_and_open3d_agrees(tmp_path: Path, ascii_form: bool) -> None:
    path = tmp_path / "s.ply"
    write_ply(path, square())
    theirs = o3d.io.read_triangle_mesh(str(path))
    assert np.asarray(theirs.vertices) == pytest.approx(square().vertices_mm)
    assert np.asarray(theirs.vertex_colors) * 255 == pytest.approx(square().colors, abs=0.5)
    if ascii_form:
        o3d.io.write_triangle_mesh(str(path), theirs, write_ascii=True)
    ours = read_ply(path)
    assert ours.vertices_mm == pytest.approx(square().vertices_mm)
    assert np.array_equal(ours.triangles, square().triangles)
    assert np.array_equal(ours.colors, square().colors)
    assert ours.confidence is None if ascii_form else np.array_equal(ours.confidence, square().confidence)


@pytest.mark.parametrize(("name", "values", "known"), [
    ("confidence", [0, 0.25, 1], True), ("quality", [0, 0.25, 1], True),
    ("quality", [0, 12.5, 1], False), ("confidence", ["nan", 0.5, 1], False), ("intensity", [0, 0.25, 1], False),
])  # fmt: skip
def test_confidence_is_read_under_either_name_where_it_is_one(
    tmp_path: Path, name: str, values: list[float | str], known: bool
) -> None:
    path = tmp_path / "s.ply"
    head = ["ply", "format ascii 1.0", "element vertex 3", *(f"property float {n}" for n in ("x", "y", "z", name)),
            "element face 1", "property list uchar int vertex_indices", "end_header"]  # fmt: skip
    path.write_text("\n".join([*head, *(f"{k} {k * k} 0 {v}" for k, v in enumerate(values)), "3 0 1 2\n"]))
    confidence = read_ply(path).confidence
    assert (confidence is not None) == known
    assert confidence is None or confidence.tolist() == values


@pytest.mark.parametrize("content", [b"", b"ply\n", b"not a mesh", None])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    for path, read in ((tmp_path / "bad.ply", read_ply), (tmp_path / "bad.obj", read_obj)):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(MeshError, match=path.name):
            read(path)


def test_a_ply_cut_short_is_named(tmp_path: Path) -> None:
    write_ply(tmp_path / "cut.ply", sphere())
    data = (tmp_path / "cut.ply").read_bytes()
    (tmp_path / "cut.ply").write_bytes(data[: len(data) // 2])
    with pytest.raises(MeshError, match="cut short"):
        read_ply(tmp_path / "cut.ply")


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError):
        Mesh(np.zeros((4, 2)), np.zeros((0, 3), np.int32))
    with pytest.raises(MeshError, match="vertex 9 of 4"):
        Mesh(np.zeros((4, 3)), np.array([[0, 1, 9]]))


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_and_fail() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_and_fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
