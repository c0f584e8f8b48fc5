"""Small files between stages come back as they were written, and what is no such file is refused."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from processing.errors import DataError
from processing.files.stage_files import read_json, read_vertices, write_json, write_vertices


def test_vertices_come_back_to_the_last_bit_and_files_are_repeatable(tmp_path: Path) -> None:
    vertices = np.random.default_rng(0).normal(size=(50, 3)) * 100
    write_vertices(tmp_path / "a.npz", vertices)
    write_vertices(tmp_path / "b.npz", vertices)
    assert np.array_equal(read_vertices(tmp_path / "a.npz"), vertices)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_vertices_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no vertices")
    with pytest.raises(DataError, match="holds no vertices"):
        read_vertices(tmp_path / "text.npz")
    write_vertices(tmp_path / "nan.npz", np.full((4, 3), np.nan))
    with pytest.raises(DataError, match="not finite"):
        read_vertices(tmp_path / "nan.npz")


@dataclass
class Report:
    mean_mm: float
    views: np.ndarray
    folder: Path
    many: np.ndarray


def test_reports_become_plain_json(tmp_path: Path) -> None:
    report = Report(np.float64(0.5), np.array([1, 2], dtype=np.int32), Path("a"), np.zeros(5000))
    write_json(tmp_path / "r.json", {"report": report, "bad": float("nan"), 3: (np.float32(1.5), None)})
    assert json.loads((tmp_path / "r.json").read_text()) == {
        "report": {"mean_mm": 0.5, "views": [1, 2], "folder": "a"}, "bad": None, "3": [1.5, None],
    }  # fmt: skip
    assert read_json(tmp_path / "r.json")["bad"] is None
    (tmp_path / "r.json").write_text("[1]")
    with pytest.raises(DataError, match="holds a list"):
        read_json(tmp_path / "r.json")
