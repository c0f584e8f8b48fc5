"""`mien farm retry`: runs that failed for good are queued again."""

from collections.abc import Sequence
from pathlib import Path

from db.engine import transaction
from db.stage_runs.job_queue import retry, retry_beginning
from db.studio import open_studio


def retry_jobs(home: Path | None, database: str | None, keys: Sequence[str]) -> int:
    """Queue failed and parked runs whose keys begin so (all, when none is given); how many. Raises NotFound."""
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        return retry_beginning(tx, keys) if keys else retry(tx)
