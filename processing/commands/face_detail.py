"""`mien face detail`: a photograph to a rig with skin that wrinkles."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json
from processing.commands.photograph_options import FocalPx, WhichFace


def detail(
    photograph: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photograph (JPEG, PNG, TIFF).")],
    model: Annotated[Path, typer.Option("--model", help="The face model (.npz).")],
    weights: Annotated[Path, typer.Option("--weights", help="Weights that `mien learn detail` made with this model.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for rig, meshes, displacement maps and texture.")],
    size: Annotated[int, typer.Option("--size", min=64, max=8192, help="Side of the displacement maps, px.")] = 1024,
    focal_px: FocalPx = None,
    face: WhichFace = None,
    device: Annotated[str, typer.Option("--device", help="cpu, or cuda (cuda:1) where there is one.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """A face that moves with its detail: 52 units, and a displacement map for each key expression."""
    from common.terminal.progress_bar import progress_bar
    from processing.commands.learn_records import require_standing
    from processing.learning.detail.detail_files import DetailInputs, detail_files

    require_standing(weights)
    require_standing(model)
    given = DetailInputs(photograph, model, weights, size, focal_px, face, device)
    with progress_bar(quiet=as_json) as progress:
        made = detail_files(given, out, progress=progress)
    if as_json:
        print_json(made.as_report())
    else:
        print(made.as_text())
