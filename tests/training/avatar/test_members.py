"""From a folder of a study to a task: neutrals, consenting textures, files that are kept, and what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_model import egg_template, small_model

from common.array_types import Floats
from processing.files.image_files import write_image
from processing.files.obj import write_obj
from processing.template.template_file import write_template
from processing.training.avatar import feature_files
from processing.training.avatar.members import gather_members
from processing.training.avatar.settings import AvatarSettings, AvatarTrainingError
from processing.training.avatar.task import make_task
from processing.training.study_faces import StudyFaces

SETTINGS = AvatarSettings(
    size="small", vertices=400, heads=8, photographs=2, of_members=2, shard=4, processes=1, components=4, texture_px=16,
    kept_px=16, occlusion_rays=0, members=2,
)  # fmt: skip
CODES = ("S001", "S002", "S003", "S004")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, template = small_model(), egg_template()
    rng = np.random.default_rng(2)
    for number, code in enumerate(CODES):
        place = tmp_path / "study" / code / "models_reg"
        place.mkdir(parents=True)
        face = model.face(model.sample_identity(rng), np.zeros(len(model.units)))
        write_obj(place / "1_neutral.obj", template.mesh.with_vertices(face))
        write_image(place / "1_neutral.jpg", np.full((32, 32, 3), [200 - 40 * number, 90, 10], np.uint8))
    write_template(tmp_path / "study" / "template.npz", template)
    return tmp_path / "study"


def made_up(rng: np.random.Generator, head_mm: Floats, *_: object) -> Floats:
    return rng.standard_normal((2, 128)).astype(np.float32) + head_mm.mean().astype(np.float32)


def test_a_task_of_a_folder_is_the_same_when_it_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "photograph_features", made_up)
    faces = StudyFaces.open(folder)

    def make(held: tuple[str, ...]):
        return make_task(faces, None, SETTINGS, tmp_path / "data", held_back=held, seed=1)

    first, again = make(CODES[3:]), make(CODES[3:])
    assert np.array_equal(first.heads.heads_mm, again.heads.heads_mm)
    assert np.array_equal(first.members.pool.heads_mm, again.members.pool.heads_mm)
    assert first.members.codes == CODES[:3]
    assert len(first.held.heads_mm) == 1
    assert len(first.members.head.vertices) == 400
    blue = [int(texture[0, 0, 0]) for texture in first.members.textures]
    assert np.abs(np.array(blue) - [200, 160, 120]).max() < 5  # BGR
    first.network.eval()
    assert first.validate()["score"] == pytest.approx(first.validate()["vertices_mm"])
    with pytest.raises(AvatarTrainingError, match="other people's heads"):
        make(())


def test_without_anybody_held_back_some_sampled_heads_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_files, "photograph_features", made_up)
    task = make_task(StudyFaces.open(folder), None, SETTINGS, tmp_path / "data", held_back=(), seed=1)
    assert set(task.held.head) == {7}
    assert len(task.heads.features) == 14


def test_what_a_study_must_say(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = StudyFaces.open(folder)
    gather: Callable[[str], object] = lambda name: gather_members(faces, None, CODES, SETTINGS, tmp_path / name)  # noqa: E731
    monkeypatch.setattr(StudyFaces, "pictured", frozenset())
    with pytest.raises(AvatarTrainingError, match="agreed"):
        gather("a.npz")
    monkeypatch.setattr(StudyFaces, "pictured", frozenset({"S002"}))
    found = gather_members(faces, small_model(), CODES, replace(SETTINGS), tmp_path / "b.npz")
    assert found.pictured == (1,)
    assert len(found.textures) == 1
    (tmp_path / "a.npz").write_bytes(b"nothing")
    with pytest.raises(AvatarTrainingError, match="made again"):
        gather("a.npz")
    (folder / "template.npz").unlink()
    with pytest.raises(AvatarTrainingError, match="--model"):
        gather("c.npz")
