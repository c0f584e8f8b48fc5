from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from processing.commands.displace import app
from processing.displacement.apply_displacement import displace, sample_displacement
from processing.displacement.displacement_bake import bake
from processing.errors import MeshError
from processing.files.displacement_exr import write_displacement_exr
from processing.files.displacement_png import read_displacement_png, write_displacement_png
from processing.files.obj import write_obj
from processing.files.ply import read_ply
from processing.geometry.mesh import Mesh, Surface, subdivide, submesh
from processing.geometry.uv_rasterization import texels_of

RADIUS = 50.0


def bumps(v: np.ndarray) -> np.ndarray:
    """Height in mm of a relief with wavelengths of 8 to 20 mm."""
    return 0.4 * np.sin(v[:, 0] / 1.8) * np.cos(v[:, 1] / 2.2) + 0.3 * np.sin(v[:, 2] / 3)


@pytest.fixture(scope="module")
def ball(uv_sphere) -> Mesh:
    return uv_sphere(32, RADIUS)


@pytest.fixture(scope="module")
def bumpy(uv_sphere) -> Mesh:
    fine = uv_sphere(160, 1.0)
    return fine.with_vertices(fine.vertices_mm * (RADIUS + bumps(RADIUS * fine.vertices_mm))[:, None])


def offset(mesh: Mesh, height_mm: float) -> Mesh:
    return mesh.with_vertices(mesh.vertices_mm + height_mm * mesh.vertex_normals)


@pytest.mark.parametrize("height", [0.7, -1.3])
def test_an_offset_bakes_to_its_height(ball: Mesh, height: float) -> None:
    relief = bake(ball, offset(ball, height), size_px=128)
    assert relief.valid.mean() > 0.75
    # Flat facets: halfway along an edge the offset surface is nearer by the facet's slope.
    assert np.abs(relief.height_mm[relief.valid] - height).max() < 0.01 * abs(height)


def test_applied_relief_is_the_bumpy_ball(ball: Mesh, bumpy: Mesh) -> None:
    relief = bake(ball, bumpy, size_px=384)
    detailed = displace(ball, relief, subdivisions=3)
    there = Surface(bumpy).closest(detailed.vertices_mm).distance_mm
    back = Surface(detailed).closest(bumpy.vertices_mm).distance_mm
    plain = Surface(ball).closest(bumpy.vertices_mm).distance_mm
    assert plain.mean() > 0.2
    assert there.mean() < 0.01
    assert back.mean() < 0.02
    assert max(there.max(), back.max()) < 0.25
    # Nothing tears at the UV seam: the mesh has the vertices of a closed surface, each once.
    assert not detailed.boundary_vertices.any()


def test_heights_go_on_over_the_seam(ball: Mesh, bumpy: Mesh) -> None:
    relief = bake(ball, bumpy, size_px=384)
    v = np.linspace(0.2, 0.8, 40)
    left = sample_displacement(relief, np.c_[np.full(40, 0.05), v])
    right = sample_displacement(relief, np.c_[np.full(40, 0.95), v])
    assert np.abs(left - right).max() < 0.02


def test_a_hole_is_masked_and_filled_smoothly(ball: Mesh, bumpy: Mesh) -> None:
    middle = bumpy.vertices_mm[bumpy.triangles].mean(axis=1)
    hole = np.linalg.norm(middle - [0, 0, RADIUS], axis=1) < 15
    scan = submesh(bumpy, ~hole)[0]
    relief = bake(ball, scan, size_px=256)
    texels = texels_of(ball, 256, margin_px=0)
    points = texels.interpolate(ball, ball.vertices_mm)
    inside = np.linalg.norm(points - [0, 0, RADIUS], axis=1)
    valid, height = relief.valid.ravel()[texels.index], relief.height_mm.ravel()[texels.index]
    assert not valid[inside < 13].any()
    assert valid[inside > 22].all()
    assert np.abs(height).max() < 1.0
    assert np.isfinite(height).all()


def test_an_inside_out_scan_and_stray_pieces_are_no_relief(ball: Mesh) -> None:
    good = offset(ball, 0.5)
    flipped = Mesh(good.vertices_mm, good.triangles[:, ::-1])
    assert not bake(ball, flipped, size_px=64).valid.any()
    # A speck floating 3 mm above the skin is nearer than nothing, and still wrong.
    corners = np.array([[-2.0, -2, RADIUS + 3], [2, -2, RADIUS + 3], [0, 2, RADIUS + 3]])
    speck = subdivide(Mesh(corners, np.array([[0, 1, 2]])), 3)
    open_ball = submesh(good, good.vertices_mm[good.triangles].mean(axis=1)[:, 2] < 46)[0]
    count = len(open_ball.vertices_mm)
    scan = Mesh(
        np.concatenate([open_ball.vertices_mm, speck.vertices_mm]),
        np.concatenate([open_ball.triangles, speck.triangles + count]),
    )
    relief = bake(ball, scan, size_px=256)
    assert relief.height_mm[relief.valid].max() < 0.6
    assert relief.height_mm.max() < 2.0


