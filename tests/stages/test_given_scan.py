"""A scan that a person gives: handed on as a surface with all that its vertices have, its faults under its own name."""

from pathlib import Path

import numpy as np
import pytest

from processing.errors import MeshError
from processing.files.ply import read_ply, write_ply
from processing.geometry.mesh import MEASURED, Mesh
from processing.stages.base import Inputs
from processing.stages.substitutes.given_files import GivenScan


def handed_on(scan: Path, out: Path) -> Mesh:
    out.mkdir()
    GivenScan().run(Inputs({"scan": scan}), GivenScan.Params(), out)
    return read_ply(out / "scan.ply")


def test_colours_and_confidence_stay_with_their_vertices(tmp_path: Path) -> None:
    vertices = np.array([[0, 0, 0], [9e4, 0, 0], [90, 0, 0], [0, 90, 0], [90, 90, 0.0]])  # the second is of no face
    colours = np.arange(15, dtype=np.uint8).reshape(5, 3)
    confidence = np.array([1, 0.9, MEASURED, 0.2, 0], np.float32)
    write_ply(
        tmp_path / "mine.ply",
        Mesh(vertices, np.array([[0, 2, 3], [3, 2, 4], [0, 0, 2]]), None, None, colours, confidence),
    )
    scan = handed_on(tmp_path / "mine.ply", tmp_path / "out")
    assert scan.vertices_mm.tolist() == vertices[[0, 2, 3, 4]].tolist()
    assert scan.triangles.tolist() == [[0, 1, 2], [2, 1, 3]]
    assert np.array_equal(scan.colors, colours[[0, 2, 3, 4]])
    assert np.array_equal(scan.confidence, confidence[[0, 2, 3, 4]])


@pytest.mark.parametrize("name", ["mine.ply", "mine.obj"])
def test_a_fault_is_told_under_the_name_that_was_given(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("v 0 0\n")
    with pytest.raises(MeshError, match=f"{tmp_path / name}, line 1: "):
        handed_on(tmp_path / name, tmp_path / "out")
