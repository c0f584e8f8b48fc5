"""What docs/how-to/benchmark.md prints runs as printed: see test_printed_blocks.py for the rule."""

import json
import os
from pathlib import Path

import pytest
from printed_blocks import ROOT, Desk, blocks_of, printed
from small_model import small_model
from tiny_benchmark import tiny_benchmark, write_prediction

from processing.evaluation.board.methods import read_method
from processing.evaluation.metrics.view import view_of

GUIDE = "docs/how-to/benchmark.md"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A benchmark of two images, and meshes of them."""
    made = Desk(tmp_path / "desk", tmp_path / "home", {"PYTHONPATH": os.environ.get("PYTHONPATH", "")})
    bench = tiny_benchmark(made.folder / "lab", subjects=1, focals=(0,), views=(0,))
    for image in bench.images:
        write_prediction(bench, image, made.folder / "MESHES", small_model().topology.mesh.vertices_mm)
    return made


COPIER = """
name = "copier"
command = ["/bin/sh", "-c", "cp MESHES/* $1", "{images}", "{out}"]
"""


@pytest.mark.slow
def test_methods_are_run_and_reported(desk: Desk) -> None:
    (desk.folder / "copier.toml").write_text(COPIER)
    methods = "benchmarks/methods/mien.toml benchmarks/methods/mean-face.toml"
    desk.run(printed("docs/how-to/benchmark.md", "mien benchmark run"), here={methods: "copier.toml"})
    assert json.loads((desk.folder / "results/copier/summary.json").read_text())["success"] == 1
    assert "copier" in (desk.folder / "board/index.html").read_text()


def test_meshes_are_measured(desk: Desk) -> None:
    assert "mine" in desk.run(printed("docs/how-to/benchmark.md", "mien benchmark evaluate"))
    assert json.loads((desk.folder / "results/mine/summary.json").read_text())["success"] == 1


def test_the_example_of_a_method_is_one(tmp_path: Path) -> None:
    (block,) = [b for b in blocks_of((ROOT / GUIDE).read_text(), GUIDE) if b.language == "toml"]
    path = tmp_path / "mine.toml"
    path.write_text(block.text)
    method = read_method(path)
    assert method.words(Path("list"), Path("out"), Path("m.npz"))[-1] == "0.5"


def test_the_cameras_that_are_printed_are_cameras() -> None:
    block = printed("docs/how-to/benchmark.md", '{"projection"')
    assert [view_of(json.loads(line)).as_json()["projection"] for line in block.text.splitlines()] == [
        "perspective",
        "orthographic",
    ]
