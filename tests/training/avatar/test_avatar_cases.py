"""ARMSE of heads beside a known one: nothing for the same head wherever it lies and however large, more for others."""

import numpy as np
import pytest
from avatar_cases import RADII_MM, TrueHead, armse
from scipy.spatial.transform import Rotation
from small_model import small_model

from common.array_types import Floats
from processing.template.template import SKIN


def true_head(vertices_mm: Floats) -> TrueHead:
    topology = small_model().topology
    landmarks = topology.landmark_points(vertices_mm)
    return TrueHead.of(vertices_mm, topology.mesh.triangles, topology.parts == SKIN, landmarks)


@pytest.fixture(scope="module")
def faces() -> tuple[Floats, Floats]:
    model = small_model()
    still = np.zeros(len(model.units))
    one = model.face(model.identity_mean, still)
    other = model.face(model.identity_mean + 2 * model.identity_deviation, still)
    return one, other


def test_the_same_head_elsewhere_and_larger_is_the_same(faces: tuple[Floats, Floats]) -> None:
    R = Rotation.from_euler("xyz", [12, -8, 5], degrees=True).as_matrix()
    errors = armse(true_head(faces[0]), true_head(1.2 * faces[0] @ R.T + [40, -10, 300]))
    assert tuple(errors) == RADII_MM
    assert max(errors.values()) < 0.05


def test_a_head_that_differs_more_is_farther_off(faces: tuple[Floats, Floats]) -> None:
    one, other = faces
    far = armse(true_head(one), true_head(other))
    near = armse(true_head(one), true_head(one + 0.3 * (other - one)))
    assert all(0 < near[radius] < 0.6 * far[radius] for radius in RADII_MM)


def test_what_lies_far_from_the_nose_counts_within_large_radii_alone(faces: tuple[Floats, Floats]) -> None:
    vertices = faces[0].copy()
    nose = small_model().topology.landmark_points(vertices)[30]
    far = np.linalg.norm(vertices - nose, axis=1) > 95
    vertices[far] += 4 * (vertices[far] - vertices.mean(axis=0)) / 100
    errors = armse(true_head(faces[0]), true_head(vertices))
    assert errors[110] > 2 * errors[80]
