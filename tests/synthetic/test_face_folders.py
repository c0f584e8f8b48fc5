"""Synthetic people as folders: whole or not there, the same whenever and however often they are made."""

import shutil
from pathlib import Path

import pytest

from common.files.hashes import file_sha256
from processing.errors import DataError
from processing.evaluation.lab.folder_source import lab_folders
from processing.synthetic.face_folders import PeopleChoice, write_people

CHOICE = PeopleChoice(count=2, vertices=600, expressions=2, size_px=64)


def hashes(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): file_sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("people")
    assert write_people(out, CHOICE) == ["S001", "S002"]
    return out


def test_each_expression_has_mesh_texture_and_displacement(people: Path) -> None:
    found = lab_folders(people)
    assert [one.code for one in found] == ["S001", "S002"]
    assert all(len(one.labels) == 2 and not one.incomplete and one.labels[0].is_neutral for one in found)


def test_a_call_goes_on_where_another_was_interrupted(people: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(people, begun)
    (begun / "subjects.csv").unlink()
    shutil.rmtree(begun / "S002")
    (begun / ".S002" / "models_reg").mkdir(parents=True)
    write_people(begun, CHOICE)
    told = hashes(begun)
    assert told == hashes(people)


def test_people_of_another_topology_are_not_put_beside_them(people: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(people, there)
    with pytest.raises(DataError, match="another topology"):
        write_people(there, PeopleChoice(count=1, first=2, vertices=900, expressions=1, size_px=64))
    assert hashes(there) == hashes(people)
