"""A texture from a photograph whose face, light and camera are known: its own colours where seen, marked elsewhere."""

from functools import lru_cache

import numpy as np
from known_fit import KnownFit, known_fit
from lit_face import painted_model

from common.array_types import Bools, Floats32
from processing.geometry.uv_rasterization import Texels, texels_of
from processing.learning.detail.photo_texture import PhotoTexture, completed_texture, mirrored_texels, photo_texture

SIZE = 96


@lru_cache(maxsize=2)
def made(yaw: float) -> tuple[KnownFit, PhotoTexture]:
    known = known_fit(3, yaw=yaw, size=480)
    return known, photo_texture(known.model, known.fit, known.image, SIZE)


def texels() -> Texels:
    return texels_of(painted_model().topology.mesh, SIZE)


def test_light_is_divided_out() -> None:
    known, texture = made(0.0)
    assert known.model.albedo is not None
    true = known.model.albedo.picture(known.albedo).astype(float)
    seen = np.asarray(texels().image(np.ones(len(texels().index), np.bool_)), np.bool_) & ~texture.completed
    assert 0.1 < seen.mean() < 0.9
    off = np.abs(texture.texture.astype(float) - true)[seen]
    assert np.median(off) < 4  # a photograph's pixels, not texels


def test_what_is_turned_away_is_marked() -> None:
    known, texture = made(45.0)
    mesh = known.model.topology.mesh.with_vertices(known.fit.vertices_mm)
    at = texels()
    normals = at.interpolate(mesh, mesh.vertex_normals) @ known.fit.camera.camera.R.T
    away = np.asarray(at.image(normals[:, 2] > 0.1), np.bool_)  # the lens looks along +z
    assert texture.completed[away].all()
    assert texture.share > made(0.0)[1].share - 0.05
    assert texture.texture[away].std() > 0  # and has colours all the same


def test_a_mirror_finds_the_other_side() -> None:
    model, at = painted_model(), texels()
    mesh = model.topology.mesh
    mirror = mirrored_texels(model, at, np.zeros((SIZE, SIZE), np.bool_))
    places = np.zeros((SIZE, SIZE, 3), np.float32)
    places.reshape(-1, 3)[at.index] = at.interpolate(mesh, mesh.vertices_mm)
    there = np.argwhere(mirror[..., 0] >= 0)
    assert len(there) > 500
    columns, rows = mirror[tuple(there.T)].T.round().astype(int).clip(0, SIZE - 1)
    off = np.abs(places[rows, columns] - places[tuple(there.T)] * [-1, 1, 1])
    assert np.median(off) < 3.0  # mm; a texel of the egg's map is about as wide


def face_of_known_symmetry() -> tuple[Floats32, Bools, Floats32]:
    """A texture that is the same on both sides, its left half known, and where each texel's mirror lies."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    away = np.abs(x - (SIZE - 1) / 2)
    picture = np.stack([120 + 40 * np.sin(away / 3), 90 + 20 * np.cos(y / 5), 60 + away], axis=2).astype(np.float32)
    mirror = np.stack([SIZE - 1 - x, y], axis=2).astype(np.float32)
    known = x < SIZE / 2 + 4
    mirror[known] = -1
    return picture, known, mirror


def test_a_symmetric_face_is_completed_to_itself() -> None:
    picture, known, mirror = face_of_known_symmetry()
    base = np.full_like(picture, 100.0)
    whole = completed_texture(np.where(known[..., None], picture, 0), known, base, mirror)
    core = known & (np.arange(SIZE) < SIZE / 2)
    np.testing.assert_array_equal(whole[core], picture[core])
    inner = ~known & (np.arange(SIZE) < SIZE - 12)
    assert np.abs(whole - picture)[inner].mean() < 8  # the pattern of the other side, at a slowly changing level
    plain = completed_texture(np.where(known[..., None], picture, 0), known, base, np.full_like(mirror, -1))
    assert np.abs(whole - picture)[inner].mean() < 0.6 * np.abs(plain - picture)[inner].mean()


def test_without_a_mirror_the_base_meets_what_is_known() -> None:
    picture = np.full((SIZE, SIZE, 3), 140, np.float32)
    known = np.zeros((SIZE, SIZE), np.bool_)
    known[20:60, 20:60] = True
    mirror = np.full((SIZE, SIZE, 2), -1, np.float32)
    whole = completed_texture(picture, known, np.full_like(picture, 90), mirror)
    np.testing.assert_allclose(whole, 140, atol=1)  # a base 50 darker all over is moved by 50
    nothing = completed_texture(picture, np.zeros_like(known), np.full_like(picture, 90), mirror)
    np.testing.assert_array_equal(nothing, 90)
