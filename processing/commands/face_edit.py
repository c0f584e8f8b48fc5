"""`mien face edit`: another expression for a photographed face."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json
from processing.commands.photograph_options import FocalPx, WhichFace


def edit(
    photograph: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photograph (JPEG, PNG, TIFF).")],
    model: Annotated[Path, typer.Option("--model", help="The face model (.npz).")],
    weights: Annotated[
        Path,
        typer.Option("--weights", help='The expression (JSON): {"mouthSmileLeft": 0.8}, units and numbers 0 to 1.'),
    ],
    out: Annotated[Path, typer.Option("--out", help="The picture to write (.png, .jpg), as large as the photograph.")],
    add: Annotated[
        bool, typer.Option("--add", help="Add the weights to what the face does; else they replace all of it.")
    ] = False,
    shade: Annotated[bool, typer.Option("--shade/--no-shade", help="Shade the skin anew by its new normals.")] = True,
    focal_px: FocalPx = None,
    face: WhichFace = None,
    as_json: AsJson = False,
) -> None:
    """Give the face in a photograph another expression: warped by the fitted mesh and shaded anew."""
    from common.terminal.progress_bar import progress_bar
    from processing.single_view.editing.edit_files import EditInputs, edit_photo_file
    from processing.single_view.editing.expression_edit import EditSettings

    given = EditInputs(photograph, model, weights, add, focal_px, face, edit=EditSettings(shade=shade))
    with progress_bar(quiet=as_json) as progress:
        made = edit_photo_file(given, out, progress=progress)
    if as_json:
        print_json(made.as_report())
        return
    print(made.as_text())
