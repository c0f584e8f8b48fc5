"""`mien studio`: the studio's server."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import Database, Home, LogLines
from controller.commands.studio_accounts import app as accounts

app = typer.Typer(no_args_is_help=True, help="The studio's server and console.")
app.add_typer(accounts, name="account")


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
    log_format: LogLines = None,
) -> None:
    """Serve cameras, ingest and console until interrupted; `mien session` and `mien rig` talk to it."""
    from tempfile import TemporaryDirectory

    from controller.api.server import serve_studio
    from controller.studio_settings import load_settings, set_up_settings

    if not setup:
        serve_studio(load_settings(home, database, rig), port, log_format)
        return
    with TemporaryDirectory(prefix="mien-setup-") as folder:
        print("Setting up: nothing is recorded. Next, in another window:  mien rig init", file=sys.stderr)
        serve_studio(set_up_settings(Path(folder), home, rig), port, log_format)


@app.command()
def certificate(
    renew: Annotated[bool, typer.Option("--renew", help="Make another; devices must take it up again.")] = False,
    home: Home = None,
    database: Database = None,
) -> None:
    """The certificate by which tablets of the network speak to the console: where it is, its fingerprint, its end."""
    from controller.accounts.console_certificate import console_certificate
    from controller.errors import ConfigurationError
    from controller.studio_settings import load_settings

    settings = load_settings(home, database)
    names = set(settings.network_names())
    if not names:
        raise ConfigurationError(
            f"{settings.records.home / 'studio.toml'} names no console_address: the console is on this machine alone"
        )
    found = console_certificate(settings.records.keys, names, anew=renew)
    typer.echo(f"{found.path}\nSHA-256  {found.fingerprint}")
    typer.echo(f"for      {', '.join(sorted(found.names))}\nuntil    {found.until:%Y-%m-%d}")
    if found.is_new:
        typer.echo("It was made just now: restart mien studio serve, and take it up on each device.")
