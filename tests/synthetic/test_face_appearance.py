"""Synthetic people's textures and displacement: of one seed, told apart, with a face's marks where a face has them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processing.errors import MeshError
from processing.geometry.mesh import Mesh
from processing.synthetic.face_appearance import face_appearance
from processing.synthetic.face_study import face_study
from processing.template.face_mask import uv_mask
from processing.template.template import EYE, from_mesh

SIZE = 192
ICT = Path(__file__).parents[3] / "shared/data/ict_face.npz"


@pytest.fixture(scope="module")
def people():
    return list(face_study(2, seed=5, vertices=2000))


@pytest.fixture(scope="module")
def looks(people):
    return [face_appearance(person, 5, number, size_px=SIZE) for number, person in enumerate(people)]


def test_a_person_has_one_texture_and_another_has_another(people, looks):
    again = face_appearance(people[0], 5, 0, size_px=SIZE).texture()
    np.testing.assert_array_equal(looks[0].texture(), again)
    assert np.abs(looks[0].texture().astype(int) - looks[1].texture()).mean() > 3


def test_eyes_have_a_white_an_iris_and_a_pupil(people, looks):
    """On the closed template the eyes are some texels wide; there the paint varies most."""
    for person, look in zip(people, looks, strict=True):
        eyes = uv_mask(person.template.mesh, person.template.parts == EYE, SIZE)[..., 0] > 0
        values = look.texture()[eyes].mean(axis=1)
        assert values.max() > 150
        assert values.min() < 60


def test_brows_and_lips_differ_from_the_skin_beside_them(looks):
    for look in looks:
        p, light = look.places.average_mm, look.texture().reshape(-1, 3)[look.places.texels.index].astype(float)
        brow = (np.abs(np.abs(p[:, 0]) - 25) < 6) & (np.abs(p[:, 1] - 50) < 3) & (p[:, 2] > 60)
        forehead = (np.abs(p[:, 0]) < 25) & (np.abs(p[:, 1] - 75) < 8) & (p[:, 2] > 60)
        assert np.abs(light[brow].mean(axis=0) - light[forehead].mean(axis=0)).max() > 6
        lips = look.places.masks["lips"] > 0.9
        chin = (np.abs(p[:, 0]) < 12) & (np.abs(p[:, 1] + 72) < 5) & (p[:, 2] > 60)
        red = light[:, 0] / light.sum(axis=1)
        assert red[lips].mean() > red[chin].mean()


def test_skin_is_displaced_by_tenths_and_eyes_not_at_all(people, looks):
    smiling = people[0].meshes["2_smile"]
    rest, moved = looks[0].displacement(), looks[0].displacement(smiling)
    eyes = looks[0].places.parts == EYE
    flat = rest.height_mm.ravel()[looks[0].places.texels.index]
    assert np.abs(flat).max() < 1.0
    assert 0.005 < flat[~eyes].std() < 0.2
    assert (flat[eyes] == 0).all()
    assert np.abs(moved.height_mm - rest.height_mm).max() > 0.01  # wrinkles where it is squeezed


def test_a_template_without_uvs_is_refused(people):
    template = people[0].template
    bare = from_mesh(
        "bare", Mesh(template.mesh.vertices_mm, template.mesh.triangles),
        template.landmark_triangles, template.landmark_barycentric, parts=template.parts,
    )  # fmt: skip
    with pytest.raises(MeshError, match="no UVs"):
        face_appearance(replace(people[0], template=bare), 5, 0, size_px=64)


@pytest.mark.slow
@pytest.mark.skipif(not ICT.is_file(), reason="needs ../shared/data/ict_face.npz")
def test_another_topology_has_its_marks_where_its_own_face_has_them():
    (person,) = face_study(1, seed=5, population="ict", vertices=3000, ict=ICT)
    look = face_appearance(person, 5, 0, size_px=512)
    vertices, template = person.neutral_mm, person.template
    at = look.places.texels.interpolate(template.mesh, vertices)
    landmarks = template.landmark_points(vertices)
    eyes = landmarks[42:48].mean(axis=0) - landmarks[36:42].mean(axis=0)
    unit = float(np.linalg.norm(eyes)) / 62
    lips, brows = look.places.masks["lips"] > 0.9, np.abs(look.places.average_mm[:, 1] - 48) < 2
    brows &= (np.abs(np.abs(look.places.average_mm[:, 0]) - 25) < 4) & (look.places.average_mm[:, 2] > 60)
    assert np.linalg.norm(at[lips].mean(axis=0) - landmarks[48:60].mean(axis=0)) < 8 * unit
    assert abs(at[brows][:, 1].mean() - landmarks[17:27, 1].mean()) < 6 * unit
