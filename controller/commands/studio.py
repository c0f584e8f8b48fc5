"""`mien studio`: the studio's server."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import Database, Home

app = typer.Typer(no_args_is_help=True, help="The studio's server and console.")


@app.callback()
def group() -> None:
    """The studio's server and console."""


@app.command()
def serve(
    rig: Annotated[Path | None, typer.Option(help="The rig file; rig.toml in the home by default.")] = None,
    setup: Annotated[
        bool, typer.Option("--setup", help="Without a rig file, or to add cameras to it: nothing is recorded.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Console port on this machine.", min=1, max=65535)] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Serve cameras, ingest and console until interrupted; `mien session` and `mien rig` talk to it."""
    from tempfile import TemporaryDirectory

    from controller.api.server import serve_studio
    from controller.studio_settings import load_settings, set_up_settings

    if not setup:
        serve_studio(load_settings(home, database, rig), port)
        return
    with TemporaryDirectory(prefix="mien-setup-") as folder:
        print("Setting up: nothing is recorded. Next, in another window:  mien rig init", file=sys.stderr)
        serve_studio(set_up_settings(Path(folder), home, rig), port)
