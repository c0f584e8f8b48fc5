"""Rows on disk, means over groups, tables and charts: known figures come out where they belong."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.errors import DataError
from processing.evaluation.board.aggregates import MethodScores, focal_groups, mean_of, pose_groups
from processing.evaluation.board.charts import curves_svg, groups_svg
from processing.evaluation.board.published import published_tables
from processing.evaluation.board.score_rows import FIGURES, ScoreRow, read_rows, write_rows
from processing.evaluation.board.tables import as_markdown, board_tables, summary_table

TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=40)
FIGURE = st.floats(1e-6, 1e6)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(TEXTS, st.dictionaries(st.sampled_from(FIGURES), FIGURE), st.none() | st.floats(0, 1e4)), max_size=6
    )
)
def test_rows_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, dict[str, float], float | None]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "scores.csv"
    rows = [
        ScoreRow(f"{k:02d}", f"key{k}", reason, figures, {"subject": "S1", "pose_deg": "30"}, seconds, ("a", "b"))
        for k, (reason, figures, seconds) in enumerate(told)
    ]
    write_rows(path, rows)
    back = read_rows(path)
    assert [row.name for row in back] == [row.name for row in rows]
    for row, was in zip(back, rows, strict=True):
        assert (row.key, row.reason, row.notes, row.number("pose_deg")) == (was.key, was.reason, was.notes, 30.0)
        assert row.number("focal_px") is None
        assert set(row.figures) == set(was.figures)
        for name, value in row.figures.items():
            assert value == pytest.approx(was.figures[name], rel=1e-5)


def test_another_file_is_no_file_of_figures(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no file of figures"):
        read_rows(path)


def rows_of(offset: float) -> list[ScoreRow]:
    """Two images at each pose and focal length, whose CD is pose / 10 + focal / 1000 + offset; one failure a pose."""
    rows = []
    for pose in (0, 30, 60):
        for focal in (1200, 300):
            about = {"pose_deg": str(pose), "focal_px": str(focal), "bin": str(pose)}
            cd = pose / 10 + focal / 1000 + offset
            figures = {"cd_mm": cd, "published_cd_mm": 2 * cd, "mne_rad": 0.1, "completeness": 0.5 + offset / 10}
            rows += [ScoreRow(f"{pose}_{focal}_{k}", "", "", figures, about) for k in range(2)]
        rows.append(ScoreRow(f"{pose}_failed", "", "no face was found", {}, {"pose_deg": str(pose), "focal_px": "300"}))
    return rows


def test_means_are_of_the_images_that_succeeded_and_all_count_for_success() -> None:
    rows = rows_of(0.0)
    poses = pose_groups("lab", rows)
    assert [group.label for group in poses] == ["0°", "30°", "60°"]
    assert [mean_of(group.of(rows), "cd_mm") for group in poses] == pytest.approx([0.75, 3.75, 6.75])
    longest = pose_groups("lab", rows, long_alone=True)
    assert [mean_of(group.of(rows), "cd_mm") for group in longest] == pytest.approx([1.2, 4.2, 7.2])
    focal = focal_groups(rows)
    assert [(group.label, mean_of(group.of(rows), "cd_mm")) for group in focal] == [
        ("1200 px", pytest.approx(4.2)),
        ("300 px", pytest.approx(3.3)),
    ]
    assert MethodScores("a", rows).success == pytest.approx(12 / 15)
    assert mean_of(rows, "icp_mm") is None


def test_wild_images_are_grouped_by_their_bin() -> None:
    rows = [
        ScoreRow(str(k), "", "", {"cd_mm": float(k)}, {"bin": label})
        for k, label in enumerate(("0-5", "5-30", "5-30", "60-90"))
    ]
    groups = pose_groups("wild", rows)
    assert [(group.label, mean_of(group.of(rows), "cd_mm")) for group in groups] == [
        ("0-5°", 0.0),
        ("5-30°", 1.5),
        ("60-90°", 3.0),
    ]


def test_tables_mark_the_best_and_print_what_is_missing() -> None:
    methods = [MethodScores("ours", rows_of(0.0), "the | best"), MethodScores("theirs", rows_of(1.0))]
    tables = {table.title: table for table in board_tables("lab", methods)}
    published = tables["By pose, as published (the paper's table 3)"]
    ours, theirs = (dict(published.rows)[name] for name in ("ours", "theirs"))
    assert (ours[0].text, ours[0].best, theirs[0].text, theirs[0].best) == ("2.40", True, "4.40", False)
    assert ours[-1].text == "80.0"
    should = tables["By pose, as it should be"]
    assert [label for label, _ in should.groups] == ["0°", "30°", "60°", ""]
    cells = dict(zip(should.heads, dict(should.rows)["theirs"], strict=False))
    assert cells["CR %"].best  # more of the face is better
    assert cells["normals °"].text == "5.73"
    text = as_markdown(published)
    assert "| ours | **2.40**" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {6}
    assert "the \\| best" in as_markdown(summary_table(methods))


def test_the_papers_figures_are_marked_as_other_data() -> None:
    (second,) = published_tables("wild")
    third, fourth = published_tables("lab")
    for table in (second, third, fourth):
        assert "other data" in table.title
        assert len(table.rows) == 14
        assert not any(cell.best for _, cells in table.rows for cell in cells)
    assert [cell.text for cell in dict(third.rows)["FaceScape(Opti.)"]][:3] == ["3.21", "0.090", "94.2"]
    assert [cell.text for cell in dict(third.rows)["DF2Net"]][6:9] == ["–", "–", "–"]  # printed as -1 there


def test_charts_draw_a_line_a_method_through_its_means() -> None:
    rows = rows_of(0.0)
    methods = [MethodScores("ours", rows), MethodScores("none <&>", [r for r in rows if not r.succeeded])]
    picture = ElementTree.fromstring(groups_svg("CD", methods, pose_groups("lab", rows), "cd_mm", "mm"))
    circles = [e for e in picture.iter() if e.tag.endswith("circle")]
    assert len(circles) == 3
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)  # 3 mm each
    curve = curves_svg("All", methods, "cd_mm", 10.0)
    ElementTree.fromstring(curve)
    last = re.findall(r'points="[^"]*,([\d.]+)"', curve)
    top, base = 46.0, 330.0
    assert float(last[0]) == pytest.approx(base - (base - top) * 12 / 15, abs=0.2)  # failures are within no distance
    assert float(last[1]) == pytest.approx(base, abs=0.2)
