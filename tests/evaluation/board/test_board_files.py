"""A benchmark of known faces, methods whose errors are known: figures, failures, resumption, the page."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fast_evaluator import fast_evaluation
from small_model import small_model
from tiny_benchmark import face_of, tiny_benchmark, write_prediction
from typer.testing import CliRunner

from processing.commands.benchmark import app
from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark
from processing.evaluation.board import evaluating
from processing.evaluation.board.board_files import RunChoice, chosen_images, evaluate_meshes, run_methods
from processing.evaluation.board.meshes import prediction_hash
from processing.evaluation.board.report_files import write_board
from processing.evaluation.board.score_rows import SCORES, read_rows
from processing.evaluation.metrics.predictions import read_prediction
from processing.files.obj import write_obj
from processing.files.ply import write_ply
from processing.geometry.mesh import Mesh

# Copies the folder of meshes that [values] name; what it is told of the focal length goes into a file of its own.
COPIER = """
import csv, pathlib, shutil, sys
images, out, folder = (pathlib.Path(word) for word in sys.argv[1:4])
for row in csv.DictReader(images.open(newline="")):
    if row["name"] in sys.argv[4:]:
        sys.exit("no luck with " + row["name"])
    for path in folder.glob(row["name"] + ".*"):
        shutil.copy(path, out / path.name)
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return tiny_benchmark(tmp_path_factory.mktemp("tiny") / "bench")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured is not what these tests are about."""
    monkeypatch.setattr(evaluating, "evaluate_image", fast_evaluation)


@pytest.fixture(scope="module")
def meshes(bench: Benchmark) -> dict[str, Path]:
    """Folders of meshes: the true faces; the true faces 2 mm in front of the nose's side; the mean face."""
    found = {name: bench.folder.parent / name for name in ("exact", "aside", "mean")}
    for image in bench.images:
        face = face_of(int(image.subject[1:]))
        write_prediction(bench, image, found["exact"], face)
        write_prediction(bench, image, found["aside"], face + np.array([2.0, 0.0, 0.0]))
        write_prediction(bench, image, found["mean"], small_model().topology.mesh.vertices_mm)
    return found


def method(folder: Path, meshes: Path, *, broken: str = "", name: str = "copier") -> Path:
    (folder / "copier.py").write_text(COPIER)
    path = folder / f"{name}.toml"
    path.write_text(
        f'name = "{name}"\ndescription = "copies"\nprojection = "the true one"\n'
        f'command = ["{{python}}", "-S", "{{here}}/copier.py", "{{images}}", "{{out}}", "{{meshes}}", "{broken}"]\n'
        f'[values]\nmeshes = "{meshes}"\n'
    )
    return path


