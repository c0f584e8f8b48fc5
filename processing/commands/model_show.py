"""`mien model show` and `sample`: what a model holds, and who else could be in it."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json

Model = Annotated[Path, typer.Argument(help="The face model (.npz).")]


def show(
    model: Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG: mean, first modes, each unit.")] = Path("model.png"),
    as_json: AsJson = False,
) -> None:
    """Say what a model holds, and draw it: its mean, its first modes at 2 and 3 deviations, each of its units."""
    from common.terminal.progress_bar import progress_bar
    from processing.face_models.model_file import read_model
    from processing.face_models.model_picture import draw_model
    from processing.files.image_files import write_image

    with progress_bar(quiet=as_json) as progress:
        progress(0.0, "reading the model")
        found = read_model(model)
        write_image(out, draw_model(found, progress=progress))
    card = found.card.as_json()
    if as_json:
        facts = {"name": found.name, "version": found.version, "topology": found.topology.topology}
        counts = {"vertices": found.vertex_count, "identities": found.identity_count, "units": list(found.units)}
        print_json({**facts, **counts, "albedo": found.albedo is not None, "card": card, "picture": str(out)})
        return
    print(f"{found.name} {found.version}: {found.identity_count} identity parameters, {len(found.units)} units")
    print(f"{found.vertex_count} vertices of template {found.topology.name}; {found.card.members} members")
    for group, counted in card["groups"].items():
        print(f"  {group}: {', '.join(f'{number} {gender}' for gender, number in counted.items())}")
    print("not for: " + "; ".join(card["not_for"]))
    print(f"written: {out}")


def sample(
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="Folder for sample-<seed>-<k>.")],
    seed: Annotated[int, typer.Option(min=0, help="The same number draws the same persons.")] = 0,
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many persons.")] = 1,
    expression: Annotated[
        str | None,
        typer.Option(help="An expression of the protocol (smile), a unit (jawOpen), or random. Default: neutral."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Expression weights: JSON of units and numbers from 0 to 1, or a fit's.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="obj, ply, or npz with the parameters.")] = "obj",
    as_json: AsJson = False,
) -> None:
    """Draw random persons of a model, each parameter within 2 deviations of its members' mean."""
    from common.terminal.progress_bar import progress_bar
    from processing.face_models.sample_files import SampleChoice, sample_files

    choice = SampleChoice(seed, count, expression, weights, form)
    with progress_bar(quiet=as_json) as progress:
        made = sample_files(model, choice, out, progress=progress)
    if as_json:
        print_json({"files": [str(path) for path in made]})
        return
    print(f"{made[0]}" if len(made) == 1 else f"{len(made)} persons: {made[0]} to {made[-1].name}")
