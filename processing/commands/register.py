"""`mien register`: a scan into the template's topology."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def register(
    scan: Annotated[Path, typer.Argument(help="Scan of a face (OBJ or PLY), mm, y up, z out of the face.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the registered mesh, its relief and report.")],
    template: Annotated[Path | None, typer.Option(help="Template (.npz); default: the built-in one.")] = None,
    landmarks: Annotated[
        Path | None, typer.Option(help="68 landmarks in mm (JSON or .ljson); null: to be found.")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Take folder: landmarks and texture from its photographs.")
    ] = None,
    neutral: Annotated[Path | None, typer.Option(help="The subject's registered neutral mesh (OBJ).")] = None,
    expression: Annotated[str, typer.Option(help="With --neutral: the expression's name, such as smile.")] = "",
    size_px: Annotated[int, typer.Option(min=64, max=8192, help="Side of the maps in texels.")] = 2048,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Register a scan to the template and write mesh, displacement map and, with --photos, texture."""
    from common.terminal.progress_bar import progress_bar
    from processing.farm.register_scan import RegistrationInputs, register_scan

    given = RegistrationInputs(scan, template, landmarks, photos, neutral, expression)
    with progress_bar() as progress:
        result = register_scan(given, out, size_px=size_px, progress=progress)
    typer.echo(result.as_json() if as_json else result.as_text())
