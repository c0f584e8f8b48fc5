"""Synthetic studies of registered meshes: their truth holds, and people differ in how they move."""

from pathlib import Path

import numpy as np
import pytest

from processing.errors import DataError
from processing.files.mesh_files import read_mesh
from processing.synthetic.face_study import LABELS, face_study, write_study

SMALL = 2000
ICT = Path(__file__).parents[3] / "shared/data/ict_face.npz"


@pytest.fixture(scope="module", params=["anny", "ict"])
def subjects(request):
    if request.param == "ict" and not ICT.is_file():
        pytest.skip("needs ../shared/data/ict_face.npz")
    return list(face_study(4, seed=3, population=request.param, vertices=SMALL, ict=ICT))


def test_meshes_are_what_the_truth_says(subjects):
    for subject in subjects:
        truth = subject.truth
        for label in LABELS:
            R, t = truth.motions[label]
            offsets = truth.shapes_mm - subject.neutral_mm
            posed = subject.neutral_mm + np.tensordot(truth.weights[label], offsets, 1)
            np.testing.assert_allclose(subject.meshes[label], posed @ R.T + t, atol=1e-3)
            np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
            assert ((truth.weights[label] >= 0) & (truth.weights[label] <= 1)).all()
        np.testing.assert_array_equal(subject.meshes[LABELS[0]], subject.neutral_mm)


def test_a_subject_does_not_depend_on_how_many_there_are(subjects):
    population = subjects[0].template.name.partition("-")[0]
    (alone,) = face_study(1, seed=3, population=population, vertices=SMALL, ict=ICT, first=2)
    assert (alone.code, alone.age, alone.gender) == (subjects[2].code, subjects[2].age, subjects[2].gender)
    np.testing.assert_array_equal(alone.truth.shapes_mm, subjects[2].truth.shapes_mm)
    for label in LABELS:
        np.testing.assert_array_equal(alone.meshes[label], subjects[2].meshes[label])


def test_people_move_in_ways_of_their_own(subjects):
    """The generic units carried over miss how a person smiles by far more than a registration does."""
    truth = subjects[0].truth
    smile = truth.units.index("mouthSmileLeft")
    generic = [s.truth.generic_mm[smile] - s.neutral_mm for s in subjects]
    own = [s.truth.shapes_mm[smile] - s.neutral_mm for s in subjects]
    for carried, moved in zip(generic, own, strict=True):
        length = np.linalg.norm(carried, axis=1)
        active = length > 0.3 * length.max()
        off = np.linalg.norm(moved - carried, axis=1)[active].mean()
        assert 0.5 < off < 0.6 * length[active].mean()
    strengths = [np.linalg.norm(moved) / np.linalg.norm(carried) for carried, moved in zip(generic, own, strict=True)]
    assert np.ptp(strengths) > 0.05


def test_eyes_close_in_everybody(subjects):
    """The lids meet: no opening of more than a lash's width, and none goes on through the other."""
    for subject in subjects:
        open_mm = _lid_gaps(subject, "1_neutral")
        closed_mm = _lid_gaps(subject, "18_eye_closed")
        assert open_mm.min() > 3
        assert np.abs(closed_mm).max() < 0.45 * open_mm.min()


def _lid_gaps(subject, label):
    R, t = subject.truth.motions[label]
    points = subject.template.landmark_points((subject.meshes[label] - t) @ R)
    return points[[37, 38, 43, 44], 1] - points[[41, 40, 47, 46], 1]


def test_a_study_in_folders(subjects, tmp_path):
    codes = write_study(tmp_path / "study", iter(subjects[:2]))
    assert codes == ["S001", "S002"]
    lines = (tmp_path / "study/subjects.csv").read_text().splitlines()
    assert lines[0] == "code,age,gender"
    assert len(lines) == 3
    mesh = read_mesh(tmp_path / "study/S002/models_reg/2_smile.obj")
    np.testing.assert_allclose(mesh.vertices_mm, subjects[1].meshes["2_smile"], atol=1e-3)
    np.testing.assert_array_equal(mesh.triangles, subjects[1].template.mesh.triangles)
    with pytest.raises(DataError, match="exists"):
        write_study(tmp_path / "study", iter(subjects))


@pytest.mark.parametrize(
    ("population", "vertices", "why"), [("bfm", SMALL, "no population bfm"), ("ict", SMALL, "file"), ("anny", 3, "500")]
)
def test_what_cannot_be_made_is_named(population, vertices, why):
    with pytest.raises(DataError, match=why):
        next(face_study(1, 0, population, vertices=vertices))
