"""What the farm's commands show and change, apart from running it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, select

from db.engine import open_database, reading, transaction
from db.jobs import jobs_in, retry
from db.migrations import require_current
from db.models import Job, JobState, RunVerdict
from db.run_reviews import count_verdicts, reviewed_runs
from db.settings import Settings
from processing.farm.options import studio_template
from processing.farm.progress_query import Standing, standing
from processing.farm.settings import FarmSettings

TROUBLES = 50
COUNTS = ("done", "running", "ready", "later", "blocked", "failed", "parked", "total")


@contextmanager
def _records(studio: Settings) -> Iterator[Engine]:
    engine = open_database(studio.database)
    try:
        require_current(engine)
        yield engine
    finally:
        engine.dispose()


def farm_report(home: Path | None, database: str | None) -> dict[str, Any]:
    """`mien farm status` as data."""
    with _records(Settings.load(home, database)) as engine, reading(engine) as tx:
        stands = standing(tx)
        troubled = jobs_in(tx, JobState.FAILED, JobState.PARKED, limit=TROUBLES) if stands.troubled else []
        troubles = [
            {"key": j.key, "stage": j.stage, "state": j.state.value, "attempts": j.attempts, "error": j.error or ""}
            for j in troubled
        ]
        verdicts = {verdict.value: n for verdict, n in count_verdicts(tx).items()}
        looked = reviewed_runs(tx, RunVerdict.REDO, RunVerdict.REVIEW, limit=TROUBLES) if verdicts else []
        reviews = [
            {
                "key": r.key, "stage": r.stage, "take": r.take, "label": r.label, "verdict": r.verdict.value,
                "reasons": list(r.reasons), "picture": r.picture,
            }
            for r in looked
        ]  # fmt: skip
    stages = {name: {state.value: n for state, n in states.items()} for name, states in stands.stages.items()}
    running = [{"worker": w, "stage": s, "key": k} for w, s, k in stands.workers]
    found = {"jobs": _counts(stands), "stages": stages, "running": running, "troubles": troubles}
    return found | {"verdicts": verdicts, "reviews": reviews}


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
    _show_reviews(console, report)
    for one in report["troubles"]:
        console.print(f"{one['state']}  {one['stage']}  {one['key'][:12]}  after {one['attempts']} attempts",
                      style="yellow", highlight=False, markup=False)  # fmt: skip
        console.print(f"    {one['error'].strip()[-1500:]}", highlight=False, markup=False)
    if report["troubles"]:
        console.print("After mending the cause: mien farm retry [KEY]")


def _show_reviews(console: Console, report: Mapping[str, Any]) -> None:
    """What the runs say of their results: how many are good, and which a person should look at and why."""
    verdicts = report["verdicts"]
    if not verdicts:
        return
    accepted, looked, again = (verdicts.get(v.value, 0) for v in RunVerdict)
    console.print(f"Scans: {accepted} accepted, {looked} to look at, {again} to do again.")
    for one in report["reviews"]:
        style = "red" if one["verdict"] == RunVerdict.REDO.value else "yellow"
        console.print(f"{one['verdict']}  {one['label']}  {one['take']}", style=style, highlight=False, markup=False)
        for reason in one["reasons"][:5]:
            console.print(f"    {reason}", highlight=False, markup=False)
        if one["picture"]:
            console.print(f"    picture: object {one['picture'][:12]} of the store", highlight=False, markup=False)


def retry_jobs(home: Path | None, database: str | None, keys: Sequence[str]) -> int:
    """`mien farm retry`: failed and parked runs whose keys begin so (all, when none is given) are queued again."""
    from db.errors import NotFound

    with _records(Settings.load(home, database)) as engine, transaction(engine) as tx:
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
    digest = file_digest(studio_template(studio.home, settings.template))
    with _records(studio) as engine, reading(engine) as tx:
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
    return {name: int(getattr(stands, name)) for name in COUNTS}
