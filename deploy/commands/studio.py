"""`mien studio`: the studio's server; and a rehearsal, which simulates the cameras beside it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json, print_table
from controller.commands.studio import app


@app.command()
def rehearse(
    cameras: Annotated[int, typer.Option(min=6, max=200, help="How many cameras the simulated rig has.")] = 12,
    faults: Annotated[int, typer.Option(min=0, max=50, help="How many things go wrong.")] = 6,
    seed: Annotated[int, typer.Option(help="Of the faults and of the subject: the same seed, the same rehearsal.")] = 1,
    expressions: Annotated[
        str, typer.Option(help="Of FaceScape's protocol, separated by commas, or all.")
    ] = "neutral,smile,mouth_stretch,anger,jaw_left,jaw_right",
    out: Annotated[Path | None, typer.Option(help="Keep everything here; by default it is thrown away.")] = None,
    port: Annotated[int, typer.Option(help="Console port on this machine.", min=1, max=65535)] = 5780,
    alone: Annotated[
        bool, typer.Option("--alone", help="Nobody types where to walk: what is wrong at a place passes by itself.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Work through a session with a simulated rig that goes wrong on purpose; a score at the end.

    The console is served as by `mien studio serve`. Faults at a place are put right by walking there: type
    `fix cam-07`, `fix pi-02` or `fix chair` here. It ends with the session, or with Ctrl-C: the score so far.
    """
    from tempfile import TemporaryDirectory

    from deploy.rehearsal.rehearsal_run import RehearsalSettings, rehearse

    names = () if expressions == "all" else tuple(name.strip() for name in expressions.split(",") if name.strip())
    with TemporaryDirectory(prefix="mien-rehearsal-") as folder:
        place = (out or Path(folder)).absolute()
        score = rehearse(RehearsalSettings(place, cameras, faults, seed, names, port, alone), keys=sys.stdin)
    if as_json:
        print_json(score.data())
        return
    print_table("Rehearsal", ["fire", "what went wrong", "where", "take", "noticed"], score.rows())
    print("\n".join(score.lines()))
