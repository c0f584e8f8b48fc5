"""`mien studio`: the studio's server."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import Database, Home, LogLines

app = typer.Typer(no_args_is_help=True, help="The studio's server and console.")


@app.callback()
def group() -> None:
    """The studio's server and console."""


@app.command()
def serve(
    rig: Annotated[Path | None, typer.Option(help="The rig file; rig.toml in the home by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Console port on this machine.", min=1, max=65535)] = None,
    home: Home = None,
    database: Database = None,
    log_format: LogLines = None,
) -> None:
    """Serve cameras, ingest and console until interrupted; `mien session` and `mien rig` talk to it."""
    from controller.api.server import serve_studio
    from controller.studio_settings import load_settings

    serve_studio(load_settings(home, database, rig), port, log_format)
