from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import DataError
from processing.evaluation.wild.wild_photographs import framed, wild_photographs
from processing.files.image_files import write_image


def test_a_photograph_is_called_by_its_content(tmp_path: Path) -> None:
    for number, name in enumerate(("ann.png", "bob.png", "ann again.png")):
        write_image(tmp_path / name, np.full((8, 8, 3), 40 * (number % 2), np.uint8))
    (tmp_path / "people.csv").write_text("photograph,age,gender\nbob,44,male\n")
    found = wild_photographs(tmp_path)
    assert len(found) == 2
    assert [p.name for p in found] == sorted(p.name for p in found)
    assert not any("ann" in p.name or "bob" in p.name for p in found)
    assert {(p.age, p.gender) for p in found} == {(None, None), (44.0, "male")}
    other = tmp_path / "other"
    other.mkdir()
    write_image(other / "x.png", np.full((8, 8, 3), 40, np.uint8))
    assert wild_photographs(other)[0].name in {p.name for p in found}


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photographs"):
        wild_photographs(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        wild_photographs(tmp_path / "nowhere")


@given(st.floats(60, 300), st.floats(60, 240), st.floats(20, 90), st.sampled_from([64, 150, 256]))
@settings(max_examples=20, deadline=None)
def test_the_square_shows_what_its_matrix_says(x: float, y: float, half: float, size: int) -> None:
    columns, rows = np.meshgrid(np.arange(360.0), np.arange(300.0))
    image = np.stack([columns / 2, rows / 2, columns * 0 + 90], axis=2).round().astype(np.uint8)
    frame = framed(image, np.array([[x - half, y - half], [x + half, y + half]]), size)
    assert frame.picture.shape == (size, size, 3)
    back = np.linalg.inv(frame.to_picture)
    inner = np.array([[u, v, 1.0] for u in (size // 3, size // 2) for v in (size // 3, 2 * size // 3)])
    places = inner @ back.T
    for (u, v, _), (px, py, _) in zip(inner, places, strict=True):
        if 2 < px < 357 and 2 < py < 297:
            np.testing.assert_allclose(frame.picture[int(v), int(u)][:2] * 2.0, [px, py], atol=3.0)
    corners = (np.array([[x - half, y - half, 1], [x + half, y + half, 1]]) @ frame.to_picture.T)[:, :2]
    assert ((corners > 0) & (corners < size)).all()
