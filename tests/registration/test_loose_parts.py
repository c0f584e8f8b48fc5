"""Eyeballs ride along with the face around them and stay behind the skin."""

import numpy as np
import pytest

from processing.geometry.mesh import Mesh
from processing.mesh_repair.mesh_defects import self_intersecting
from processing.registration.loose_parts import largest_part, move_loose_parts
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

PARTS = np.array([SKIN, EYE, MOUTH_INTERIOR], dtype=np.int8)  # of skin, eyeball, lash
UP = np.array([0, 10.0, 0])


@pytest.fixture(scope="module")
def head_with_eye(uv_sphere) -> tuple[Mesh, np.ndarray]:
    """A skin of 50 mm radius, an eyeball 0.4 mm behind its front, a lash through its side; (V,) the piece of each."""
    skin, eye, lash = uv_sphere(48, 50.0), uv_sphere(16, 10.0), uv_sphere(6, 1.0)
    pieces = [skin.vertices_mm, eye.vertices_mm + np.array([0, 0, 39.6]), lash.vertices_mm + np.array([50.0, 0, 0])]
    starts = np.cumsum([0, len(pieces[0]), len(pieces[1])])
    triangles = [m.triangles + start for m, start in zip((skin, eye, lash), starts, strict=True)]
    return Mesh(np.concatenate(pieces), np.concatenate(triangles)), np.repeat([0, 1, 2], [len(p) for p in pieces])


def moved_skin(mesh: Mesh, piece: np.ndarray, dent_mm: float) -> np.ndarray:
    """The head moved by a centimetre, its front pressed in by so much over a few millimetres."""
    after = mesh.vertices_mm + UP
    near = np.exp(-np.square(np.linalg.norm(mesh.vertices_mm - [0, 0, 50.0], axis=1) / 5))
    after[piece == 0, 2] -= dent_mm * near[piece == 0]
    return after


def test_a_piece_that_comes_through_the_skin_is_seated(head_with_eye) -> None:
    mesh, piece = head_with_eye
    _, main = largest_part(mesh)
    assert (piece[main] == 0).all()
    after = move_loose_parts(mesh, PARTS[piece], mesh.vertices_mm, moved_skin(mesh, piece, 0.8), main)
    at_fault = self_intersecting(mesh.with_vertices(after))
    assert not at_fault[(piece == 1)[mesh.triangles].any(axis=1)].any()
    motion = (after - mesh.vertices_mm)[piece == 1]
    np.testing.assert_allclose(motion, motion[:1] + np.zeros_like(motion), atol=0.3)  # its shape is kept
    assert -1.2 < motion[:, 2].mean() < -0.3


def test_what_needs_no_seat_rides_along(head_with_eye) -> None:
    mesh, piece = head_with_eye
    _, main = largest_part(mesh)
    after = move_loose_parts(mesh, PARTS[piece], mesh.vertices_mm, moved_skin(mesh, piece, 0.0), main)
    np.testing.assert_allclose(after, mesh.vertices_mm + UP, atol=1e-6)  # the lash too, through the skin


def test_a_piece_that_cannot_be_seated_stays_where_it_belongs(head_with_eye) -> None:
    mesh, piece = head_with_eye
    _, main = largest_part(mesh)
    after = move_loose_parts(mesh, PARTS[piece], mesh.vertices_mm, moved_skin(mesh, piece, 6.0), main)
    assert (after - mesh.vertices_mm)[piece == 1, 2].mean() > -2.0
