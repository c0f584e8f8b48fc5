"""Poisson blending over UVs: exact where the answer is known, and the same on both sides of a seam."""

import numpy as np
import pytest

from processing.avatars.poisson_blending import blend, harmonic
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import texels_of

SIZE = 256


@pytest.fixture(scope="module")
def square() -> Mesh:
    """A flat square whose UVs fill the unit square."""
    x, y = np.meshgrid(np.linspace(0, 1, 9), np.linspace(0, 1, 9))
    corner = np.arange(81).reshape(9, 9)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    triangles = np.concatenate([np.stack(k, 2).reshape(-1, 3) for k in ((a, b, c), (a, c, d))]).astype(np.int32)
    uvs = np.stack([x.ravel(), y.ravel()], axis=1)
    return Mesh(np.c_[100 * uvs, np.zeros(81)], triangles, uvs, triangles.copy())


def test_a_hole_in_a_ramp_is_the_ramp(square) -> None:
    texels = texels_of(square, SIZE)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    ramp = np.stack([0.5 * x, 200 - 0.5 * y, 0.3 * (x + y)], axis=2)
    known = np.ones((SIZE, SIZE), bool)
    known[60:190, 50:200] = False
    made = blend(square, texels, ramp, known, np.zeros_like(ramp), np.ones_like(known))
    assert np.abs(made.colours - ramp).max() < 0.6
    assert (made.completed == ~known).all()


def test_what_completes_keeps_its_detail_and_takes_the_colours(square) -> None:
    texels = texels_of(square, SIZE)
    x = np.mgrid[:SIZE, :SIZE].astype(np.float32)[1]
    stripes = (60 + 20 * np.sin(x / 3))[..., None].repeat(3, 2).astype(np.float32)
    known = x < 100
    made = blend(square, texels, stripes + 70, known, stripes, np.ones_like(known)).colours
    assert np.abs(made - (stripes + 70)).max() < 0.5


def test_nothing_known_is_the_other_texture(square) -> None:
    texels = texels_of(square, SIZE)
    other = np.random.default_rng(0).uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32)
    nothing = np.zeros((SIZE, SIZE), bool)
    made = blend(square, texels, np.zeros_like(other), nothing, other, ~nothing)
    assert (made.colours == other).all()


def test_beyond_the_domain_nothing_changes(square) -> None:
    texels = texels_of(square, SIZE)
    other = np.full((SIZE, SIZE, 3), 50, np.float32)
    domain = np.zeros((SIZE, SIZE), bool)
    domain[:, :128] = True
    known = domain.copy()
    known[:, 40:] = False
    made = blend(square, texels, other + 60, known, other, domain).colours
    assert np.abs(made[:, :128] - 110).max() < 0.5
    assert (made[:, 128:] == 50).all()


def test_colours_meet_across_a_seam(uv_sphere) -> None:
    ball = uv_sphere(24, 50.0)  # its seam runs along -z
    texels = texels_of(ball, SIZE)
    domain = np.zeros(SIZE * SIZE, bool)
    domain[texels.index] = True
    place = np.zeros((SIZE * SIZE, 3), np.float32)
    place[texels.index] = texels.interpolate(ball, ball.vertices_mm)
    domain, place = domain.reshape(SIZE, SIZE), place.reshape(SIZE, SIZE, 3)
    known = domain & (np.abs(place[..., 2]) < 8)  # a ring through both poles: +x and -x halves meet at the seam only
    value = np.where(place[..., 0] > 0, 100.0, 0.0)[..., None].astype(np.float32)
    answer = harmonic(ball, texels, value, known, domain)[..., 0]
    behind = domain & (place[..., 2] < -35) & (np.abs(place[..., 1]) < 25)
    right, left = (answer[behind & (s * place[..., 0] > 0) & (np.abs(place[..., 0]) < 3)] for s in (1, -1))
    assert abs(right.mean() - left.mean()) < 5  # a border of the chart alone would leave them a hundred apart
    assert abs(np.r_[right, left].mean() - 50) < 5
