"""Scans of any triangulation: the person who made them is found again, and what is no face is refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import Delaunay
from scipy.spatial.transform import Rotation
from small_model import small_model

from common.array_types import Bools, Floats, Ints32
from processing.errors import DataError, MeshError, NoFace, ShapeError
from processing.face_models.fitting.fit_figures import judge_fit
from processing.face_models.fitting.normal_equations import FitPrior
from processing.face_models.fitting.scan_placing import thinned_if_dense
from processing.face_models.fitting.surface_fit import SurfaceFitSettings, fit_surface, fit_surfaces
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.geometry.surface_cleaning import edge_triangles
from processing.template.face_units import ARKIT_UNITS

MODEL = small_model()
FACE = MODEL.topology.face


def drawn(seed: int, **weights: float) -> Floats:
    """(V, 3) mm: a person's face."""
    w = np.zeros(52)
    for name, value in weights.items():
        w[ARKIT_UNITS.index(name)] = value
    return MODEL.face(MODEL.sample_identity(np.random.default_rng(seed)), w)


def marks(vertices: Floats) -> Floats:
    return MODEL.topology.landmark_points(vertices)


def scanned(vertices: Floats, seed: int = 0, points: int = 12_000, noise_mm: float = 0.0) -> Mesh:
    """The same surface with points and triangles of its own."""
    mesh = MODEL.topology.mesh.with_vertices(vertices)
    rng = np.random.default_rng(seed)
    flat = rng.uniform(mesh.uvs.min(0) + 0.001, mesh.uvs.max(0) - 0.001, (points, 2))
    plane = Mesh(np.c_[mesh.uvs, np.zeros(len(mesh.uvs))], mesh.uv_triangles)
    found = Surface(plane).closest(np.c_[flat, np.zeros(points)])
    where = np.einsum("nk,nkd->nd", found.barycentric, vertices[mesh.triangles[found.triangle]])
    triangles = counter_clockwise(flat)
    return Mesh(where + rng.normal(0, noise_mm, where.shape), triangles)


def counter_clockwise(flat: Floats) -> Ints32:
    """(T, 3) triangles between (N, 2) points."""
    triangles = Delaunay(flat).simplices.astype(np.int32)
    a, b = (flat[triangles[:, k]] - flat[triangles[:, 0]] for k in (1, 2))
    turned = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0
    triangles[turned] = triangles[turned][:, ::-1]
    return triangles


def kept(scan: Mesh, inside: Bools) -> Mesh:
    return submesh(scan, inside[scan.triangles].all(axis=1))[0]


def away(found: Floats, truth: Floats) -> Floats:
    """(F,) mm: from each vertex of the face to the true surface."""
    return Surface(MODEL.topology.mesh.with_vertices(truth)).closest(found[FACE]).distance_mm


@pytest.mark.parametrize("seed", range(3))
def test_a_person_is_found_again_on_another_triangulation_after_any_motion(seed: int) -> None:
    truth = drawn(seed, jawOpen=0.6, browInnerUp=0.4)
    R, t = Rotation.random(random_state=seed).as_matrix(), np.array([300.0, -50.0, 900.0]) * seed
    scan = scanned(truth, seed)
    fit = fit_surface(MODEL, replace(scan, vertices_mm=scan.vertices_mm @ R.T + t), marks(truth) @ R.T + t)
    back = (fit.vertices_mm - t) @ R
    assert away(back, truth).mean() < 0.1
    assert np.linalg.norm(back - truth, axis=1)[FACE].mean() < 1.0, "point by point, though planes alone were matched"
    assert fit.weights[ARKIT_UNITS.index("jawOpen")] == pytest.approx(0.6, abs=0.2)
    assert judge_fit(fit.figures).verdict == "accept"


def test_noise_and_landmarks_that_are_off() -> None:
    truth, rng = drawn(4, jawOpen=0.5), np.random.default_rng(4)
    fit = fit_surface(MODEL, scanned(truth, noise_mm=0.5), marks(truth) + rng.normal(0, 2.0, (68, 3)))
    assert away(fit.vertices_mm, truth).mean() < 0.25


def test_holes_stay_holes_and_the_face_goes_on_across() -> None:
    truth = drawn(5)
    scan = scanned(truth)
    hole = np.linalg.norm(scan.vertices_mm - marks(truth)[41], axis=1) < 22
    fit = fit_surface(MODEL, kept(scan, ~hole), marks(truth))
    assert away(fit.vertices_mm, truth).mean() < 0.15
    assert fit.figures["face"]["covered"] < 0.98


def test_half_a_face_is_fitted_and_a_person_is_asked() -> None:
    truth = drawn(6)
    scan, points = scanned(truth), marks(truth)
    points[points[:, 0] < -2] = np.nan
    fit = fit_surface(MODEL, kept(scan, scan.vertices_mm[:, 0] > -2), points)
    right = FACE & (MODEL.topology.mesh.vertices_mm[:, 0] < -10)
    assert away(fit.vertices_mm, truth).mean() < 0.6
    assert np.linalg.norm(fit.vertices_mm - truth, axis=1)[right].mean() < 2.5, "the members say the other half"
    assert judge_fit(fit.figures).verdict == "review"


