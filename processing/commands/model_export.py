"""`mien model export`: a model or a rig for other programs."""

import json
from pathlib import Path
from typing import Annotated

import typer


def export(
    source: Annotated[Path, typer.Argument(help="A face model, or a subject's rig (.npz).")],
    form: Annotated[
        str, typer.Option("--format", help="facescape (a model for FaceScape's code), gltf, usd, or obj (a folder).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write; a folder for obj.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Of a model: a random person. Default: the mean.")] = None,
    identity: Annotated[
        Path | None, typer.Option(help="Of a model: the person of a fit (JSON with `identity`, of mien model fit).")
    ] = None,
    texture: Annotated[
        Path | None, typer.Option(help="A JPEG over the UVs. Default: the model's mean albedo; a rig is grey.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Of a rig: the template of its topology (.npz). Default: the built-in one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a model or a rig for other programs, its units named as ARKit names them."""
    from common.terminal.progress_bar import progress_bar
    from processing.face_models.exports.face_export import FaceChoice, export_face

    choice = FaceChoice(seed, identity, texture, template)
    with progress_bar(quiet=as_json) as progress:
        made = export_face(source, out, form, choice, progress=progress)
    if as_json:
        said = {"out": str(made.path), "bytes": made.bytes, "vertices": made.vertices, "units": made.units}
        typer.echo(json.dumps(said | {"what": made.what}))
        return
    typer.echo(f"{made.path}: {made.what}, {made.units} units of {made.vertices:,} vertices, {made.bytes / 1e6:.1f} MB")
