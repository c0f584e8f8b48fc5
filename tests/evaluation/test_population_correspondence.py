"""Places of one template on members of another topology: exact where they are known, and honest where they are not."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_model import egg_template

from processing.errors import DataError, ShapeError
from processing.evaluation.population_correspondence import (
    PopulationCorrespondence,
    correspond,
    disagreement_mm,
    joint_places,
    read_correspondence,
    write_correspondence,
)
from processing.geometry.mesh import Mesh
from processing.synthetic.face_population import population
from processing.template.builtin_template import default_template
from processing.template.face_mask import face_vertices
from processing.template.template import SKIN

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def some_places(seed: int, count: int = 200) -> tuple[Mesh, PopulationCorrespondence]:
    rng = np.random.default_rng(seed)
    mesh = egg_template().mesh
    triangles = rng.integers(0, len(mesh.triangles), count).astype(np.int32)
    barycentric = rng.dirichlet(np.ones(3), count)
    triangles[rng.uniform(size=count) < 0.2] = -1
    spread = np.where(triangles >= 0, 0.5, np.nan)
    return mesh, PopulationCorrespondence(triangles, barycentric, spread, mesh.triangles, rng.normal(size=(count, 3)))


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_places_go_where_the_member_goes(seed: int) -> None:
    mesh, places = some_places(seed)
    rng = np.random.default_rng(seed)
    A, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    here, there = places.points(mesh.vertices_mm), places.points(mesh.vertices_mm @ A.T + b)
    assert np.isnan(here[~places.known]).all()
    np.testing.assert_allclose(there[places.known], here[places.known] @ A.T + b, atol=1e-9)
    both = places.points(np.stack([mesh.vertices_mm, mesh.vertices_mm]))
    np.testing.assert_array_equal(both[1], here)


def test_a_member_of_another_mesh_is_refused() -> None:
    _, places = some_places(0)
    with pytest.raises(ShapeError, match="member_mm"):
        places.points(np.zeros((10, 3)))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    _, places = some_places(1)
    write_correspondence(tmp_path / "places.npz", places)
    again = read_correspondence(tmp_path / "places.npz")
    for key in ("triangles", "barycentric", "spread_mm", "topology", "fitted_mm"):
        np.testing.assert_array_equal(getattr(again, key), getattr(places, key))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no places")
    with pytest.raises(DataError, match=r"text\.npz"):
        read_correspondence(tmp_path / "text.npz")
    np.savez(tmp_path / "half.npz", triangles=np.zeros(3, np.int32))
    with pytest.raises(DataError, match="lacks barycentric"):
        read_correspondence(tmp_path / "half.npz")


def test_a_similarity_is_no_disagreement() -> None:
    mesh, places = some_places(2)
    assert np.nanmax(disagreement_mm(places, places, mesh.vertices_mm)) < 1e-9
    R = Rotation.from_rotvec([0.2, -0.1, 0.3]).as_matrix()
    moved = 1.1 * mesh.vertices_mm @ R.T + [5.0, 2.0, 1.0]
    assert np.nanmax(disagreement_mm(places, places, moved)) < 1e-9


def test_one_wrong_registration_does_not_move_the_joint_places() -> None:
    mesh = egg_template().mesh
    skin = np.ones(len(mesh.triangles), np.bool_)
    rng = np.random.default_rng(3)
    truth = mesh.vertices_mm[::40]
    each = [truth + 0.1 * rng.normal(size=truth.shape) for _ in range(6)]
    each[2] = truth + np.array([9.0, 0.0, 0.0])  # slid over the face
    each[4][:5] = np.nan  # and one that met no skin there
    found = joint_places(mesh, skin, each)
    assert found.known.all()
    np.testing.assert_allclose(found.points(mesh.vertices_mm), truth, atol=0.6)
    assert np.nanmean(found.spread_mm) > 1.0  # the disagreement is told


def test_places_that_do_not_agree_are_none() -> None:
    mesh = egg_template().mesh
    skin = np.ones(len(mesh.triangles), np.bool_)
    truth = mesh.vertices_mm[::40]
    each = [truth.copy() for _ in range(4)]
    for k, one in enumerate(each):
        one[0] = truth[0] + 30.0 * np.array([k, 0, 0])
        one[1] = np.nan if k < 3 else truth[1]
    found = joint_places(mesh, skin, each)
    assert not found.known[:2].any()
    assert found.known[2:].all()


@pytest.mark.slow
def test_people_of_known_correspondence_are_met() -> None:
    """The built-in population in a thinner topology: where its template's vertices truly lie is known."""
    full, thin, template = population("anny"), population("anny", 6000), default_template()
    places = correspond(thin, template, identities=5, seed=3)
    face = face_vertices(template) & (template.parts == SKIN)
    person = full.draw(np.random.default_rng(77)).neutral_mm
    off = np.linalg.norm(places.points(thin.to_template @ person) - full.to_template @ person, axis=1)
    assert places.known[face].mean() > 0.7
    assert np.nanmedian(off[face]) < 1.0


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "ict_face.npz").exists(), reason="the second population's file is not there")
def test_two_sets_of_identities_agree() -> None:
    people, template = population("ict", ict=SHARED / "ict_face.npz"), default_template()
    one, other = (correspond(people, template, identities=4, seed=seed) for seed in (1, 2))
    face = face_vertices(template) & (template.parts == SKIN)
    off = disagreement_mm(one, other, people.control.vertices_mm)[face]
    assert one.known[face].mean() > 0.8
    assert np.nanmean(off) < 1.0
