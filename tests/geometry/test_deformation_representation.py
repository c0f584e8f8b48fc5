"""DR features: exact there and back, turned with the mesh, no flips between neighbours whatever the angle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from common.array_types import Floats
from processing.errors import ShapeError
from processing.geometry.deformation_representation import (
    FEATURE_SIZE,
    REMAINDER,
    ROTATION,
    STRETCH,
    DeformationRepresentation,
    consistent_logarithms,
    cotangent_weights,
    polar_decomposition,
)
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import fit_motion
from processing.synthetic.face_study import face_study

EXACT_MM = 1e-6


def sheet(rows: int = 9, columns: int = 7, size_mm: float = 10.0) -> Mesh:
    """Flat, with a boundary."""
    y, x = np.mgrid[:rows, :columns].astype(float)
    vertices = np.stack([x.ravel() * size_mm, y.ravel() * size_mm, np.zeros(x.size)], axis=1)
    at = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    return Mesh(vertices, np.concatenate([np.c_[a, b, c], np.c_[a, c, d]]).astype(np.int32))


def cylinder(around: int = 12, along: int = 25, radius_mm: float = 30.0, length_mm: float = 200.0) -> Mesh:
    turn, y = np.meshgrid(np.arange(around) * 2 * np.pi / around, np.linspace(0, length_mm, along))
    vertices = np.stack([radius_mm * np.cos(turn).ravel(), y.ravel(), radius_mm * np.sin(turn).ravel()], axis=1)
    at = np.arange(along * around).reshape(along, around)
    a, b = at[:-1].ravel(), np.roll(at, -1, axis=1)[:-1].ravel()
    d, c = at[1:].ravel(), np.roll(at, -1, axis=1)[1:].ravel()
    return Mesh(vertices, np.concatenate([np.c_[a, c, b], np.c_[a, d, c]]).astype(np.int32))


def awkward() -> Mesh:
    """A bumpy sheet, a loose tetrahedron before it, a lone vertex, crushed, needle-like and repeated triangles."""
    flat = sheet()
    bumpy = flat.vertices_mm + np.c_[np.zeros((63, 2)), 6 * np.sin(np.arange(63.0))]
    bumpy[8] = bumpy[9]  # no length between two vertices
    bumpy[30] = (bumpy[29] + bumpy[31]) / 2  # a triangle without area
    loose = np.array([[30, 40, 30], [42, 40, 30], [36, 50, 30], [36, 44, 40.0]])
    vertices = np.concatenate([bumpy, loose, [[-50.0, 0, 0]]])
    extra = np.array([[63, 65, 64], [63, 64, 66], [64, 65, 66], [65, 63, 66], [5, 5, 6]])
    return Mesh(vertices, np.concatenate([flat.triangles, extra]).astype(np.int32))


def off_mm(found: Floats, truth: Floats) -> float:
    motion = fit_motion(found, truth, with_scale=False)
    return float(np.linalg.norm(motion(found) - truth, axis=1).max())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), noise=st.floats(0, 20))
def test_any_mesh_comes_back(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    mesh = awkward()
    deformed = mesh.vertices_mm + noise * rng.standard_normal(mesh.vertices_mm.shape)
    representation = DeformationRepresentation(mesh)
    features = representation.encode(deformed)
    assert np.isfinite(features).all()
    assert off_mm(representation.recover(features), deformed) < EXACT_MM
    held = representation.recover(features, deformed[0])
    assert np.abs(held - deformed).max() < EXACT_MM


def test_cotangents_of_obtuse_and_crushed_triangles_stay_positive() -> None:
    thin = Mesh(np.array([[0, 0, 0], [100.0, 0, 0], [50, 1, 0], [50, -1, 0]]), np.array([[0, 1, 2], [1, 0, 3]]))
    edges, weight = cotangent_weights(thin)
    assert len(edges) == 5
    assert np.isfinite(weight).all()
    assert (weight > 0).all()
    square = cotangent_weights(sheet(2, 2))
    assert dict(zip(map(tuple, square[0].tolist()), square[1], strict=True))[0, 1] == pytest.approx(0.5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), degrees=st.floats(0, 180))
def test_a_turned_mesh_is_the_reference_turned(seed: int, degrees: float) -> None:
    """A head spun as a whole by anything up to 180 degrees has one rotation vector, no stretch, nothing left over."""
    rng = np.random.default_rng(seed)
    axis = rng.standard_normal(3)
    vector = np.radians(degrees) * axis / np.linalg.norm(axis)
    mesh = awkward()
    features = DeformationRepresentation(mesh).encode(mesh.vertices_mm @ Rotation.from_rotvec(vector).as_matrix().T + 7)
    turns = features[:, ROTATION]
    assert np.abs(turns - turns[0]).max() < 1e-6  # at 180 degrees too: all one way
    assert np.allclose(Rotation.from_rotvec(turns[0]).as_matrix(), Rotation.from_rotvec(vector).as_matrix(), atol=1e-6)
    assert np.abs(features[:, STRETCH]).max() < 1e-6
    assert np.abs(features[:, REMAINDER]).max() < 1e-6


@pytest.mark.parametrize("degrees", [150, 179, 181, 250, 300])
def test_a_twisted_cylinder_turns_without_a_flip(degrees: float) -> None:
    mesh = cylinder(radius_mm=8.0)
    turn = np.radians(degrees) * mesh.vertices_mm[:, 1] / 200
    twisted = np.einsum("vij,vj->vi", Rotation.from_rotvec(np.outer(turn, [0, 1.0, 0])).as_matrix(), mesh.vertices_mm)
    representation = DeformationRepresentation(mesh)
    features = representation.encode(twisted)
    step = features[mesh.edges[:, 0], ROTATION] - features[mesh.edges[:, 1], ROTATION]
    assert np.linalg.norm(step, axis=1).max() < 0.7
    assert np.ptp(features[:, 1]) > 0.9 * np.radians(degrees)
    assert off_mm(representation.recover(features), twisted) < EXACT_MM
    # Half the features are half the twist, which half the positions are not.
    half = representation.recover(features / 2)
    radius = np.linalg.norm((half - half.mean(axis=0))[:, [0, 2]], axis=1)
    assert radius.min() > 6


@settings(max_examples=10, deadline=None)
@given(degrees=st.floats(-320, 320))
def test_a_bent_sheet_rolls_up(degrees: float) -> None:
    mesh = sheet(rows=40, columns=4, size_mm=5.0)
    x, s, _ = mesh.vertices_mm.T
    k = np.radians(degrees if abs(degrees) > 1 else 1.0) / 195
    rolled = np.stack([x, np.sin(k * s) / k, (1 - np.cos(k * s)) / k], axis=1)
    representation = DeformationRepresentation(mesh)
    features = representation.encode(rolled)
    step = features[mesh.edges[:, 0], ROTATION] - features[mesh.edges[:, 1], ROTATION]
    assert np.linalg.norm(step, axis=1).max() < 0.5
    assert off_mm(representation.recover(features), rolled) < EXACT_MM


def test_sheets_are_followed_along_a_chain_and_an_identity_has_its_neighbours_axis() -> None:
    along = np.linspace(0, 6 * np.pi, 61)[:, None] * np.array([0.6, 0.0, 0.8])  # every 20th is the identity
    principal = Rotation.from_rotvec(along).as_rotvec()
    edges = np.stack([np.arange(60), np.arange(1, 61)], axis=1).astype(np.int32)
    found = consistent_logarithms(principal, edges)
    lengths = np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert lengths.max() < 0.4


def test_a_mirrored_map_is_a_rotation_and_a_negative_stretch() -> None:
    turn, stretch = polar_decomposition(np.stack([np.diag([1.0, 1.0, -1.0]), 2 * np.eye(3)]))
    assert np.linalg.det(turn) == pytest.approx([1, 1])
    assert np.allclose(turn @ stretch, [np.diag([1, 1, -1]), 2 * np.eye(3)])


def test_a_blend_moves_loose_parts_along() -> None:
    mesh = awkward()
    representation = DeformationRepresentation(mesh)
    moved = np.einsum("ij,vj->vi", Rotation.from_euler("y", 40, degrees=True).as_matrix(), mesh.vertices_mm)
    half = representation.recover(representation.encode(moved) / 2)
    wanted = mesh.vertices_mm @ Rotation.from_euler("y", 20, degrees=True).as_matrix().T
    assert off_mm(half, wanted) < EXACT_MM


def test_shapes_are_checked() -> None:
    representation = DeformationRepresentation(sheet(3, 3))
    with pytest.raises(ShapeError, match="vertices_mm"):
        representation.encode(np.zeros((4, 3)))
    with pytest.raises(ShapeError, match="features"):
        representation.recover(np.zeros((9, 9)))
    assert representation.encode(sheet(3, 3).vertices_mm).shape == (9, FEATURE_SIZE)


@pytest.mark.slow
def test_a_hundred_faces_come_back_however_they_are_turned() -> None:
    """Five people in twenty expressions, loose eyes and teeth, each turned about another axis by 170 to 190 degrees."""
    rng = np.random.default_rng(0)
    subjects = list(face_study(5, 17, vertices=2000))
    representation = DeformationRepresentation(subjects[0].template.mesh.with_vertices(subjects[0].neutral_mm))
    meshes = [vertices for subject in subjects for vertices in subject.meshes.values()]
    assert len(meshes) == 100
    for vertices in meshes:
        axis = rng.standard_normal(3)
        turn = Rotation.from_rotvec(np.radians(rng.uniform(170, 190)) * axis / np.linalg.norm(axis)).as_matrix()
        turned = vertices @ turn.T
        assert off_mm(representation.recover(representation.encode(turned)), turned) < EXACT_MM