def test_only_skin_has_relief(ball: Mesh) -> None:
    skin = ball.vertices_mm[:, 1] < 10
    relief = bake(ball, offset(ball, 0.6), size_px=128, skin=skin)
    texels = texels_of(ball, 128, margin_px=0)
    y = texels.interpolate(ball, ball.vertices_mm)[:, 1]
    valid, height = relief.valid.ravel()[texels.index], relief.height_mm.ravel()[texels.index]
    assert not valid[y > 14].any()
    assert np.abs(height[y > 35]).max() < 0.1
    assert valid[y < 0].all()


def test_texels_know_their_place(ball: Mesh) -> None:
    texels = texels_of(ball, 100, margin_px=3)
    corners = ball.uv_triangles[texels.triangle]
    uv = np.einsum("nk,nkd->nd", texels.barycentric, ball.uvs[corners])[texels.inside]
    index = texels.index[texels.inside]
    centre = np.c_[(index % 100 + 0.5) / 100, 1 - (index // 100 + 0.5) / 100]
    assert np.abs(uv - centre).max() < 1e-5
    assert texels.inside.mean() > 0.8
    assert (~texels.inside).sum() > 100


def test_meshes_without_uvs_are_refused(ball: Mesh, bumpy: Mesh) -> None:
    bare = Mesh(ball.vertices_mm, ball.triangles)
    with pytest.raises(MeshError, match="UVs"):
        bake(bare, bumpy, size_px=64)
    with pytest.raises(MeshError, match="UVs"):
        displace(bare, bake(ball, bumpy, size_px=64))
    with pytest.raises(MeshError, match="subdivisions"):
        displace(ball, bake(ball, bumpy, size_px=64), subdivisions=9)


def test_command_writes_the_detailed_mesh(tmp_path: Path, ball: Mesh) -> None:
    write_obj(tmp_path / "face.obj", ball)
    write_displacement_png(tmp_path / "face.png", bake(ball, offset(ball, 0.5), size_px=128))
    assert read_displacement_png(tmp_path / "face.png").valid.any()
    out = tmp_path / "fine.ply"
    arguments = [str(tmp_path / "face.obj"), str(tmp_path / "face.png"), "--out", str(out), "--subdivisions", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    write_displacement_exr(tmp_path / "face.exr", read_displacement_png(tmp_path / "face.png"))
    from_exr = tmp_path / "exr.ply"
    arguments[1], arguments[3] = str(tmp_path / "face.exr"), str(from_exr)
    assert CliRunner().invoke(app, arguments).exit_code == 0
    np.testing.assert_allclose(read_ply(from_exr).vertices_mm, read_ply(out).vertices_mm, atol=1e-4)
    radius = np.linalg.norm(read_ply(out).vertices_mm, axis=1)
    assert radius.max() == pytest.approx(RADIUS + 0.5, abs=0.02)


def test_triangles_without_uvs_stay_where_they_are(ball: Mesh) -> None:
    relief = bake(ball, offset(ball, 0.8), size_px=256)
    assert ball.uvs is not None
    assert ball.uv_triangles is not None
    bare = ball.vertices_mm[ball.triangles].mean(axis=1)[:, 1] > 20
    corners = np.where(bare[:, None], len(ball.uvs), ball.uv_triangles)
    partly = replace(ball, uvs=np.concatenate([ball.uvs, [[np.nan, np.nan]]]), uv_triangles=corners)
    assert np.array_equal(partly.without_uvs, bare)
    for times in (0, 1):
        fine, moved = subdivide(partly, times), displace(partly, relief, subdivisions=times)
        alone = np.setdiff1d(fine.triangles[fine.without_uvs], fine.triangles[~fine.without_uvs])
        height = np.linalg.norm(moved.vertices_mm, axis=1) - np.linalg.norm(fine.vertices_mm, axis=1)
        assert height[alone] == pytest.approx(0, abs=1e-9)
        others = np.unique(fine.triangles[~fine.without_uvs])
        assert np.median(height[others]) == pytest.approx(0.8, abs=0.02)
    shown = texels_of(partly, 128, margin_px=0)
    assert not bare[shown.triangle].any()


@pytest.mark.parametrize("tile", [(1, 0), (-1, 2), (0, -1)])
def test_charts_in_other_tiles_see_the_same_map(ball: Mesh, tile: tuple[int, int]) -> None:
    relief = bake(ball, offset(ball, 0.8), size_px=256)
    assert ball.uvs is not None
    elsewhere = replace(ball, uvs=ball.uvs + np.array(tile))
    assert displace(elsewhere, relief).vertices_mm == pytest.approx(displace(ball, relief).vertices_mm, abs=1e-9)
