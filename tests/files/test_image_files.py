from pathlib import Path

import numpy as np
import pytest

from processing.errors import DataError
from processing.files.image_files import read_image, write_image


def test_pictures(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", picture)
    assert np.array_equal(read_image(tmp_path / "a.png"), picture)
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_image(tmp_path / "b.png")


def test_jpeg_is_known_by_each_of_its_suffixes(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.jpg", "a.JPG", "a.jpeg"):
        write_image(tmp_path / name, picture, jpeg_quality=40)
    sizes = {path.stat().st_size for path in tmp_path.iterdir()}
    assert len(sizes) == 1


def test_alpha_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (8, 9, 4), dtype=np.uint8)
    write_image(tmp_path / "a.png", picture)
    assert np.array_equal(read_image(tmp_path / "a.png", alpha=True), picture)
    assert read_image(tmp_path / "a.png").shape == (8, 9, 3)


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    write_image(tmp_path / "a.png", picture)
    with pytest.raises(DataError, match="cannot be encoded"):
        write_image(tmp_path / "a.png", np.zeros((4, 4, 7), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert np.array_equal(read_image(tmp_path / "a.png"), picture)
