import numpy as np
import pytest
from scipy import sparse

from processing.errors import MeshError
from processing.geometry.mesh import Mesh, Surface, subdivide, submesh
from processing.geometry.sparse_cholesky import Factor, NotPositive, graph_laplacian
from processing.registration.correspondence import TargetSurface
from processing.registration.deformation_graph import DeformationGraph
from processing.registration.nonrigid_icp import LandmarkConstraints, fit_nonrigid


def warp(v: np.ndarray) -> np.ndarray:
    """Smooth and up to 7 mm: another head."""
    return (
        v * [1.06, 0.95, 1.03] + np.c_[2 * np.sin(v[:, 1] / 20), 1.5 * np.cos(v[:, 2] / 25), 2.5 * np.sin(v[:, 0] / 22)]
    )


@pytest.fixture(scope="module")
def template(uv_sphere) -> Mesh:
    """An egg with a nose: nothing slides unnoticed along it."""
    v = uv_sphere(24, 50.0).vertices_mm * [0.8, 1.1, 0.9]
    nose = 12 * np.exp(-(np.square(v[:, 0]) + np.square(v[:, 1])) / 150) * (v[:, 2] > 0)
    brow = 4 * np.exp(-np.square((v[:, 1] - 22) / 6) - np.square(v[:, 0] / 25)) * (v[:, 2] > 0)
    return uv_sphere(24, 50.0).with_vertices(v + np.c_[0 * nose, 0 * nose, nose + brow])


@pytest.fixture(scope="module")
def scan(template: Mesh) -> Mesh:
    """The warped template in another, finer triangulation, with a hole at the back of the head."""
    fine = subdivide(template, 1)
    hole = fine.vertices_mm[fine.triangles].mean(axis=1)[:, 2] < -38
    turned = Mesh(warp(fine.vertices_mm), fine.triangles)
    return submesh(turned, ~hole)[0]


@pytest.fixture(scope="module")
def anchors(template: Mesh) -> LandmarkConstraints:
    front = np.flatnonzero(template.vertices_mm[:, 2] > 10)
    chosen = np.random.default_rng(0).choice(front, 14, replace=False).astype(np.int32)
    goals = warp(template.vertices_mm[chosen])
    return LandmarkConstraints(np.repeat(chosen[:, None], 3, axis=1), np.tile([1.0, 0, 0], (14, 1)), goals, np.ones(14))


def test_a_smooth_warp_is_recovered(template: Mesh, scan: Mesh, anchors: LandmarkConstraints) -> None:
    fit = fit_nonrigid(template, TargetSurface(scan), landmarks=anchors)
    truth = warp(template.vertices_mm)
    before = np.linalg.norm(template.vertices_mm - truth, axis=1)
    off = np.linalg.norm(fit.vertices_mm - truth, axis=1)
    seen = template.vertices_mm[:, 2] > -25
    surface = Surface(scan).closest(fit.vertices_mm[seen]).distance_mm
    assert surface.mean() < 0.05
    assert surface.max() < 0.5
    assert off[seen].mean() < 1.0
    assert off[seen].mean() < before[seen].mean() / 3
    # Where the scan has its hole the template goes on smoothly and nothing turns over.
    assert off[~seen].max() < 5
    new = template.with_vertices(fit.vertices_mm)
    assert (np.einsum("td,td->t", new.triangle_cross, Mesh(truth, template.triangles).triangle_cross) > 0).all()


def test_unweighted_vertices_follow_their_neighbours(template: Mesh, scan: Mesh, anchors: LandmarkConstraints) -> None:
    """A part that the scan must not pull (here the nose) is carried along, although the scan lies elsewhere there."""
    dented = scan.vertices_mm.copy()
    near = np.linalg.norm(dented - warp(np.array([[0.0, 0, 57]])), axis=1) < 14
    dented[near, 2] -= 6
    nose = np.linalg.norm(template.vertices_mm - [0, 0, 57], axis=1) < 18
    fit = fit_nonrigid(
        template, TargetSurface(scan.with_vertices(dented)), weights=(~nose).astype(float), landmarks=anchors
    )
    truth = warp(template.vertices_mm)
    tip = np.linalg.norm(template.vertices_mm - [0, 0, 57], axis=1) < 8
    assert np.linalg.norm(fit.vertices_mm - truth, axis=1)[tip].max() < 3.0
    assert not fit.matched[nose].any()


