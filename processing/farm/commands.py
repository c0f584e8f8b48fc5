"""mien farm: turn closed sessions into artefacts, unattended."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Turn closed sessions into artefacts, unattended.")
Home = Annotated[Path | None, typer.Option(envvar="MIEN_HOME", help="The studio's home folder.")]
Database = Annotated[str | None, typer.Option(envvar="MIEN_DATABASE", help="Database URL instead of the home's own.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is left that can run.")] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://host:8786; default: own workers.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one a processor.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, or cuda where the workers have one.")] = None,
    template: Annotated[str | None, typer.Option(help="A template file (.npz); default: Mien's own.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Process accepted takes of closed sessions. Stop it with Ctrl-C at any time; the next run goes on."""
    from processing.farm.farm_screen import run_with_screen

    code = run_with_screen(
        home, database, until_idle=until_idle, as_json=as_json,
        scheduler=scheduler, workers=workers, device=device, template=template,
    )  # fmt: skip
    raise typer.Exit(code)


@app.command()
def worker(
    scheduler: Annotated[str, typer.Argument(help="The Dask scheduler's address, as in tcp://host:8786.")],
    threads: Annotated[int, typer.Option(min=1, help="Stage runs at a time.")] = 1,
) -> None:
    """Lend this machine to a farm: a Dask worker that sees the same store as the daemon."""
    from processing.farm.console import run_worker

    run_worker(scheduler, threads)


@app.command()
def status(home: Home = None, database: Database = None, as_json: Json = False) -> None:
    """How many stage runs are done, running, waiting, failed; and why those that failed did."""
    from processing.farm.console import farm_report, show_status

    report = farm_report(home, database)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        show_status(report)


@app.command()
def retry(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys of runs (or their beginnings); default: all.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Give failed and parked runs another chance."""
    from processing.farm.console import retry_jobs

    count = retry_jobs(home, database, keys or [])
    typer.echo(json.dumps({"retried": count}) if as_json else f"{count} runs are queued again; next: mien farm run")


@app.command()
def graph(
    subject: Annotated[str | None, typer.Option(help="One subject's code, as in S001.")] = None,
    template: Annotated[str | None, typer.Option(help="A template file (.npz); default: Mien's own.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Which stage runs are missing, and why."""
    from processing.farm.console import missing_report, show_missing

    rows = missing_report(home, database, subject, template)
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        show_missing(rows)