def test_the_true_face_is_perfect_and_one_aside_is_as_far_off_as_it_is(
    bench: Benchmark, meshes: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("exact", "aside"):  # by the evaluator itself, in processes of its own
        done = evaluate_meshes(bench.folder, meshes[name], name, tmp_path, only=["0?_0_00"], workers=2)
        assert (done.images, done.failed, done.measured) == (2, 0, 2)
    rows = {name: read_rows(tmp_path / name / SCORES) for name in ("exact", "aside")}
    for row in rows["exact"]:
        assert row.figures["cd_mm"] < 1e-3
        assert row.figures["completeness"] == 1
        assert row.figures["corresponding_mm"] < 1e-3
    for row in rows["aside"]:
        assert row.figures["corresponding_mm"] == pytest.approx(2.0, abs=0.1)  # no shift in depth takes it away
        assert 0.1 < row.figures["cd_mm"] < 2.1
        assert row.figures["corresponding_similarity_mm"] < 1e-3


@pytest.mark.usefixtures("fast")
def test_means_are_of_images_and_of_groups(bench: Benchmark, meshes: dict[str, Path], tmp_path: Path) -> None:
    evaluate_meshes(bench.folder, meshes["mean"], "mean", tmp_path, workers=1)
    rows = read_rows(tmp_path / "mean" / SCORES)
    summary = json.loads((tmp_path / "mean/summary.json").read_text())
    assert summary["means"]["cd_mm"] == pytest.approx(np.mean([r.figures["cd_mm"] for r in rows]), rel=1e-4)
    assert list(summary["by_group"]) == ["0°", "30°", "60°", "1200 px", "300 px"]
    assert summary["by_group"]["30°"]["images"] == 4


@pytest.mark.usefixtures("fast")
def test_only_what_changed_is_measured_again(bench: Benchmark, meshes: dict[str, Path], tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for path in meshes["mean"].iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    assert evaluate_meshes(bench.folder, own, "own", tmp_path / "out", workers=1).measured == 12
    assert evaluate_meshes(bench.folder, own, "own", tmp_path / "out", workers=1).measured == 0
    changed = bench.images[3]
    write_prediction(bench, changed, own, face_of(int(changed.subject[1:])))
    assert evaluate_meshes(bench.folder, own, "own", tmp_path / "out", workers=1).measured == 1
    rows = {row.name: row for row in read_rows(tmp_path / "out/own" / SCORES)}
    assert rows[changed.name].figures["cd_mm"] < 1e-3


@pytest.mark.usefixtures("fast")
def test_another_evaluator_measures_anew_and_old_figures_are_not_reported(
    bench: Benchmark, meshes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_meshes(bench.folder, meshes["mean"], "mean", tmp_path, workers=1, only=["00_0_*"])
    monkeypatch.setattr("processing.evaluation.board.report_files.evaluator_version", lambda: "another")
    with pytest.raises(DataError, match="another version of the evaluator"):
        write_board(tmp_path, tmp_path / "page")
    monkeypatch.setattr(evaluating, "evaluator_version", lambda: "another")
    assert evaluate_meshes(bench.folder, meshes["mean"], "mean", tmp_path, workers=1, only=["00_0_*"]).measured == 3


@pytest.mark.usefixtures("fast")
def test_failures_have_their_reasons_and_count(bench: Benchmark, meshes: dict[str, Path], tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    names = [image.name for image in bench.images]
    for path in meshes["mean"].iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    (own / f"{names[0]}.ply").unlink()
    (own / f"{names[1]}.ply").write_bytes((own / f"{names[1]}.ply").read_bytes()[:900])
    (own / f"{names[2]}.camera.json").write_text('{"projection": "fisheye"}')
    face = face_of(0)
    write_prediction(bench, bench.images[3], own, np.full_like(face, np.nan))
    write_prediction(bench, bench.images[4], own, face + np.array([5000.0, 0.0, 0.0]))
    done = evaluate_meshes(bench.folder, own, "own", tmp_path / "out", workers=1)
    assert (done.images, done.failed) == (12, 5)
    reasons = {row.name: row.reason for row in read_rows(tmp_path / "out/own" / SCORES)}
    assert reasons[names[0]] == "there is no mesh"
    assert reasons[names[1]].startswith("its mesh cannot be used")
    assert "fisheye" in reasons[names[2]]
    assert reasons[names[3]]
    assert reasons[names[4]]
    assert all(not reasons[name] for name in names[5:])
    summary = json.loads((tmp_path / "out/own/summary.json").read_text())
    assert summary["success"] == pytest.approx(7 / 12)
    assert set(summary["failed"]) == set(names[:5])


@pytest.mark.usefixtures("fast")
def test_a_method_is_run_measured_and_goes_on(bench: Benchmark, meshes: dict[str, Path], tmp_path: Path) -> None:
    out, broken = tmp_path / "out", bench.images[2].name
    path = method(tmp_path, meshes["exact"], broken=broken)
    (first,) = run_methods(bench.folder, [path], out, RunChoice(only=("S0",), workers=1))
    assert (first.images, first.failed, first.made, first.measured) == (6, 1, 6, 5)
    (all_of_it,) = run_methods(bench.folder, [path], out, RunChoice(workers=1))
    assert (all_of_it.images, all_of_it.failed, all_of_it.made, all_of_it.measured) == (12, 1, 6, 6)
    (again,) = run_methods(bench.folder, [path], out, RunChoice(only=("S1",), workers=1))
    assert (again.images, again.made, again.measured) == (12, 0, 0)  # what was measured before stays on the board
    with (out / "copier" / SCORES).open(newline="") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    assert len(lines) == 12
    assert f"no luck with {broken}" in lines[broken]["reason"]
    assert lines[broken]["cd_mm"] == ""
    assert float(lines[bench.images[0].name]["seconds"]) > 0


@pytest.mark.usefixtures("fast")
def test_two_methods_of_one_name_or_results_of_another_benchmark_are_refused(
    bench: Benchmark, meshes: dict[str, Path], tmp_path: Path
) -> None:
    path = method(tmp_path, meshes["exact"])
    with pytest.raises(DataError, match="two methods are called copier"):
        run_methods(bench.folder, [path, path], tmp_path / "out", RunChoice())
    other = tiny_benchmark(tmp_path / "other", subjects=1, focals=(1,))
    evaluate_meshes(bench.folder, meshes["mean"], "mean", tmp_path / "out", workers=1, only=["00_0_00"])
    with pytest.raises(DataError, match="holds results of benchmark tiny"):
        evaluate_meshes(other.folder, meshes["mean"], "mean", tmp_path / "out")


def test_images_are_chosen_by_name_or_subject(bench: Benchmark) -> None:
    assert [image.name for image in chosen_images(bench, ["01_2_*"])] == ["01_2_00", "01_2_08", "01_2_09"]
    assert len(chosen_images(bench, ["S1", "00_0_00"])) == 7
    with pytest.raises(DataError, match="no image or subject"):
        chosen_images(bench, ["S7"])


@pytest.mark.usefixtures("fast")
def test_the_page_has_tables_charts_pictures_and_failures(
    bench: Benchmark, meshes: dict[str, Path], tmp_path: Path
) -> None:
    results, page, broken = tmp_path / "results", tmp_path / "page", bench.images[2].name
    path = method(tmp_path, meshes["exact"], broken=broken)
    run = CliRunner().invoke(
        app, ["run", str(bench.folder), str(path), "--out", str(results), "--workers", "1", "--json"]
    )
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["methods"][0]["failed"] == 1
    for name, only in (("aside", ["S0"]), ("mean", [])):
        evaluate_meshes(bench.folder, meshes[name], name, results, workers=1, only=only)
    told = CliRunner().invoke(app, ["report", str(results), "--out", str(page), "--published"])
    assert told.exit_code == 0, told.output
    assert "Run on some of the 12 images alone: aside 6" in told.output
    html, tables = (page / "index.html").read_text(), (page / "tables.md").read_text()
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', html))
    assert len(named) > 10
    assert all((page / name).is_file() for name in named)  # nothing from elsewhere
    assert "<script" not in html
    for text in (html, tables):
        assert f"no luck with {broken}" in text
        assert "The 6 images that all methods were given" in text
        assert "Other data" in text
    methods = re.findall(r"^\| ([\w-]+) \|", tables.split("# All images")[0], re.MULTILINE)
    assert methods[1:] == ["copier", "aside", "mean"] or methods[1:] == ["aside", "copier", "mean"]
    for chart in page.glob("*.svg"):
        assert "nan" not in chart.read_text()


@pytest.mark.usefixtures("fast")
def test_a_method_that_cannot_run_here_does_not_stop_the_others(
    bench: Benchmark, meshes: dict[str, Path], tmp_path: Path
) -> None:
    absent = tmp_path / "absent.toml"
    absent.write_text(
        'name = "absent"\n'
        'command = ["{python}", "-c", "import sys; print(\'no peer\'); sys.exit(77)", "{images}", "{out}"]\n'
    )
    paths = [str(absent), str(method(tmp_path, meshes["exact"]))]
    run = CliRunner().invoke(
        app, ["run", str(bench.folder), *paths, "--out", str(tmp_path / "out"), "--only", "S0", "--workers", "1"]
    )
    assert isinstance(run.exception, DataError)
    assert "absent cannot run here: no peer" in str(run.exception)
    assert not (tmp_path / "out/absent/summary.json").exists()
    assert (tmp_path / "out/copier/summary.json").is_file()


@pytest.mark.usefixtures("fast")
def test_a_report_of_nothing_is_refused(bench: Benchmark, meshes: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_board(tmp_path, tmp_path / "page")
    evaluate_meshes(bench.folder, meshes["mean"], "mean", tmp_path, workers=1, only=["00_0_00"])
    other = tiny_benchmark(tmp_path / "other", subjects=1, focals=(1,))
    with pytest.raises(DataError, match="is not the benchmark of these results"):
        write_board(tmp_path, tmp_path / "page", bench=other.folder)


@pytest.mark.parametrize("name", ["", "../x", "two\nlines", "\x1b[31m", ".hidden", "n" * 300])
def test_a_name_that_no_folder_should_have_is_refused(bench: Benchmark, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be a method's name"):
        evaluate_meshes(bench.folder, tmp_path, name, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_folder_without_results_is_told_how_to_get_some(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(DataError, match="holds no results: mien benchmark run"):
            write_board(folder, tmp_path / "board")


def test_the_mesh_that_is_hashed_is_the_one_that_is_measured(bench: Benchmark, tmp_path: Path) -> None:
    """Where a folder has a name as .obj and as .ply: figures of the other would stand after the mesh was changed."""
    image, vertices = bench.images[0], small_model().topology.mesh.vertices_mm
    write_prediction(bench, image, tmp_path, vertices)
    (there,) = (path for path in tmp_path.iterdir() if path.suffix in (".obj", ".ply"))
    other = there.with_suffix({".obj": ".ply", ".ply": ".obj"}[there.suffix])
    (write_obj if other.suffix == ".obj" else write_ply)(other, Mesh(vertices[:3], np.array([[0, 1, 2]])))
    before = prediction_hash(tmp_path, image.name)
    read = len(read_prediction(tmp_path, image.name).mesh.vertices_mm)
    measured = there if read == len(vertices) else other
    measured.write_bytes(measured.read_bytes() + b"\n")
    assert prediction_hash(tmp_path, image.name) != before
