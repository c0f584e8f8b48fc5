"""mien farm: turn closed sessions into artefacts, unattended."""

import json
from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import LogLines

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Turn closed sessions into artefacts, unattended.")
Home = Annotated[Path | None, typer.Option(envvar="MIEN_HOME", help="The studio's home folder.")]
Database = Annotated[str | None, typer.Option(envvar="MIEN_DATABASE", help="Database URL instead of the home's own.")]
Tls = Annotated[
    Path | None, typer.Option(help="A folder of certificates, as mien farm keys makes: TLS, and nobody else's workers.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is left that can run.")] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="A scheduler of several machines, tcp://host:8786; default: own workers.")
    ] = None,
    tls: Tls = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; default: one a processor.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, or cuda where the workers have one.")] = None,
    template: Annotated[str | None, typer.Option(help="A template file (.npz); default: Mien's own.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: Json = False,
    log_format: LogLines = None,
) -> None:
    """Process accepted takes of closed sessions. Stop it with Ctrl-C at any time; the next run goes on."""
    from processing.farm.display.farm_progress import run_farm

    code = run_farm(
        home, database, until_idle=until_idle, as_json=as_json,
        scheduler=scheduler, workers=workers, device=device, template=template, tls=str(tls) if tls else None,
        log_format=log_format,
    )  # fmt: skip
    raise typer.Exit(code)


@app.command()
def worker(
    scheduler: Annotated[str, typer.Argument(help="The scheduler's address, as in tcp://host:8786.")],
    threads: Annotated[int, typer.Option(min=1, help="Stage runs at a time.")] = 1,
    memory: Annotated[
        float | None, typer.Option(min=0.1, help="GB for stage runs; default: 80 % of this machine's.")
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=0, help="How many runs at a time may use a graphics processor that is visible here.")
    ] = 0,
    name: Annotated[str | None, typer.Option(help="What the farm calls this worker; default: its address.")] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Where runs work; default: beside the store, or the temporary folder.")
    ] = None,
    tls: Tls = None,
) -> None:
    """Lend this machine to a farm. It must see the store as the daemon does. SIGTERM lets what runs end."""
    from processing.farm.execution.services import OfferedResources, run_worker, say_on_stderr

    offered = OfferedResources(threads=threads, ram_gb=memory, gpus=gpus, name=name, scratch=scratch)
    run_worker(scheduler, offered, str(tls) if tls else None, say_on_stderr)


@app.command()
def scheduler(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0: any that is free.")] = 8786,
    tls: Tls = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Listen for other machines without TLS: only where the network keeps others out."),
    ] = False,
) -> None:
    """Pass stage runs between daemons and the workers of several machines. It remembers nothing."""
    from processing.farm.execution.services import run_scheduler, say_on_stderr

    run_scheduler(host, port, str(tls) if tls else None, plain, say_on_stderr)


@app.command()
def keys(
    machine: Annotated[str, typer.Argument(help="What the machine is called, as in gpu-1.")],
    home: Home = None,
) -> None:
    """A folder of certificates for a machine of the farm, signed by this studio: copy it there, name it by --tls."""
    from db.access_guard import require_home
    from db.settings import Settings
    from processing.farm.tls import issue

    settings = Settings.load(home)
    require_home(settings)
    typer.echo(str(issue(settings.keys / "farm", machine)))


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep the table up to date until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="With --watch: seconds between looks.")] = 2.0,
    home: Home = None,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """How many stage runs are done, running, waiting, failed; and why those that failed did."""
    from processing.farm.display.farm_status import farm_report, show_status, watch_status

    if watch:
        watch_status(home, database, every, as_json)
        return
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
    from processing.farm.scheduling.retry_jobs import retry_jobs

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
    from processing.farm.display.missing_runs import missing_report, show_missing

    rows = missing_report(home, database, subject, template)
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        show_missing(rows)
