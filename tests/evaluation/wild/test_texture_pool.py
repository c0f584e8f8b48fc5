from pathlib import Path

import numpy as np
import pytest

from processing.evaluation.wild.texture_pool import TextureError, TexturePool, skin_colour
from processing.files.image_files import write_image
from processing.single_view.appearance.lighting import linear

COLOURS = {"S1": (120, 160, 210), "S2": (60, 85, 125), "S3": (90, 120, 170), "S4": (125, 165, 215), "S5": (40, 60, 90)}
PEOPLE = "code,age,gender\nS1,24,female\nS2,61,male\nS3,30,m\nS4,70,f\nS5,-,-\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for code, colour in COLOURS.items():
        folder = tmp_path / code / "models_reg"
        folder.mkdir(parents=True)
        write_image(folder / "2_smile.jpg", np.full((64, 64, 3), colour, np.uint8))
    (tmp_path / "subjects.csv").write_text(PEOPLE)
    return tmp_path


def test_age_and_gender_choose(source: Path) -> None:
    pool = TexturePool.of_folder(source)
    drawn = [pool.by_person(66.0, "female", np.random.default_rng(seed)) for seed in range(40)]
    counts = {code: sum(t is not None and t.code == code for t in drawn) for code in COLOURS}
    assert counts["S5"] == 0
    assert pool.by_person(None, None, np.random.default_rng(0)) is None


def test_the_skins_colour_chooses_whatever_the_exposure(source: Path) -> None:
    pool = TexturePool.of_folder(source)
    dark = linear(np.array([90.0, 60.0, 40.0]))
    codes = {pool.by_colour(dark * 1.3, np.random.default_rng(seed)).code for seed in range(30)}
    assert "S5" in codes
    assert len(codes) == 4
    assert not {"S1", "S4"} <= codes


def test_a_textures_skin_is_read_where_cheeks_are() -> None:
    texture = np.full((64, 64, 3), (120, 160, 210), np.uint8)
    texture[:8] = 0
    np.testing.assert_allclose(skin_colour(texture), linear(np.array([210.0, 160.0, 120.0])))


def test_who_must_not_be_shown_is_not(source: Path) -> None:
    assert [t.code for t in TexturePool.of_folder(source, ["S1", "S2"]).textures] == ["S3", "S4", "S5"]


@pytest.mark.parametrize("rows", ["code,age,gender\nS1,old,female\n", "code,age,gender\nS1,20,x\n", "who,age\nS1,2\n"])
def test_a_table_that_cannot_be_used_is_refused(source: Path, rows: str) -> None:
    (source / "subjects.csv").write_text(rows)
    with pytest.raises(TextureError, match=r"subjects\.csv"):
        TexturePool.of_folder(source)


def test_a_folder_without_textures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextureError, match="models_reg"):
        TexturePool.of_folder(tmp_path)
