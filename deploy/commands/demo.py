"""`mien demo`: the whole studio on this machine, from 68 shutters to a verified release."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes; an interrupted demo goes on there.")] = Path(
        "demo-out"
    ),
    expressions: Annotated[
        str, typer.Option(help="Names separated by commas, or all.")
    ] = "neutral,smile,mouth_stretch",
    cameras: Annotated[int, typer.Option(min=6, max=200, help="How many cameras the simulated rig has.")] = 68,
    seed: Annotated[int, typer.Option(help="Which synthetic subject sits in the chair.")] = 7,
    height: Annotated[int, typer.Option(min=240, max=4000, help="Height of the photographs, px.")] = 720,
    model: Annotated[
        bool,
        typer.Option("--model", help="Make rigs and a small face model too, of the subject and four synthetic people."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A synthetic subject before a simulated rig: session, farm, verified release; ends with a table and a report."""
    from deploy.demo.demo_results import show
    from deploy.demo.demo_run import Demo, DemoSettings

    done = Demo(DemoSettings.parse(out, expressions, cameras, seed, height, model)).run()
    show(done, as_json)
