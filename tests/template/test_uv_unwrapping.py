"""The template's UV chart: one piece, the whole square, nothing twice."""

import numpy as np
import pytest

from processing.errors import MeshError
from processing.geometry.mesh import Mesh, subdivide
from processing.geometry.uv_rasterization import texels_of
from processing.template.builtin_template import default_template
from processing.template.template import SKIN
from processing.template.uv_overlaps import without_overlaps
from processing.template.uv_unwrapping import unwrap_head

SIZE = 512


@pytest.fixture(scope="module")
def mesh():
    return default_template().mesh


def coverage(uvs, triangles, size):
    """(size, size) how many triangles strictly hold each texel's centre."""
    count = np.zeros((size, size), np.int32)
    p = uvs[triangles] * size - 0.5
    low, high = np.ceil(p.min(1)).astype(int), np.floor(p.max(1)).astype(int)
    for corners, (x0, y0), (x1, y1) in zip(p, low, high, strict=True):
        if x1 < x0 or y1 < y0:
            continue
        x, y = np.meshgrid(np.arange(x0, x1 + 1), np.arange(y0, y1 + 1))
        inside = np.ones(x.shape, bool)
        for k in range(3):
            (ax, ay), (bx, by) = corners[k], corners[(k + 1) % 3]
            inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 1e-9
        count[y0 : y1 + 1, x0 : x1 + 1] += inside
    return count


def test_no_texel_is_covered_twice_and_hardly_one_is_wasted(mesh):
    assert mesh.uvs.min() >= 0
    assert mesh.uvs.max() <= 1
    covered = coverage(mesh.uvs, mesh.uv_triangles, SIZE)
    assert covered.max() == 1
    assert (covered == 1).mean() > 0.97


def test_coverage_would_see_an_overlap(mesh):
    few = mesh.uv_triangles[::7]
    assert coverage(mesh.uvs, few, 256).max() == 1
    both = np.concatenate([mesh.uvs, mesh.uvs * 0.5 + 0.2])
    assert coverage(both, np.concatenate([few, few + len(mesh.uvs)]), 256).max() > 1


def test_all_triangles_keep_their_orientation(mesh):
    a, b, c = (mesh.uvs[mesh.uv_triangles[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).all()


def test_uvs_belong_to_one_vertex_each_and_only_the_nape_is_cut(mesh):
    owner = np.full(len(mesh.uvs), -1)
    for k in range(3):
        owner[mesh.uv_triangles[:, k]] = mesh.triangles[:, k]
    assert (owner[mesh.uv_triangles] == mesh.triangles).all()
    doubled = np.flatnonzero(np.bincount(owner) > 1)
    assert 20 < len(doubled) < 120
    assert np.abs(mesh.vertices_mm[doubled, 0]).max() < 1
    assert mesh.vertices_mm[doubled, 2].max() < 40, "no seam on the face"


def test_the_face_gets_more_texels_than_the_skull(mesh):
    template = default_template()
    a, b, c = (mesh.uvs[mesh.uv_triangles[:, k]] for k in range(3))
    area_uv = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    area_mm = 0.5 * np.linalg.norm(mesh.triangle_cross, axis=1)
    middle = mesh.vertices_mm[mesh.triangles].mean(1)
    skin = (template.parts[mesh.triangles] == SKIN).all(1)
    face = skin & (middle[:, 2] > 80) & (np.abs(middle[:, 1]) < 70)
    skull = skin & (middle[:, 2] < 0) & (middle[:, 1] > 40)
    assert area_uv[face].sum() / area_mm[face].sum() > 1.3 * area_uv[skull].sum() / area_mm[skull].sum()


def test_a_closed_mesh_cannot_be_unwrapped():
    v = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    ball = subdivide(Mesh(v, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], np.int32)), 2)
    with pytest.raises(MeshError, match="neck"):
        unwrap_head(ball, np.ones(len(ball.vertices_mm)))


def test_charts_upon_each_other_are_laid_side_by_side(uv_sphere):
    """Three balls that all use the whole square, one of them in another tile: the important one keeps most of it."""
    ball = uv_sphere(10, 20.0)
    count, uvs = len(ball.vertices_mm), len(ball.uvs)
    balls = Mesh(
        np.concatenate([ball.vertices_mm + np.array([60 * k, 0, 0]) for k in range(3)]),
        np.concatenate([ball.triangles + k * count for k in range(3)]),
        np.concatenate([ball.uvs, ball.uvs + np.array([0.0, 2.0]), ball.uvs]),
        np.concatenate([ball.uv_triangles + k * uvs for k in range(3)]),
    )
    triangles = len(ball.triangles)
    important = np.repeat([1.0, 1.0, 5.0], triangles)
    laid = without_overlaps(balls, important)
    assert laid.uvs.min() >= 0
    assert laid.uvs.max() <= 1
    texels = texels_of(laid, 512, margin_px=0)
    shown = np.bincount(texels.triangle // triangles, minlength=3) / 512**2
    assert shown[2] > 0.45
    assert min(shown[:2]) > 0.02
    # No texel is claimed by two: what each chart covers alone adds up to what they cover together.
    alone = 0
    for k in range(3):
        part = slice(k * triangles, (k + 1) * triangles)
        one = Mesh(laid.vertices_mm, laid.triangles[part], laid.uvs, laid.uv_triangles[part])
        alone += len(texels_of(one, 512, margin_px=0).index)
    assert alone == len(texels.index)
    assert without_overlaps(ball, np.ones(triangles)) is ball
