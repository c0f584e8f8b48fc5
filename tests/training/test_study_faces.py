"""A study as learners see it: people, frames, maps; and what is wrong with a study's files, told before."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_study import LABELS, SIZE, toy_mesh, write_toy_release, write_toy_study

from common.take_codes import TakeLabel
from processing.files.displacement_map import DisplacementMap
from processing.files.obj import write_obj
from processing.geometry.procrustes import Similarity
from processing.release.formats.tombstones import Tombstone
from processing.training.face_checks import PARTS, check_faces, require_sound
from processing.training.study_faces import StudyError, StudyFaces, resized, split_subjects

ALL = ("mesh", "texture", "displacement")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_study(tmp_path_factory.mktemp("study"))


def lifted(number: int, k: int) -> Any:
    mesh = toy_mesh(number)
    moved = mesh.vertices_mm.copy()
    moved[:, 2] += k * np.exp(-np.square(moved[:, :2] / 30).sum(axis=1))
    return moved


def test_a_folder_is_what_lies_in_it(folder: Path) -> None:
    faces = StudyFaces.open(folder)
    assert faces.subjects == ("S001", "S002", "S003", "S004")
    assert [str(label) for label in faces.labels("S002")] == list(LABELS)
    assert faces.neutral("S002") == TakeLabel(1, "neutral")
    assert (faces.pictured, faces.mosaicked) == (frozenset(faces.subjects), frozenset())
    assert (faces.lineage["layout"], faces.lineage["synthetic"]) == ("folder", None)
    np.testing.assert_allclose(faces.vertices("S003", "1_neutral"), lifted(3, 0), atol=1e-4)
    assert faces.texture("S001", "2_smile", 16).shape == (16, 16, 3)
    height, valid = faces.displacement("S001", "2_smile", SIZE)
    assert (height.dtype, height.shape, valid[:4].any(), valid[4:].all()) == (np.float32, (SIZE, SIZE), False, True)
    assert faces.only(["S002", "S004"]).subjects == ("S002", "S004")
    assert faces.only(["S002"]).lineage == faces.lineage


def test_of_a_folder_the_head_comes_to_rest_where_its_neutral_does(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "study"
    shutil.copytree(folder, home)
    angle = 0.2
    turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    motion = Similarity(1.0, turned, np.array([5.0, -3.0, 8.0]))
    write_obj(home / "S001" / "models_reg" / "3_mouth_stretch.obj", toy_mesh(1).with_vertices(motion(lifted(1, 2))))
    found = StudyFaces.open(home).vertices("S001", "3_mouth_stretch")
    assert np.abs(found - lifted(1, 2)).max() < 0.3  # of 2 mm that the expression moves and 17 that the head did


def test_a_release_says_who_is_in_it_who_is_shown_and_how_meshes_stand(tmp_path: Path) -> None:
    stones = (
        Tombstone("S003", 3, 2, "everything", versions=(2,)),
        Tombstone("S004", 4, 2, "take", takes=("2_smile",), versions=(2,)),
        Tombstone("S001", 1, 1, "everything", versions=(1,)),  # of an earlier version
        Tombstone("faces-1", 0, 2, "model", versions=(2,)),
    )
    release = write_toy_release(tmp_path / "faces", version=2, publishable=(1, 2, 3), mosaicked=(2,), tombstones=stones)
    faces = StudyFaces.open(release)
    assert faces.subjects == ("1", "2", "4")
    assert [str(label) for label in faces.labels("4")] == ["1_neutral", "3_mouth_stretch"]
    assert faces.pictured == {"1"}
    assert faces.mosaicked == {"2"}
    said = dict(faces.lineage)
    assert len(said.pop("sha256")) == 64
    assert said == {"name": "faces", "version": 2, "layout": "release", "synthetic": True}
    for subject in faces.subjects:
        for k, label in enumerate(LABELS):
            if label != "2_smile":
                np.testing.assert_allclose(faces.vertices(subject, label), lifted(int(subject), k), atol=1e-3)


@pytest.mark.parametrize("path", ["none", "file", "empty"])
def test_what_is_no_study_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match="name a release, or a folder of subjects"):
        StudyFaces.open(tmp_path / path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def oblong(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((16, 32, 3), np.uint8))


def other_topology(path: Path) -> None:
    write_obj(path, toy_mesh(1, side=7))


def turned_triangles(path: Path) -> None:
    mesh = toy_mesh(1)
    write_obj(path, type(mesh)(mesh.vertices_mm, mesh.triangles[::-1], mesh.uvs, mesh.triangles[::-1]))


def not_numbers(path: Path) -> None:
    path.write_text(path.read_text().replace("v ", "v nan ", 1))


FAULTS = [
    ("models_reg/2_smile.obj", Path.unlink, "is not there"),
    ("models_reg/2_smile.obj", cut, "triangles|vertices|damaged"),
    ("models_reg/2_smile.obj", other_topology, "49 vertices, and the others have 36"),
    ("models_reg/2_smile.obj", turned_triangles, "other triangles"),
    ("models_reg/2_smile.obj", not_numbers, "no numbers"),
    ("models_reg/1_neutral.obj", Path.unlink, "has no neutral"),
    ("models_reg/3_mouth_stretch.jpg", Path.unlink, "is not there"),
    ("models_reg/3_mouth_stretch.jpg", cut, "damaged"),
    ("models_reg/3_mouth_stretch.jpg", oblong, "is 32 x 16; a texture over UVs is square"),
    ("models_reg/3_mouth_stretch.jpg", lambda p: p.write_bytes(b"no picture"), "damaged"),
    ("dpmap/2_smile.png", Path.unlink, "is not there"),
    ("dpmap/2_smile.png", cut, "is cut short"),
    ("dpmap/2_smile.png", lambda p: p.write_bytes(b""), "is no PNG"),
    ("dpmap/2_smile.png", oblong, "is 32 x 16"),
    ("dpmap/2_smile.png", lambda p: cv2.imwrite(str(p), np.zeros((16, 16), np.uint8)), "8 bits a channel"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "harm", "says"), FAULTS)
def test_one_damaged_file_is_told_with_whose_which_and_what_to_do(
    file: str, harm: Any, says: str, folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "study"
    shutil.copytree(folder, home)
    faces = StudyFaces.open(home)
    assert check_faces(faces, faces.subjects, ALL) == ()
    harm(home / "S003" / file)
    faces = StudyFaces.open(home)
    if file.endswith("smile.obj") and says == "is not there":  # that take is not in the study then
        assert [str(label) for label in faces.labels("S003")] == ["1_neutral", "3_mouth_stretch"]
        return
    problems = check_faces(faces, faces.subjects, ALL)
    assert [p.subject for p in problems] == ["S003"]
    with pytest.raises(StudyError, match=rf"1 of 4 subjects[\s\S]*S003: [\s\S]*({says})[\s\S]*--skip-incomplete"):
        require_sound(problems, 4)
    kinds = {"obj": "mesh", "jpg": "texture", "png": "displacement"}
    others = [part for part in ALL if part != kinds[file[-3:]]]
    if "neutral" not in file:
        assert check_faces(faces, faces.subjects, others) == ()  # who needs no such files is not held up


def test_a_release_whose_file_is_not_as_the_manifest_says_is_told(tmp_path: Path) -> None:
    release = write_toy_release(tmp_path / "faces")
    path = release / "2" / "models_reg" / "2_smile.jpg"
    path.write_bytes(path.read_bytes() + b"\xff\xd9")
    faces = StudyFaces.open(release)
    (problem,) = check_faces(faces, faces.subjects, PARTS)
    assert "and the manifest says" in str(problem)


def test_what_is_missing_is_said_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "study"
    shutil.copytree(folder, home)
    faces = StudyFaces.open(home)
    (home / "S001" / "dpmap" / "2_smile.png").unlink()
    oblong(home / "S001" / "models_reg" / "2_smile.jpg")
    other_topology(home / "S002" / "models_reg" / "2_smile.obj")
    with pytest.raises(StudyError, match=r"S001 has no displacement map of 2_smile"):
        faces.displacement("S001", "2_smile", 8)
    with pytest.raises(StudyError, match="square"):
        faces.texture("S001", "2_smile", 8)
    with pytest.raises(StudyError, match=r"49 vertices and .* begins with 36"):
        faces.vertices("S002", "2_smile")
    with pytest.raises(StudyError, match="no subject S009"):
        faces.labels("S009")


@given(st.sets(st.integers(1, 400), min_size=2, max_size=80), st.floats(0.05, 0.6), st.integers(0, 99))
def test_who_is_held_back_stays_so_as_a_study_grows(numbers: set[int], share: float, seed: int) -> None:
    everybody = tuple(f"S{n:03d}" for n in sorted(numbers))
    train, held = split_subjects(everybody, share, seed)
    assert set(train) | set(held) == set(everybody)
    assert not set(train) & set(held)
    assert train
    assert held
    assert list(train) == sorted(train)
    grown = tuple(f"S{n:03d}" for n in range(1, 401))
    now = set(split_subjects(grown, share, seed)[1])
    if 1 < len(held) < len(everybody) - 1:  # where the share is not met by the nearest alone
        assert set(held) == now & set(everybody)
    assert abs(len(now) / 400 - share) < 0.12


def test_a_share_of_nothing_holds_nobody_back() -> None:
    assert split_subjects(("1", "2"), 0.0, 0) == (("1", "2"), ())
    with pytest.raises(StudyError):
        split_subjects(("1",), 0.1, 0)
    with pytest.raises(StudyError):
        split_subjects(("1", "2"), 1.0, 0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 8]))
def test_a_smaller_map_is_the_mean_of_what_was_measured(seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    height = rng.normal(0, 1, (16, 16)).astype(np.float32)
    valid = rng.uniform(size=(16, 16)) < 0.6
    small, measured = resized(DisplacementMap(height, valid), 16 // times)
    blocks = height.reshape(16 // times, times, 16 // times, times).swapaxes(1, 2).reshape(-1, times * times)
    there = valid.reshape(16 // times, times, 16 // times, times).swapaxes(1, 2).reshape(-1, times * times)
    for value, known, block, mask in zip(small.ravel(), measured.ravel(), blocks, there, strict=True):
        assert known == (mask.mean() >= 0.5 - 1e-6)
        assert value == pytest.approx(block[mask].mean() if mask.any() else block.mean(), abs=1e-4)


def test_a_larger_map_is_measured_where_the_nearest_texel_is() -> None:
    height = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
    valid = np.eye(4, dtype=np.bool_)
    large, measured = resized(DisplacementMap(height, valid), 8)
    assert large.shape == (8, 8)
    np.testing.assert_array_equal(measured, np.kron(valid, np.ones((2, 2), np.bool_)))
