"""Photographs of textured faces: what stands where, lit as the light says, the same from the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import MeshError, ShapeError
from processing.geometry.cameras import Camera, look_at
from processing.geometry.mesh import Mesh
from processing.geometry.photograph_rendering import Sensor
from processing.synthetic.face_photographs import (
    FacePhotography,
    ambient,
    drawn_background,
    drawn_lighting,
    lamp,
    photograph_face,
    sh_basis,
    turned_lighting,
)

SIDE = 65


def hill(height_mm=25.0, side=SIDE):
    """A hill over a square of 200 mm, its UVs the square's."""
    y, x = np.mgrid[:side, :side] / (side - 1)
    z = height_mm * np.sin(np.pi * x) * np.sin(np.pi * y)
    vertices = np.c_[200 * x.ravel() - 100, 200 * y.ravel() - 100, z.ravel()]
    n = np.arange(side * side).reshape(side, side)
    a, b, c, d = n[:-1, :-1].ravel(), n[:-1, 1:].ravel(), n[1:, 1:].ravel(), n[1:, :-1].ravel()
    triangles = np.concatenate([np.c_[a, b, c], np.c_[a, c, d]])
    return Mesh(vertices, triangles, np.c_[x.ravel(), y.ravel()], triangles)


def slope(size=256):
    """A texture that tells its own place: blue by the column, green by the row."""
    y, x = np.mgrid[:size, :size]
    return np.stack([x, y, np.full_like(x, 128)], axis=-1).astype(np.uint8)


def camera(distance_mm=700.0, size=200, towards=(0.3, 0.2, 1.0)):
    offset = distance_mm * np.array(towards) / np.linalg.norm(towards)
    R = look_at(offset, np.zeros(3))
    f = size / 320 * distance_mm
    return Camera(np.array([[f, 0, size / 2], [0, f, size / 2], [0, 0, 1.0]]), R, -R @ offset, size, size)


@pytest.mark.parametrize("distance_mm", [400.0, 1e6])
def test_a_place_is_seen_where_the_camera_projects_it(distance_mm):
    mesh, seen_by = hill(), camera(distance_mm)
    image, mask = photograph_face(mesh, slope(), seen_by, lighting=ambient(np.ones(3)), supersample=3)
    inner = (np.abs(mesh.vertices_mm[:, :2]) < 85).all(axis=1)
    pixels = seen_by.project(mesh.vertices_mm[inner])
    at = np.rint(pixels).astype(int)
    assert (mask[at[:, 1], at[:, 0]] == 255).all()
    uv = mesh.uvs[inner]
    wanted = np.c_[uv[:, 0] * 256 - 0.5, (1 - uv[:, 1]) * 256 - 0.5]
    # Half a pixel of rounding shows at most two texels of another place.
    assert np.abs(image[at[:, 1], at[:, 0], :2] - wanted).max() < 2.5
    subpixel = image[at[:, 1], at[:, 0], :2] - wanted
    assert np.abs(subpixel.mean(axis=0)).max() < 0.15


def test_outside_is_the_background_and_inside_the_face():
    back = drawn_background(np.random.default_rng(3), 200, 200)
    image, mask = photograph_face(hill(), slope(), camera(), background=back)
    np.testing.assert_array_equal(image[mask == 0], back[mask == 0])
    assert 0.2 < (mask == 255).mean() < 0.7
    assert ((mask > 0) & (mask < 255)).any()  # an edge that is smooth


def test_light_from_everywhere_shows_the_texture_and_a_lamp_shades_by_its_cosine():
    grey = np.full((8, 8, 3), 188, np.uint8)  # 0.5 in linear light
    image, mask = photograph_face(hill(0.0), grey, camera(towards=(0, 0, 1)), lighting=ambient(np.ones(3)))
    assert set(np.unique(image[mask == 255])) == {188}
    straight, tilted = (
        photograph_face(hill(0.0), grey, camera(towards=(0, 0, 1)), lighting=lamp(d, 0.8 * np.ones(3)))[0][100, 100, 0]
        for d in (np.array([0, 0, -1.0]), np.array([0, -np.sin(1.0), -np.cos(1.0)]))  # OpenCV's axes: y down
    )
    assert tilted < straight

    def light(value):
        return ((value / 255 + 0.055) / 1.055) ** 2.4

    assert light(tilted) / light(straight) == pytest.approx(np.cos(1.0), abs=0.08)  # as near as nine functions come


unit = st.tuples(*[st.floats(-1, 1)] * 3).map(np.array).filter(lambda v: np.linalg.norm(v) > 0.1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), unit, unit)
def test_turned_light_shades_a_turned_normal_alike(seed, axis, normal):
    from scipy.spatial.transform import Rotation

    R = Rotation.from_rotvec(2 * axis).as_matrix()
    light, n = drawn_lighting(np.random.default_rng(seed)), normal / np.linalg.norm(normal)
    turned = turned_lighting(light, R)
    np.testing.assert_allclose(sh_basis((R @ n)[None]) @ turned, sh_basis(n[None]) @ light, atol=1e-9)


def test_the_functions_are_those_of_the_fit():
    theirs = pytest.importorskip("processing.single_view.appearance.spherical_harmonics")
    normals = np.random.default_rng(0).standard_normal((50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose(sh_basis(normals), theirs.sh_basis(normals), atol=1e-12)
    np.testing.assert_allclose(lamp(normals[0], np.ones(3)), theirs.directional(normals[0], np.ones(3)), atol=1e-12)


def test_a_pit_is_darker_with_occlusion():
    wide, grey = hill(-60.0), np.full((8, 8, 3), 188, np.uint8)
    pit = wide.with_vertices(wide.vertices_mm * [0.3, 0.3, 1.0])
    front = camera(towards=(0, 0, 1))
    plain, shaded = (
        FacePhotography(pit, grey, occlusion_rays=rays).photograph(front, lighting=ambient(np.ones(3)))[0][100, 100, 0]
        for rays in (0, 24)
    )
    assert shaded < plain - 15


def test_noise_follows_its_seed_and_gloss_adds_light():
    studio, front = FacePhotography(hill(), slope()), camera(towards=(0, 0, 1))
    noisy = [
        studio.photograph(front, sensor=Sensor(), rng=np.random.default_rng(seed), jpeg_quality=90)[0]
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).any()
    matt, glossy = (studio.photograph(front, gloss=g)[0].astype(int) for g in (0.0, 0.2))
    assert (glossy >= matt).all()
    assert (glossy - matt).max() > 5


def test_what_cannot_be_photographed_is_refused():
    mesh, front = hill(), camera()
    with pytest.raises(MeshError, match="no UVs"):
        photograph_face(Mesh(mesh.vertices_mm, mesh.triangles), slope(), front)
    with pytest.raises(ShapeError, match="lighting"):
        photograph_face(mesh, slope(), front, lighting=np.ones((4, 3)))
    with pytest.raises(ShapeError, match="background"):
        photograph_face(mesh, slope(), front, background=np.zeros((3, 3, 3), np.uint8))
