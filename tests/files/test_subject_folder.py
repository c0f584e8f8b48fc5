"""Every folder of a subject that holds photographs is a take, or is named."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.take_codes import TakeLabel
from processing.errors import TakeError
from processing.files.subject_folder import find_takes, label_of_folder


def put(folder: Path, name: str = "params.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("{}")
    return folder


@given(st.integers(1, 99), st.sampled_from(["", "0", "00"]), st.sampled_from("_- ."), st.sampled_from("_- ."),
       st.sampled_from([str.lower, str.upper, str.title]))  # fmt: skip
def test_a_take_is_understood_however_it_is_written(
    number: int, zeros: str, first: str, second: str, case: type[str]
) -> None:
    name = case(f"{zeros}{number}{first}mouth{second}stretch")
    assert label_of_folder(Path("/nowhere") / name) == TakeLabel(number, "mouth_stretch")


@pytest.mark.parametrize("name", ["smile", "take_2", "0_neutral", "2", "2smile", "2_", "2026-11-29 morning", "2_été"])
def test_other_names_are_no_takes(name: str) -> None:
    assert label_of_folder(Path("/nowhere") / name) is None


def test_takes_of_a_subject_come_in_order(tmp_path: Path) -> None:
    for name in ("10_dimpler", "1_neutral", "2_Smile", "03-mouth-stretch"):
        put(tmp_path / name)
    (tmp_path / "notes").mkdir()
    (tmp_path / "4 notes").mkdir()
    found = find_takes(tmp_path)
    assert [p.name for p in found.takes.values()] == ["1_neutral", "2_Smile", "03-mouth-stretch", "10_dimpler"]
    assert [str(label) for label in found.takes] == ["1_neutral", "2_smile", "3_mouth_stretch", "10_dimpler"]
    assert not found.passed_over


@pytest.mark.parametrize(
    ("folder", "file"),
    [("smile", "params.json"), ("extra", "IMG_1.JPG"), (".2_smile", "0.jpg"), ("session1/2_smile", "params.json"),
     ("1_neutral/masks", "0.png"), ("2", "0.jpeg"), ("raw files", "0.CR3"), ("a/b/c/d", "0.tif"), ("2_été", "0.jpg")],
)  # fmt: skip
def test_a_folder_that_is_passed_over_is_named(tmp_path: Path, folder: str, file: str) -> None:
    put(tmp_path / "1_neutral")
    put(tmp_path / folder, file)
    found = find_takes(tmp_path)
    assert [str(label) for label in found.takes] == ["1_neutral"]
    (said,) = found.passed_over
    assert said.startswith(f"{folder} is passed over")
    assert ("params.json" if file == "params.json" else "1 photograph") in said


def test_photographs_beside_the_takes_are_named(tmp_path: Path) -> None:
    put(tmp_path / "1_neutral")
    put(tmp_path, "portrait.jpg")
    assert "photographs belong into a take's folder" in find_takes(tmp_path).passed_over[0]


def test_many_folders_are_told_in_one_line_and_results_not_at_all(tmp_path: Path) -> None:
    put(tmp_path / "1_neutral")
    for k in range(30):
        put(tmp_path / "old" / f"{k}_smile")
    put(tmp_path / "out" / "models_reg", "1_neutral.jpg")
    (said,) = find_takes(tmp_path, tmp_path / "out").passed_over
    assert said.startswith("old is passed over: 30 folders")
    assert len(find_takes(tmp_path).passed_over) == 2


def test_two_folders_that_mean_one_take_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "2_smile")
    put(tmp_path / "02_Smile")
    with pytest.raises(TakeError, match="are both take 2_smile"):
        find_takes(tmp_path)


def test_a_folder_without_takes_says_what_it_holds(tmp_path: Path) -> None:
    put(tmp_path / "subject" / "session1" / "1_neutral")
    with pytest.raises(TakeError, match="session1/1_neutral"):
        find_takes(tmp_path / "subject")
    put(tmp_path / "take")
    with pytest.raises(TakeError, match="is a take itself"):
        find_takes(tmp_path / "take")
    with pytest.raises(TakeError, match="is not a folder"):
        find_takes(tmp_path / "nothing")
