import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from processing.geometry.deformation_transfer import DeformationTransfer, deformation_gradients
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import Similarity


@pytest.fixture(scope="module")
def sphere(uv_sphere) -> Mesh:
    return uv_sphere(12)


@pytest.fixture(scope="module")
def other(sphere: Mesh) -> Mesh:
    """The same topology as another shape."""
    v = sphere.vertices_mm
    return sphere.with_vertices(v * [1.2, 0.8, 1.1] + 3 * np.sin(v / 15)[:, [1, 2, 0]])


def bend(v: np.ndarray) -> np.ndarray:
    return v + np.c_[0.004 * v[:, 1] ** 2, 5 * np.sin(v[:, 2] / 30), -0.1 * v[:, 0]]


def test_no_deformation_is_none(sphere: Mesh, other: Mesh) -> None:
    still = DeformationTransfer(other)(sphere.vertices_mm, sphere.vertices_mm)
    np.testing.assert_allclose(still, other.vertices_mm, atol=1e-8)


def test_a_rigid_motion_is_the_same_motion(sphere: Mesh, other: Mesh) -> None:
    motion = Similarity(1.0, Rotation.from_rotvec([0.4, -0.3, 1.2]).as_matrix(), np.array([10.0, -20, 30]))
    moved = DeformationTransfer(other)(sphere.vertices_mm, motion(sphere.vertices_mm))
    np.testing.assert_allclose(moved, motion(other.vertices_mm), atol=1e-7)


def test_onto_itself_it_is_the_deformation(sphere: Mesh) -> None:
    deformed = bend(sphere.vertices_mm)
    np.testing.assert_allclose(DeformationTransfer(sphere)(sphere.vertices_mm, deformed), deformed, atol=1e-7)


def test_it_turns_with_the_frame(sphere: Mesh, other: Mesh) -> None:
    frame = Similarity(1.3, Rotation.from_rotvec([1.0, 0.2, -0.5]).as_matrix(), np.array([7.0, 8, 9]))
    source, deformed = sphere.vertices_mm, bend(sphere.vertices_mm)
    plain = DeformationTransfer(other)(source, deformed)
    turned = DeformationTransfer(other.with_vertices(frame(other.vertices_mm)))(frame(source), frame(deformed))
    np.testing.assert_allclose(turned, frame(plain), atol=1e-6)


def test_one_factor_serves_many_expressions(sphere: Mesh, other: Mesh) -> None:
    transfer = DeformationTransfer(other)
    first = transfer(sphere.vertices_mm, bend(sphere.vertices_mm))
    transfer(sphere.vertices_mm, 2 * sphere.vertices_mm)
    np.testing.assert_array_equal(transfer(sphere.vertices_mm, bend(sphere.vertices_mm)), first)


def test_pieces_that_do_not_touch_each_move(sphere: Mesh) -> None:
    count = len(sphere.vertices_mm)
    small = sphere.vertices_mm * 0.2 + [100, 0, 0]
    two = Mesh(
        np.concatenate([sphere.vertices_mm, small]), np.concatenate([sphere.triangles, sphere.triangles + count])
    )
    motion = Similarity(1.0, Rotation.from_rotvec([0, 0, 0.7]).as_matrix(), np.array([0.0, 5, 0]))
    deformed = two.vertices_mm.copy()
    deformed[count:] = motion(deformed[count:])
    np.testing.assert_allclose(DeformationTransfer(two)(two.vertices_mm, deformed), deformed, atol=1e-7)


def test_gradients_of_an_affine_map_are_it_in_the_surface(sphere: Mesh) -> None:
    A = np.array([[1.1, 0.2, 0], [-0.1, 0.9, 0.3], [0, 0.1, 1.2]])
    found = deformation_gradients(sphere.vertices_mm, sphere.vertices_mm @ A.T, sphere.triangles)
    corner = sphere.vertices_mm[sphere.triangles]
    edge = corner[:, 1] - corner[:, 0]
    np.testing.assert_allclose(np.einsum("tij,tj->ti", found, edge), edge @ A.T, atol=1e-9)


def test_a_triangle_without_area_does_no_harm(sphere: Mesh, other: Mesh) -> None:
    triangles = np.concatenate([sphere.triangles, [[5, 5, 6]]]).astype(np.int32)
    target = Mesh(other.vertices_mm, triangles)
    still = DeformationTransfer(target)(sphere.vertices_mm, sphere.vertices_mm)
    np.testing.assert_allclose(still, other.vertices_mm, atol=1e-8)


def test_what_is_still_keeps_its_place_and_units_come_at_once():
    from small_template import small_template

    template, units = small_template()
    rng = np.random.default_rng(5)
    target = template.mesh.with_vertices(template.mesh.vertices_mm * [1.1, 0.95, 1.05])
    moved = np.linalg.norm(units.offsets_mm, axis=2).max(axis=0) > 0.01
    transfer = DeformationTransfer(target, still=(~moved).astype(np.float64))
    some = rng.choice(51, 3, replace=False)
    offsets = units.offsets_mm[some].astype(np.float64)
    found = transfer.of_units(template.mesh.vertices_mm, offsets)
    for number, offset in enumerate(offsets):
        deformed = transfer(template.mesh.vertices_mm, template.mesh.vertices_mm + offset)
        assert np.abs(target.vertices_mm + found[number] - deformed).max() < 1e-9
        assert np.abs(found[number][~moved]).max() < 0.05 * np.abs(found[number]).max()
    own = DeformationTransfer(template.mesh, still=(~moved).astype(np.float64))
    assert np.abs(own.of_units(template.mesh.vertices_mm, offsets) - offsets).max() < 1e-3
