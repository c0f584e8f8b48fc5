"""`mien benchmark run`, `evaluate` and `report`: methods on a benchmark, their figures, and the board."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json, print_table
from processing.errors import DataError

COLUMNS = ("method", "images", "failed", "made now", "measured now", "CD mm", "normals °", "CR %", "after ICP mm")
Bench = Annotated[Path, typer.Argument(metavar="BENCH", help="The benchmark's folder.")]
Results = Annotated[Path, typer.Option("--out", help="Folder of results, a folder a method in it.")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", help="Images or subjects to look at alone, with * and ?: '00_*'. Several may be given."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes that measure. Default: as many as are worth it.")]


def run(
    bench: Bench,
    methods: Annotated[list[Path], typer.Argument(metavar="METHOD...", help="Methods: what each is (TOML).")],
    out: Results,
    model: Annotated[Path | None, typer.Option(help="The face model (.npz) of methods that ask for one.")] = None,
    only: Only = None,
    again: Annotated[bool, typer.Option("--again", help="Make anew what is there, or failed, already.")] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Run methods over a benchmark's photographs and measure their meshes; interrupted, it goes on the next time."""
    from common.terminal.progress_bar import progress_bar
    from processing.evaluation.board.board_files import RunChoice, run_methods

    choice = RunChoice(model, tuple(only or ()), again, workers)
    with progress_bar(quiet=as_json) as progress:
        done = run_methods(bench, methods, out, choice, progress=progress)
    if as_json:
        print_json({"methods": [one.as_report() for one in done]})
    else:
        _print_done(done)
    unavailable = [one.unavailable for one in done if one.unavailable]
    if unavailable:
        raise DataError("\n".join(unavailable))


def evaluate(
    bench: Bench,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Meshes: <image>.obj or .ply, <image>.camera.json beside each.")
    ],
    out: Results,
    name: Annotated[str, typer.Option("--name", help="What the method is called on the board.")],
    only: Only = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Measure meshes that are there already."""
    from common.terminal.progress_bar import progress_bar
    from processing.evaluation.board.board_files import evaluate_meshes

    with progress_bar(quiet=as_json) as progress:
        done = evaluate_meshes(bench, folder, name, out, only=only or (), workers=workers, progress=progress)
    if as_json:
        print_json(done.as_report())
        return
    _print_done([done])


def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder that run and evaluate wrote.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for index.html, its pictures, and tables.md.")],
    bench: Annotated[
        Path | None, typer.Option(help="The benchmark, where it no longer lies where it was measured.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Print the figures of the paper's tables beside, marked as other data.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tables, charts, error maps, the worst images and all failures of the methods, on one page."""
    from common.terminal.progress_bar import progress_bar
    from processing.evaluation.board.report_files import write_board

    with progress_bar(quiet=as_json) as progress:
        written = write_board(results, out, bench=bench, published=published, progress=progress)
    if as_json:
        print_json(written.as_report())
        return
    print(written.as_text())


def _print_done(done: list) -> None:  # type: ignore[type-arg]
    rows = []
    for one in done:
        if one.unavailable:
            continue
        figures = dict(one.figures)
        cells = (
            _cell(figures["cd_mm"], 2), _cell(figures["mne_rad"], 2, 57.29577951308232),
            _cell(figures["completeness"], 1, 100.0), _cell(figures["icp_mm"], 2),
        )  # fmt: skip
        rows.append((one.name, one.images, one.failed, one.made, one.measured, *cells))
    print_table("Means over all images that succeeded", COLUMNS, rows)


def _cell(value: float | None, digits: int, factor: float = 1.0) -> str | None:
    return None if value is None else f"{value * factor:.{digits}f}"
