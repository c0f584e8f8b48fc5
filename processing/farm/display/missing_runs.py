"""What the farm's commands show and change, apart from running it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine, select

from common.guarding.safe_text import plain_lines
from db.engine import reading, transaction
from db.models import Job
from db.settings import Settings
from db.stage_runs.job_queue import retry
from db.studio import open_records
from processing.farm.settings import FarmSettings
from processing.farm.template_files import studio_template


@contextmanager
def records(studio: Settings) -> Iterator[Engine]:
    engine = open_records(studio)
    try:
        yield engine
    finally:
        engine.dispose()


def retry_jobs(home: Path | None, database: str | None, keys: Sequence[str]) -> int:
    """`mien farm retry`: failed and parked runs whose keys begin so (all, when none is given) are queued again."""
    from db.errors import NotFound

    with records(Settings.load(home, database)) as engine, transaction(engine) as tx:
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
    from common.files.hashes import file_sha256
    from processing.farm.scheduling.run_planning import all_plans, missing_runs
    from processing.stages.discovery import discover

    studio = Settings.load(home, database)
    settings = FarmSettings.load(studio, template=template)
    with records(studio) as engine, reading(engine) as tx:
        digest = file_sha256(studio_template(studio.home, settings.template))
        plans = all_plans(tx, digest, discover(*settings.stage_folders), settings.params, subject=subject,
                          unclosed=settings.open_sessions)  # fmt: skip
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
        table.add_row(*(Text(plain_lines(row[c])) for c in ("session", "take", "stage")), row["key"][:12],
                      Text(plain_lines(row["why"])))  # fmt: skip
    console.print(table)
