"""Spherical harmonics against what they are defined by, and light that is turned, tinted and made of a lamp."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from processing.errors import ShapeError
from processing.single_view.appearance.lighting import (
    Lighting,
    display,
    display_slope,
    linear,
    linear_slope,
    shaded,
)
from processing.single_view.appearance.spherical_harmonics import (
    LAMBERT,
    ambient,
    directional,
    sh_basis,
    sh_basis_gradient,
    turned,
)


def sphere(count: int = 20_000) -> np.ndarray:
    i = np.arange(count) + 0.5
    z = 1 - 2 * i / count
    angle, ring = np.pi * (1 + 5**0.5) * i, np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def test_the_functions_are_orthonormal_over_the_sphere():
    basis = sh_basis(sphere())
    assert np.allclose(4 * np.pi * basis.T @ basis / len(basis), np.eye(9), atol=1e-3)


def test_gradients_are_those_of_the_polynomials():
    points = np.random.default_rng(3).normal(size=(40, 3))
    numeric = np.stack([(sh_basis(points + 1e-6 * e) - sh_basis(points - 1e-6 * e)) / 2e-6 for e in np.eye(3)], axis=2)
    assert np.allclose(sh_basis_gradient(points), numeric, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_turned_light_shades_turned_normals_alike(seed: int):
    rng = np.random.default_rng(seed)
    coefficients, R, normals = rng.normal(size=(9, 3)), Rotation.random(random_state=rng).as_matrix(), sphere(50)
    assert np.allclose(sh_basis(normals @ R.T) @ turned(coefficients, R), sh_basis(normals) @ coefficients, atol=1e-9)


def test_a_lamp_shades_by_the_cosine_as_nearly_as_nine_functions_can():
    towards = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    normals = sphere()
    cosine = (normals @ towards).clip(0)
    basis = sh_basis(normals)
    best = 4 * np.pi * basis.T @ cosine / len(normals)  # projection on orthonormal functions
    assert np.allclose(directional(towards, np.ones(1))[:, 0], best, atol=2e-3)
    assert np.abs(basis @ best - cosine).max() < 0.1


def test_matt_light_is_the_mean_of_the_radiance_by_the_cosine():
    rng = np.random.default_rng(1)
    radiance, normals = rng.normal(size=9), sphere(30)
    around = sphere()
    brute = 4 * np.mean((normals @ around.T).clip(0) * (sh_basis(around) @ radiance), axis=1)
    assert np.allclose(sh_basis(normals) @ (LAMBERT * radiance), brute, atol=5e-3)


def test_ambient_light_of_one_shows_colours_as_they_are():
    colours = np.random.default_rng(0).uniform(0, 255, (30, 3))
    assert np.allclose(shaded(colours, Lighting(ambient(1.0)).shading(sphere(30))), colours, atol=1e-9)


def test_shading_is_never_below_nothing():
    assert (Lighting(-ambient(1.0)).shading(sphere(10)) > 0).all()


def test_display_and_linear_are_inverse_and_their_slopes_right():
    values = np.r_[0.5, 5.0, 10.0, 11.0, 40.0, 128.0, 254.0, 300.0]
    assert np.allclose(display(linear(values)), values, atol=1e-9)
    numeric = (linear(values + 1e-4) - linear(values - 1e-4)) / 2e-4
    assert np.allclose(linear_slope(values), numeric, rtol=1e-5)
    assert np.allclose(display_slope(linear(values)) * linear_slope(values), 1, rtol=1e-3)


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeError, match=r"wanted \(N, 3\)"):
        sh_basis(np.zeros(3))
    with pytest.raises(ShapeError, match="lighting"):
        Lighting(np.zeros((3, 9)))
