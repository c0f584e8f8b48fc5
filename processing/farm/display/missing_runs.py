"""`mien farm graph`: which stage runs are missing, and why, and which models are to be made again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.files.hashes import file_sha256
from common.guarding.safe_text import plain_lines
from db.engine import reading
from db.studio import open_studio
from processing.farm.scheduling.missing_runs import missing_runs, models_to_rebuild
from processing.farm.scheduling.run_planning import all_plans
from processing.farm.settings import FarmSettings
from processing.farm.template_files import shared_files, studio_template
from processing.stages.discovery import discover


def missing_report(
    home: Path | None, database: str | None, subject: str | None, template: str | None
) -> list[dict[str, Any]]:
    """The missing runs as data, of one subject or of all and of models."""
    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        settings = FarmSettings.load(studio.settings, template=template)
        stages = discover(*settings.stage_folders)
        files = shared_files(studio_template(studio.settings.home, settings.template), stages)
        shared = {source: file_sha256(path) for source, path in files.items()}
        plans = all_plans(
            tx,
            shared,
            stages,
            settings.params,
            subjects=None if subject is None else [subject],
            unclosed=settings.open_sessions,
        )
        found = [asdict(missing) for missing in missing_runs(tx, plans, stages)]
        return found if subject is not None else found + [asdict(missing) for missing in models_to_rebuild(tx)]


def show_missing(rows: Sequence[Mapping[str, Any]]) -> None:
    """`mien farm graph` as a table."""
    console = Console()
    if not rows:
        console.print("Nothing is missing.")
        return
    table = Table(title=f"{len(rows)} stage runs are missing")
    for column in ("Session", "Take or subject", "Stage", "Key", "Why"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain_lines(row[c])) for c in ("session", "take", "stage")), row["key"][:12],
                      Text(plain_lines(row["why"])))  # fmt: skip
    console.print(table)
