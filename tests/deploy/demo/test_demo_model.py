"""`mien demo --model`: a model of a release's subject and the synthetic people beside it, made once."""

import pytest

from deploy.demo.demo_model import PEOPLE, build_demo_model
from processing.face_models.model_file import read_model
from processing.files.obj import write_obj
from processing.synthetic.face_study import face_study

pytestmark = pytest.mark.slow


def test_a_model_of_a_release_and_of_people_beside_it(tmp_path):
    release = tmp_path / "releases/demo-1"
    (subject,) = face_study(1, seed=3)
    for label in ("1_neutral", "2_smile", "3_mouth_stretch"):
        mesh = subject.template.mesh.with_vertices(subject.meshes[label])
        write_obj(release / f"1/models_reg/{label}.obj", mesh)
    made = build_demo_model(release, tmp_path / "model", seed=7)
    assert made.members == PEOPLE + 1
    assert read_model(made.model).card.members == PEOPLE + 1
    assert made.pictures
    assert all(path.is_file() for path in made.pictures)
    before = made.model.stat().st_mtime_ns
    again = build_demo_model(release, tmp_path / "model", seed=7)
    assert again == made
    assert made.model.stat().st_mtime_ns == before
    assert not (tmp_path / "model/work").exists()