def test_the_fit_moves_with_the_frame(template: Mesh, scan: Mesh, anchors: LandmarkConstraints) -> None:
    shift = np.array([300.0, -200, 50])
    here = fit_nonrigid(template, TargetSurface(scan), landmarks=anchors).vertices_mm
    moved_anchors = LandmarkConstraints(
        anchors.corners, anchors.barycentric, anchors.points_mm + shift, anchors.weights
    )
    there = fit_nonrigid(
        template.with_vertices(template.vertices_mm + shift),
        TargetSurface(scan.with_vertices(scan.vertices_mm + shift)),
        landmarks=moved_anchors,
    ).vertices_mm
    assert np.median(np.linalg.norm(there - shift - here, axis=1)) < 0.02


def test_a_scan_out_of_reach_is_refused(template: Mesh, scan: Mesh) -> None:
    with pytest.raises(MeshError, match="nowhere near"):
        fit_nonrigid(template, TargetSurface(scan.with_vertices(scan.vertices_mm + 1000)))


def test_matches_reject_the_edge_the_far_and_the_turned(scan: Mesh) -> None:
    surface = TargetSurface(scan)
    inner = np.flatnonzero(~scan.boundary_vertices & (scan.vertices_mm[:, 2] > 0))[:50]
    points, normals = scan.vertices_mm[inner], scan.vertex_normals[inner]
    good = surface.nearest(points + normals, normals, max_mm=3, min_cosine=0.5)
    assert good.weight.all()
    assert not surface.nearest(points + normals, -normals, max_mm=3, min_cosine=0.5).weight.any()
    assert not surface.nearest(points + 10 * normals, normals, max_mm=3, min_cosine=0.5).weight.any()
    in_hole = np.array([[0.0, 0.0, scan.vertices_mm[:, 2].min() - 1]])
    assert not surface.nearest(in_hole, np.array([[0.0, 0, -1]]), max_mm=60, min_cosine=-1).weight.any()


@pytest.mark.parametrize("hops", [2, 3])
def test_graph_deforms_affinely_without_energy(template: Mesh, hops: int) -> None:
    graph = DeformationGraph(template, hops)
    np.testing.assert_allclose(graph.share.sum(axis=1), 1)
    np.testing.assert_allclose(graph.basis @ graph.rest, template.vertices_mm, atol=1e-9)
    A, b = np.array([[1.1, 0.2, 0], [-0.3, 0.9, 0.1], [0, 0.2, 1.3]]), np.array([5.0, 6, 7])
    affine = np.tile(np.concatenate([A.T, b[None]]), (len(graph.nodes), 1))
    np.testing.assert_allclose(graph.basis @ affine, template.vertices_mm @ A.T + b, atol=1e-9)
    assert np.trace(affine.T @ (graph.stiffness @ affine)) < 1e-6
    assert 30 < len(graph.nodes) < len(template.vertices_mm) / 5


def test_graph_weighs_as_the_plain_product(template: Mesh) -> None:
    graph = DeformationGraph(template, 3)
    weights = np.random.default_rng(1).uniform(0, 2, len(template.vertices_mm))
    plain = graph.basis.T @ sparse.diags_array(weights) @ graph.basis
    assert abs(graph.weigh(weights) - plain).max() < 1e-9 * abs(plain).max()


def test_factor_solves_and_refuses_the_singular(template: Mesh) -> None:
    laplacian = graph_laplacian(template.edges, len(template.vertices_mm))
    right = np.random.default_rng(2).normal(size=(len(template.vertices_mm), 3))
    matrix = laplacian + 0.1 * sparse.eye_array(len(right))
    np.testing.assert_allclose(matrix @ Factor(matrix).solve(right), right, atol=1e-9)
    with pytest.raises(NotPositive):
        Factor(sparse.diags_array(np.r_[np.ones(5), 0.0]))
