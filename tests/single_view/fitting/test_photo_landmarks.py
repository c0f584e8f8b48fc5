"""Landmarks as equations: rows are derivatives, bias and covariance are used, the outline slides."""

from dataclasses import replace

import numpy as np
import pytest
from seen_face import camera_at, seen_landmarks
from small_model import small_model

from processing.errors import DataError
from processing.single_view.fitting import landmark_places
from processing.single_view.fitting.carried_places import places_on
from processing.single_view.fitting.landmark_places import (
    FILE,
    SKIN_POINTS,
    LandmarkPlaces,
    builtin_places,
    picture_axes,
    read_places,
    view_terms,
    write_places,
)
from processing.single_view.fitting.photo_landmarks import (
    LandmarkTable,
    LandmarkTerm,
    table_68,
    table_dense,
    towards_camera,
)
from processing.single_view.fitting.pose import PhotoPose

MODEL = small_model()


def a_state(seed: int, yaw_deg: float = 20.0) -> tuple[PhotoPose, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pose = PhotoPose.of_camera(camera_at(yaw_deg), np.array([0.0, 0, 60]))
    return pose, rng.normal(0, 1, MODEL.identity_count), rng.uniform(0, 0.3, 52)


def measured() -> LandmarkPlaces:
    """Places on the small model, with a bias, a deviation and common errors."""
    rng = np.random.default_rng(3)
    face = np.flatnonzero(MODEL.topology.face[MODEL.topology.mesh.triangles].all(axis=1))
    triangles = rng.choice(face, SKIN_POINTS).astype(np.int32)
    shares = rng.dirichlet([1, 1, 1], SKIN_POINTS)
    points = np.einsum("nk,nkd->nd", shares, MODEL.topology.mesh.vertices_mm[MODEL.topology.mesh.triangles[triangles]])
    return LandmarkPlaces(
        MODEL.topology.topology, triangles, shares, points,
        MODEL.topology.landmark_points(MODEL.topology.mesh.vertices_mm),
        rng.normal(0, 1, (10, SKIN_POINTS, 2)), rng.uniform(0.5, 3, (9, SKIN_POINTS, 2)),
    )  # fmt: skip


@pytest.mark.parametrize("table", [table_68(MODEL), table_dense(measured())])
def test_rows_are_derivatives(table: LandmarkTable) -> None:
    """Of what lies on the surface; bias, robust weights and outline are taken as they are at the state."""
    table = replace(table, outline=tuple(np.zeros(0, np.int32) for _ in table.numbers))
    term, (pose, scores, weights) = LandmarkTerm(MODEL, table), a_state(1)
    detected = np.zeros((478, 2))
    detected[table.numbers] = term.off_px(pose, scores, weights, detected)  # where the fit has them: all weights 1
    rows, off, weight = term.equations(pose, scores, weights, detected)
    assert np.abs(off).max() < 1e-3
    assert rows.shape == (2 * len(table.numbers), MODEL.identity_count + 52 + 7)
    assert (weight == 1).all()
    for column, size in ((0, 1e-2), (3, 1e-2), (10, 1e-2), (40, 1e-2)):
        at = [scores.copy(), weights.copy()]
        which, index = (0, column) if column < len(scores) else (1, column - len(scores))
        at[which][index] += size
        moved = term.equations(pose, at[0], at[1], detected)[1]
        np.testing.assert_allclose(rows[:, column] * size, moved, atol=0.02 * np.abs(moved).max() + 1e-6)


def test_a_detector_that_is_off_as_measured_leaves_nothing() -> None:
    places = measured()
    term, (pose, scores, weights) = LandmarkTerm(MODEL, table_dense(places)), a_state(2)
    corners = MODEL.topology.mesh.triangles[places.triangles]
    vertices = MODEL.face(MODEL.identity_mean + scores * MODEL.identity_deviation, weights)
    seen = pose.seen(np.einsum("nk,nkd->nd", places.barycentric, vertices[corners]))
    bias = places.bias_mm(towards_camera(pose)) @ picture_axes(pose.R) * pose.px_per_mm
    detected = np.concatenate([seen + bias, np.zeros((10, 2))])
    assert np.abs(term.off_px(pose, scores, weights, detected)).max() < 0.01


def test_the_outline_is_where_the_head_ends() -> None:
    """A turned head's cheek is seen at its edge, not where a frontal face has the landmark."""
    term = LandmarkTerm(MODEL, table_68(MODEL))
    vertices = MODEL.topology.mesh.vertices_mm
    scores, weights = np.zeros(MODEL.identity_count), np.zeros(52)
    for yaw in (0.0, 30.0, 55.0):
        camera = camera_at(yaw)
        pose = PhotoPose.of_camera(camera, np.array([0.0, 0, 60]))
        off = term.off_px(pose, scores, weights, seen_landmarks(MODEL, vertices, camera))
        assert np.abs(off[17:]).max() < 0.01
        assert np.quantile(np.abs(off[:17]), 0.8) < 4, f"at {yaw}"


def test_the_installed_file_is_whole_and_small(tmp_path) -> None:  # type: ignore[no-untyped-def]
    places = builtin_places()
    assert FILE.stat().st_size < 400_000
    np.testing.assert_allclose(places.barycentric.sum(axis=1), 1, atol=1e-5)
    write_places(tmp_path / "again.npz", places)
    again = read_places(tmp_path / "again.npz")
    np.testing.assert_array_equal(again.triangles, places.triangles)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "again.npz").read_bytes()[:5000])
    with pytest.raises(DataError, match="install Mien again"):
        read_places(tmp_path / "cut.npz")


def test_places_are_alike_on_both_sides() -> None:
    from processing.landmarks.mirror_478 import MIRROR_478

    places = builtin_places()
    mirror = MIRROR_478[:SKIN_POINTS]
    apart = np.linalg.norm(places.average_mm[mirror] * [-1, 1, 1] - places.average_mm, axis=1)
    assert np.median(apart) < 1.5
    side, other = np.array([0.5, 0.1, 0.86]), np.array([-0.5, 0.1, 0.86])
    np.testing.assert_allclose(places.bias_mm(side), places.bias_mm(other)[mirror] * [-1, 1], atol=0.05)


def test_the_68_of_them_lie_near_the_templates_landmarks() -> None:
    from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68

    places = builtin_places()
    inner = MEDIAPIPE_TO_68[17:]
    apart = np.linalg.norm(places.average_mm[inner] - places.landmarks_mm[17:], axis=1)
    assert apart.mean() < 3.0
    assert apart.max() < 9.0


def test_a_template_unlike_the_houses_is_left_to_68() -> None:
    """The egg has no brow and no lips: what is carried over to it lies on its skin, or it is not carried over."""
    carried = places_on(MODEL, builtin_places())
    if carried is not None:
        assert carried.topology == MODEL.topology.topology
    flat = replace(
        MODEL.topology, mesh=MODEL.topology.mesh.with_vertices(MODEL.topology.mesh.vertices_mm * [1, 1, 0.2])
    )
    assert places_on(replace(MODEL, topology=flat), builtin_places()) is None


def test_views_are_monomials() -> None:
    assert view_terms(np.array([0.5, -0.25, 0.8])).shape == (10,)
    assert landmark_places.POINTS == 478
