"""`mien avatar`: a photograph to a textured head that moves."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from common.terminal.options import AsJson, print_json
from processing.commands.photograph_options import FocalPx, WhichFace

app = typer.Typer(no_args_is_help=True)


@app.command()
def avatar(
    photograph: Annotated[Path, typer.Argument(metavar="PHOTO", help="A photograph of a person (JPEG, PNG, TIFF).")],
    model: Annotated[Path, typer.Option("--model", help="The face model (.npz).")],
    out: Annotated[Path, typer.Option("--out", help="The avatar, a .glb.")],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="A learned decoder of heads. Default: the shape is the model's fit."),
    ] = None,
    texture_px: Annotated[int, typer.Option("--texture-px", help="Side of the texture.")] = 1024,
    light: Annotated[
        Literal["even", "keep"], typer.Option(help="The photograph's light: its broad part divided out, or as it is.")
    ] = "even",
    expression: Annotated[
        bool,
        typer.Option(
            "--expression/--neutral", help="With the photograph's expression as an animation. At rest: neutral."
        ),
    ] = False,
    focal_px: FocalPx = None,
    face: WhichFace = None,
    detail: Annotated[
        Path | None,
        typer.Option(
            "--detail", help="Folder that `mien face detail` made of this photograph: its relief, as normals."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an avatar of the person in a photograph: a low-poly head with texture, teeth and 52 morph targets."""
    from common.terminal.progress_bar import progress_bar
    from processing.avatars.avatar_files import AvatarInputs, make_avatar_file
    from processing.commands.learn_records import require_standing, weights_path

    require_standing(model)
    if weights is not None:
        weights = weights_path(weights)
        require_standing(weights)
    given = AvatarInputs(photograph, model, weights, texture_px, light, expression, focal_px, face, detail)
    with progress_bar(quiet=as_json) as progress:
        made = make_avatar_file(given, out, progress=progress)
    if as_json:
        print_json(made.as_report())
    else:
        print(made.as_text())
