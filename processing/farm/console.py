"""What the farm's commands do and show."""

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import select

from db.engine import open_database, reading, transaction
from db.jobs import jobs_in, retry
from db.migrations import require_current
from db.models import Job, JobState
from db.settings import Settings
from processing.farm.daemon import Farm, Summary
from processing.farm.options import template_file
from processing.farm.progress_query import Standing, standing
from processing.farm.settings import FarmSettings

TROUBLES = 50


class FarmScreen:
    """A farm at work: a bar over all runs, a line a running stage. A listener and a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._task = self._bar.add_task("stage runs", total=None)
        self._running: dict[str, str] = {}
        self._lock = threading.Lock()
        self._live = Live(console=self.console, get_renderable=self._picture, refresh_per_second=4)

    def __enter__(self) -> "FarmScreen":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        self._live.stop()

    def _picture(self) -> Table:
        grid = Table.grid()
        grid.add_row(self._bar)
        with self._lock:
            for label, text in self._running.items():
                grid.add_row(f"  {label}  {text}")
        return grid

    def started(self, label: str, stage: str) -> None:
        with self._lock:
            self._running[f"{label} {stage}"] = ""

    def progressed(self, label: str, stage: str, done: float, message: str) -> None:
        with self._lock:
            if f"{label} {stage}" in self._running:
                self._running[f"{label} {stage}"] = f"{100 * done:3.0f} %  {message}"

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None:
        with self._lock:
            self._running.pop(f"{label} {stage}", None)
        if state == JobState.DONE:
            self.console.print(f"{label}  {stage}  done in {seconds:.1f} s", highlight=False, markup=False)
        else:
            what = "will be tried again" if state == JobState.QUEUED else state.value
            self.console.print(f"{label}  {stage}  {what}: {error.strip()}", style="yellow", markup=False)

    def stands(self, standing: Standing) -> None:
        self._bar.update(self._task, total=max(standing.total, 1), completed=standing.done)

    def warned(self, message: str) -> None:
        self.console.print(message, style="yellow", markup=False)


def run_with_screen(
    home: Path | None,
    database: str | None,
    *,
    until_idle: bool,
    as_json: bool,
    template: str | None = None,
    **given: Any,
) -> int:
    """`mien farm run`; the exit code: 0, 4 when runs failed for good, 130 when interrupted."""
    studio = Settings.load(home, database)
    settings = FarmSettings.load(studio, template=template, **given)
    engine = open_database(studio.database)
    require_current(engine)
    with FarmScreen() as screen:
        path = template_file(settings.template, screen.warned)
        farm = Farm(engine, studio.store, settings, path, screen)
        interrupted = _stop_on_signals(farm)
        summary = farm.run(until_idle=until_idle)
    engine.dispose()
    _say_summary(summary, as_json)
    if interrupted.is_set():
        Console(stderr=True).print("Interrupted; nothing is lost. Go on with: mien farm run")
        return 130
    return 4 if summary.standing.troubled or summary.problems else 0


def _stop_on_signals(farm: Farm) -> threading.Event:
    """Ctrl-C and SIGTERM end the daemon in order; a second one ends it at once."""
    asked = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        asked.set()
        farm.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return asked


def _say_summary(summary: Summary, as_json: bool) -> None:
    stands = summary.standing
    if as_json:
        report = {"done": summary.done, "planned": summary.planned, "failed_attempts": summary.failed_attempts}
        report["seconds"] = round(summary.seconds, 2)  # type: ignore[assignment]
        print(_json(report | {"problems": summary.problems, "jobs": _counts(stands)}))
        return
    console = Console()
    if summary.done == 0 and stands.done == stands.total:
        console.print(f"Nothing to do: all {stands.total} stage runs are done.", highlight=False)
    else:
        console.print(
            f"{summary.done} stage runs in {summary.seconds:.1f} s; {stands.done} of {stands.total} are done."
        )
    if stands.troubled:
        console.print(
            f"{stands.failed} failed, {stands.parked} parked, {stands.blocked} wait behind others. "
            "See: mien farm status; after mending the cause: mien farm retry",
            style="yellow",
        )
    for session, problem in summary.problems.items():
        console.print(f"Session {session} has no runs: {problem}", style="yellow", markup=False)


def farm_report(home: Path | None, database: str | None) -> dict[str, Any]:
    """`mien farm status` as data."""
    studio = Settings.load(home, database)
    engine = open_database(studio.database)
    require_current(engine)
    with reading(engine) as tx:
        stands = standing(tx)
        troubled = jobs_in(tx, JobState.FAILED, JobState.PARKED, limit=TROUBLES) if stands.troubled else []
        troubles = [
            {"key": j.key, "stage": j.stage, "state": j.state.value, "attempts": j.attempts, "error": j.error or ""}
            for j in troubled
        ]
    engine.dispose()
    stages = {name: {state.value: n for state, n in states.items()} for name, states in stands.stages.items()}
    running = [{"worker": w, "stage": s, "key": k} for w, s, k in stands.workers]
    return {"jobs": _counts(stands), "stages": stages, "running": running, "troubles": troubles}


def show_status(report: Mapping[str, Any]) -> None:
    """`mien farm status` as a table."""
    console = Console()
    states = [s.value for s in JobState]
    table = Table(title=f"{report['jobs']['done']} of {report['jobs']['total']} stage runs are done")
    table.add_column("Stage")
    for state in states:
        table.add_column(state, justify="right")
    for stage, counts in report["stages"].items():
        table.add_row(stage, *(str(counts.get(state, 0) or "–") for state in states))
    console.print(table)
    jobs = report["jobs"]
    console.print(f"Ready {jobs['ready']}, backing off {jobs['later']}, behind others {jobs['blocked']}.")
    for one in report["running"]:
        console.print(f"  {one['stage']}  {one['key'][:12]}  on {one['worker']}", highlight=False, markup=False)
    for one in report["troubles"]:
        console.print(f"{one['state']}  {one['stage']}  {one['key'][:12]}  after {one['attempts']} attempts",
                      style="yellow", highlight=False, markup=False)  # fmt: skip
        console.print(f"    {one['error'].strip()[-1500:]}", highlight=False, markup=False)
    if report["troubles"]:
        console.print("After mending the cause: mien farm retry [KEY]")


def retry_jobs(home: Path | None, database: str | None, keys: Sequence[str]) -> int:
    """`mien farm retry`: failed and parked runs whose keys begin so (all, when none is given) are queued again."""
    from db.errors import NotFound

    engine = open_database(Settings.load(home, database).database)
    require_current(engine)
    with transaction(engine) as tx:
        if not keys:
            return retry(tx)
        found: list[str] = []
        for start in keys:
            matching = list(tx.scalars(select(Job.key).where(Job.key.startswith(start, autoescape=True))))
            if not matching:
                raise NotFound(f"No run has a key that begins with {start}; see: mien farm status")
            found += matching
        return retry(tx, found)


def missing_report(
    home: Path | None, database: str | None, subject: str | None, template: str | None
) -> list[dict[str, Any]]:
    """`mien farm graph` as data."""
    from processing.farm.keys import file_digest
    from processing.farm.planning import all_plans, missing_runs
    from processing.stages.discovery import discover

    studio = Settings.load(home, database)
    settings = FarmSettings.load(studio, template=template)
    engine = open_database(studio.database)
    require_current(engine)
    digest = file_digest(template_file(settings.template))
    with reading(engine) as tx:
        plans = all_plans(tx, digest, discover(*settings.stage_folders), settings.params, subject=subject)
        return [asdict(missing) for missing in missing_runs(tx, plans)]


def show_missing(rows: Sequence[Mapping[str, Any]]) -> None:
    """`mien farm graph` as a table."""
    console = Console()
    if not rows:
        console.print("Nothing is missing.")
        return
    table = Table(title=f"{len(rows)} stage runs are missing")
    for column in ("Session", "Take", "Stage", "Key", "Why"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(row["session"], row["take"], row["stage"], row["key"][:12], row["why"])
    console.print(table)


def run_worker(scheduler: str, threads: int) -> None:
    """`mien farm worker`: serve a scheduler until stopped."""
    import asyncio

    import dask
    from distributed import Nanny

    from processing.farm.cluster import SchedulerUnreachable, environment

    async def serve() -> None:
        async with Nanny(scheduler, nthreads=threads, memory_limit=0) as nanny:
            await nanny.finished()

    with dask.config.set(environment(threads)):
        try:
            asyncio.run(serve())
        except (OSError, TimeoutError, ValueError) as error:
            raise SchedulerUnreachable(f"no Dask scheduler answers at {scheduler} ({error})") from None


def _counts(stands: Standing) -> dict[str, int]:
    names = ("done", "running", "ready", "later", "blocked", "failed", "parked", "total")
    return {name: int(getattr(stands, name)) for name in names}


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
