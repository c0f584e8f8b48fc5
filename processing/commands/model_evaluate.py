"""`mien model evaluate`: how well a model represents people whom it has never seen."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json, print_table

COLUMNS = ("", "parameters", "distance to", "mean mm", "median", "95 %", "within 0.5 mm", "1 mm", "2 mm")


def evaluate(
    model: Annotated[Path, typer.Argument(help="The face model (.npz).")],
    held_out: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Registered meshes of people who are not in it: <subject>/models_reg/<k>_<name>.obj."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for evaluation.json and evaluation.svg.")],
    members: Annotated[
        Path | None,
        typer.Option(
            help="Registered meshes of its own members: principal components of as many parameters beside it."
        ),
    ] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Another model (.npz), of any topology, fitted to the same people.")
    ] = None,
    take: Annotated[
        list[str] | None, typer.Option(help="Expressions to look at alone: smile, 2_smile. Default: all.")
    ] = None,
    crossings: Annotated[
        int, typer.Option(min=0, help="Random people and expressions in which parts in each other are counted.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Fit a model to people whom it has never seen; table, figures and curves of the distances that remain."""
    from common.terminal.progress_bar import progress_bar
    from processing.face_models.evaluation_files import PICTURE, EvaluationChoice, evaluate_files

    choice = EvaluationChoice(members, tuple(beside or ()), tuple(take or ()), crossings=crossings)
    with progress_bar(quiet=as_json) as progress:
        found = evaluate_files(model, held_out, out, choice, progress=progress)
    if as_json:
        print_json(found.as_json())
        return
    print_table(f"{found.meshes} meshes of {found.subjects} people who are not in it", COLUMNS, found.rows())
    for line in found.crossing_lines():
        print(line)
    print(f"Curves: {out / PICTURE}")
