"""Tables of facial animation: as the app writes them, and after what spreadsheets and people do to them."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_link_tables import NAMES, cells_of, recording, timecode, write_table

from processing.animation.live_link_face import FacialAnimation, LiveLinkError, read_live_link_face
from processing.animation.timecodes import Timecode
from processing.template.face_units import ARKIT_UNITS

JAW = 2 + NAMES.index("JawOpen")
Cells = list[list[str]]


def read(tmp_path: Path, cells: Cells, separator: str = ",", **given: Any) -> FacialAnimation:
    return read_live_link_face(write_table(tmp_path / "take.csv", cells, separator), **given)


def refused(tmp_path: Path, cells: Cells, words: str, separator: str = ",", **given: Any) -> None:
    with pytest.raises(LiveLinkError, match=words) as caught:
        read(tmp_path, cells, separator, **given)
    assert "take.csv" in str(caught.value)


def test_what_the_app_writes_is_read_as_it_is(tmp_path: Path) -> None:
    values = recording()
    found = read(tmp_path, cells_of(values))
    np.testing.assert_allclose(found.weights, values[:, :52], atol=1e-9)
    np.testing.assert_allclose(found.head, values[:, 52:55], atol=1e-9)
    np.testing.assert_allclose(found.eyes.reshape(-1, 6), values[:, 55:], atol=1e-9)
    np.testing.assert_allclose(found.times_s, np.arange(12) / 60, atol=1e-9)
    assert found.rate == 60
    assert found.present.all()
    assert not found.notes


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 20))
def test_columns_in_any_order_are_the_same(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("order")
    cells = cells_of(recording(seed))
    order = np.random.default_rng(seed).permutation(len(cells[0]))
    other = read(folder, [[row[k] for k in order] for row in cells])
    np.testing.assert_array_equal(other.weights, read(folder, cells).weights)


def semicolons(cells: Cells, path: Path) -> None:
    write_table(path, [[cell.replace(".", ",") if k > 1 else cell for k, cell in enumerate(r)] for r in cells], ";")


def excel_utf16(cells: Cells, path: Path) -> None:
    path.write_bytes("\r\n".join("\t".join(row) for row in cells).encode("utf-16"))


def byte_order_mark(cells: Cells, path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(",".join(row) for row in cells).encode())


def quoted_commas(cells: Cells, path: Path) -> None:
    path.write_text(
        "\n".join(",".join(f'"{c.replace(".", ",") if k > 1 else c}"' for k, c in enumerate(r)) for r in cells)
    )


def other_names(cells: Cells, path: Path) -> None:
    names = [f"{n[:-4]}_L" if n.endswith("Left") else f"{n[:-5]}_R" if n.endswith("Right") else n for n in cells[0]]
    write_table(path, [[name[0].lower() + name[1:] for name in names], *cells[1:]])


def padded(cells: Cells, path: Path) -> None:
    path.write_text("\n\n" + "\n".join(", ".join(row) + ",," for row in cells) + "\n,,,,\n\n")


@pytest.mark.parametrize("spoil", [semicolons, excel_utf16, byte_order_mark, quoted_commas, other_names, padded])
def test_ways_of_writing_it_are_read_alike(spoil: Callable[[Cells, Path], None], tmp_path: Path) -> None:
    cells = cells_of(recording())
    spoil(cells, tmp_path / "other.csv")
    np.testing.assert_array_equal(read_live_link_face(tmp_path / "other.csv").weights, read(tmp_path, cells).weights)


def test_what_is_missing_stays_at_rest_and_is_told(tmp_path: Path) -> None:
    cells = [row[:JAW] + row[JAW + 1 : 54] for row in cells_of(recording())]
    found = read(tmp_path, cells)
    assert not found.weights[:, ARKIT_UNITS.index("jawOpen")].any()
    assert not found.present[ARKIT_UNITS.index("jawOpen")]
    assert not found.turns
    assert any("jawOpen" in note for note in found.notes)


def test_columns_beside_and_columns_twice_are_told(tmp_path: Path) -> None:
    cells = [[*row, row[JAW] if k else "JawOpen", "7" if k else "Mood"] for k, row in enumerate(cells_of(recording()))]
    notes = " ".join(read(tmp_path, cells).notes)
    assert "Mood" in notes
    assert "twice" in notes


def test_no_timecodes_and_sixty_one_columns(tmp_path: Path) -> None:
    found = read(tmp_path, [row[2:] for row in cells_of(recording())])
    np.testing.assert_allclose(found.times_s, np.arange(12) / 60)
    assert "no column 'Timecode'" in found.notes[0]
    np.testing.assert_allclose(
        read(tmp_path, [row[2:] for row in cells_of(recording())], rate=30).times_s, np.arange(12) / 30
    )


def test_dropped_frames_keep_their_time(tmp_path: Path) -> None:
    cells = cells_of(recording())
    found = read(tmp_path, cells[:4] + cells[7:])
    np.testing.assert_allclose(found.times_s, np.delete(np.arange(12), [3, 4, 5]) / 60, atol=1e-9)
    assert any("3 frames dropped" in note for note in found.notes)


def test_over_midnight_it_goes_on(tmp_path: Path) -> None:
    found = read(tmp_path, cells_of(recording(), first=24 * 3600 * 60 - 5))
    np.testing.assert_allclose(found.times_s, np.arange(12) / 60, atol=1e-6)


def test_a_recording_at_thirty_is_known_by_its_frames(tmp_path: Path) -> None:
    found = read(tmp_path, cells_of(recording(frames=150), rate=30, first=3600 * 30))
    assert found.rate == 30
    np.testing.assert_allclose(found.times_s[-1], 149 / 30, atol=1e-6)
    refused(tmp_path, cells_of(recording(frames=150)), "was not recorded at 30", rate=30.0)


@pytest.mark.parametrize("rate", [30, 60])
def test_drop_frame_keeps_the_clock_on_the_wall(rate: int) -> None:
    """Ten minutes of drop-frame numbers are ten minutes, but for some thousandths of a frame."""
    code = Timecode.parse("00:10:00;00")
    assert code is not None
    assert code.at_s(rate) == pytest.approx(600, abs=0.02)
    before, after = Timecode.parse(f"00:00:59;{rate - 1:02d}"), Timecode.parse(f"00:01:00;{rate // 15:02d}")
    assert before is not None
    assert after is not None
    assert after.at_s(rate) - before.at_s(rate) == pytest.approx(1.001 / rate)


def test_rows_of_no_face_a_second_header_and_a_cut_last_line(tmp_path: Path) -> None:
    cells = cells_of(recording())
    without = [cells[5][0], "0"]
    found = read(tmp_path, [*cells[:5], without, *cells[6:8], cells[0], *cells[8:], ["14:00:01"]])
    assert len(found.times_s) == 11
    notes = " ".join(found.notes)
    assert "without a face" in notes
    assert "stands in it 2 times" in notes
    assert "cut short" in notes


def test_a_timecode_that_stands_in_it_twice(tmp_path: Path) -> None:
    cells = cells_of(recording())
    cells[4][0] = cells[5][0]
    found = read(tmp_path, cells)
    assert len(found.times_s) == 11
    np.testing.assert_allclose(found.weights[3], np.array(cells[5][2:54], float)[_order()], atol=1e-9)


def _order() -> list[int]:
    return [NAMES.index(name[0].upper() + name[1:]) for name in ARKIT_UNITS]


@pytest.mark.parametrize("hole", ["", "NaN", "nan", "inf"])
def test_holes_are_filled_between_their_neighbours(hole: str, tmp_path: Path) -> None:
    cells = cells_of(recording())
    cells[3][JAW], cells[4][JAW], cells[5][JAW] = "0.2", hole, "0.6"
    found = read(tmp_path, cells)
    assert found.weights[3, ARKIT_UNITS.index("jawOpen")] == pytest.approx(0.4)
    assert any("filled evenly" in note for note in found.notes)


def test_a_column_of_nothing_stays_at_rest(tmp_path: Path) -> None:
    cells = cells_of(recording())
    for row in cells[1:]:
        row[JAW] = ""
    assert any("without a number" in note for note in read(tmp_path, cells).notes)


def test_overshoot_is_cut_and_percent_refused(tmp_path: Path) -> None:
    cells = cells_of(recording())
    cells[3][JAW], cells[4][JAW] = "1.02", "-0.01"
    found = read(tmp_path, cells)
    assert found.weights[2:4, ARKIT_UNITS.index("jawOpen")].tolist() == [1, 0]
    cells[3][JAW] = "42"
    refused(tmp_path, cells, "line 4, jawOpen: 42 is no weight of 0 to 1. Are they percent")


def test_degrees_are_known_by_their_size(tmp_path: Path) -> None:
    values = recording()
    values[:, 52] = np.linspace(0, 20, 12)
    found = read(tmp_path, cells_of(values))
    assert found.head[-1, 0] == pytest.approx(np.radians(20))
    assert any("degrees" in note for note in found.notes)
    values[:, 52] = 1
    assert read(tmp_path, cells_of(values), degrees=True).head[0, 0] == pytest.approx(np.radians(1))
    values[0, 52] = 999
    refused(tmp_path, cells_of(values), "neither radians nor degrees")


def test_what_cannot_be_mended_says_where(tmp_path: Path) -> None:
    cells = cells_of(recording())
    broken = [list(row) for row in cells]
    broken[3][JAW] = "open"
    refused(tmp_path, broken, "line 4, JawOpen: 'open' is no number")
    refused(tmp_path, [*cells[:3], cells[3][:9], *cells[4:]], "line 4 has 9 cells under 63 names")
    refused(tmp_path, [cells[0], *([c.replace(".", ",") for c in row] for row in cells[1:])], "decimal points commas")
    refused(tmp_path, [*cells, *cells[1:]], "line 14: its timecode .* two recordings")
    refused(tmp_path, [cells[0], ["quarter past", *cells[1][1:]]], "line 2: 'quarter past' is no timecode")
    refused(tmp_path, cells[:1], "no rows")
    refused(tmp_path, [["a", "b"], ["1", "2"]], "no recording of Live Link Face")
    refused(tmp_path, [[""]], "is empty")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mov").write_bytes(b"\x00\x00\x00\x14ftypqt  \xff\xd8\x81" * 20)
    with pytest.raises(LiveLinkError, match="no text in UTF-8"):
        read_live_link_face(tmp_path / "film.mov")
    with pytest.raises(LiveLinkError, match="No such file"):
        read_live_link_face(tmp_path / "none.csv")
    with pytest.raises(LiveLinkError, match="folder"):
        read_live_link_face(tmp_path)


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_text("Timecode,JawOpen\n" + text, encoding="utf-8")
    with suppress(LiveLinkError):
        assert np.isfinite(read_live_link_face(path).weights).all()


def test_a_rig_gets_its_own_units_and_is_told_what_it_lacks(tmp_path: Path) -> None:
    found = read(tmp_path, cells_of(np.ones((2, 61)) * 0.5))
    weights, lacking = found.for_units(["jawOpen", "ownUnit", "browInnerUp"])
    np.testing.assert_array_equal(weights, [[0.5, 0, 0.5], [0.5, 0, 0.5]])
    assert len(lacking) == 50
    assert "mouthSmileLeft" in lacking


def test_timecodes_are_written_as_they_are_read() -> None:
    code = Timecode.parse(timecode(60 * 3600 * 5 + 7))
    assert code is not None
    assert code.at_s(60) == pytest.approx(5 * 3600 + 7.207 / 60)
    assert Timecode.parse("25:00:00:00") is None
    assert Timecode.parse("1 pm") is None