def test_hair_and_loose_pieces_count_little() -> None:
    truth = drawn(7)
    scan = scanned(truth)
    hair = (scan.vertices_mm[:, 1] > 85) | (scan.vertices_mm[:, 2] < -20)
    out = scan.vertices_mm + np.where(hair, 25.0, 0.0)[:, None] * scan.vertex_normals
    ball = scan.vertices_mm[:500] * 0.05 + [20, 10, 150]
    pieces = Mesh(
        np.concatenate([out, ball]), np.concatenate([scan.triangles, [[len(out), len(out) + 1, len(out) + 2]]])
    )
    fit = fit_surface(MODEL, pieces, marks(truth))
    assert away(fit.vertices_mm, truth).mean() < 0.4


def test_a_neutral_scan_has_no_expression() -> None:
    truth = drawn(8)
    assert fit_surface(MODEL, scanned(truth, points=60_000, noise_mm=0.3), marks(truth)).weights.max() < 0.1


def test_scans_of_one_person_share_the_identity() -> None:
    poses = [drawn(9), drawn(9, jawOpen=0.9), drawn(9, cheekPuff=0.7)]
    fits = fit_surfaces(MODEL, [scanned(p, k, noise_mm=0.3) for k, p in enumerate(poses)], [marks(p) for p in poses])
    assert all((fit.identity == fits[0].identity).all() for fit in fits)
    for fit, truth in zip(fits, poses, strict=True):
        assert away(fit.vertices_mm, truth).mean() < 0.2


def test_a_scan_in_another_unit() -> None:
    truth = drawn(10)
    scan = scanned(truth)
    metres = replace(scan, vertices_mm=scan.vertices_mm / 1000)
    with pytest.raises(MeshError, match="metres"):
        fit_surface(MODEL, metres, marks(truth) / 1000)
    fit = fit_surface(MODEL, metres, marks(truth) / 1000, settings=SurfaceFitSettings(FitPrior(scale=True)))
    assert away(fit.vertices_mm * 1000, truth).mean() < 0.3
    assert fit.scale == pytest.approx(0.001, rel=0.05)


def test_a_dense_scan_is_thinned() -> None:
    truth = drawn(11)
    fit = fit_surface(MODEL, scanned(truth, points=160_000), marks(truth))
    assert away(fit.vertices_mm, truth).mean() < 0.1


def test_a_dense_scan_in_another_unit_is_not_thinned_away() -> None:
    truth = drawn(12)
    scan = scanned(truth, points=160_000)
    metres = replace(scan, vertices_mm=scan.vertices_mm / 1000)
    assert thinned_if_dense(metres) is metres
    assert len(thinned_if_dense(scan).vertices_mm) < 100_000
    with pytest.raises(MeshError, match="metres"):
        fit_surface(MODEL, metres, marks(truth) / 1000)
    fit = fit_surface(MODEL, metres, marks(truth) / 1000, settings=SurfaceFitSettings(FitPrior(scale=True)))
    assert away(fit.vertices_mm * 1000, truth).mean() < 0.3


def test_thinning_leaves_no_edges_within_a_surface() -> None:
    scan = scanned(drawn(13), points=160_000)
    thin = thinned_if_dense(scan)
    front = thin.vertices_mm[thin.triangles].mean(axis=1)[:, 2] > 60  # its rim lies behind
    assert front.sum() > 10_000
    assert edge_triangles(thin)[front].mean() < 1e-3


REFUSED: dict[str, tuple[type[DataError], str]] = {
    "not finite": (MeshError, "not finite"),
    "too few": (MeshError, "triangles"),
    "no landmarks": (NoFace, "too few to place"),
    "in one place": (NoFace, "one place"),
    "another order": (NoFace, "not those of a face"),
    "of another scan": (MeshError, "do not belong together"),
    "inside out": (MeshError, "inside out"),
    "shape": (ShapeError, "landmarks_mm"),
    "no unit": (NoFace, "unknown unit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_face_is_refused(case: str) -> None:
    truth = drawn(0)
    scan, points, settings = scanned(truth, points=4000), marks(truth), SurfaceFitSettings()
    if case == "not finite":
        scan = replace(scan, vertices_mm=np.where(np.arange(4000)[:, None] == 7, np.nan, scan.vertices_mm))
    elif case == "too few":
        scan = Mesh(scan.vertices_mm, scan.triangles[:50])
    elif case == "no landmarks":
        points[10:] = np.nan
    elif case == "in one place":
        points[:] = points[30]
    elif case == "another order":
        points = points[::-1].copy()
        points[::2] = points[::-2]
    elif case == "of another scan":
        points = points + np.array([0, 400, 0])
    elif case == "inside out":
        scan = replace(scan, triangles=scan.triangles[:, ::-1])
    elif case == "shape":
        points = points[:51]
    else:
        points, settings = None, SurfaceFitSettings(FitPrior(scale=True))
    kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        fit_surface(MODEL, scan, points, settings=settings)


def test_a_wall_with_a_faces_landmarks_is_refused_or_not_to_be_used() -> None:
    points = marks(drawn(0))
    x, y = np.meshgrid(np.linspace(-120, 120, 60), np.linspace(-150, 150, 70))
    flat = np.stack([x.ravel(), y.ravel()], axis=1)
    wall = Mesh(np.c_[flat, np.full(len(flat), points[30, 2])], counter_clockwise(flat))
    try:
        verdict = judge_fit(fit_surface(MODEL, wall, points).figures).verdict
    except DataError:
        return
    assert verdict != "accept"
