"""`mien farm retry`: runs that failed for good are queued again."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from db.engine import transaction
from db.errors import NotFound
from db.models import Job
from db.stage_runs.job_queue import retry
from db.studio import open_studio


def retry_jobs(home: Path | None, database: str | None, keys: Sequence[str]) -> int:
    """Queue failed and parked runs whose keys begin so (all, when none is given); how many. Raises NotFound."""
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        if not keys:
            return retry(tx)
        found: list[str] = []
        for start in keys:
            matching = list(tx.scalars(select(Job.key).where(Job.key.startswith(start, autoescape=True))))
            if not matching:
                raise NotFound(f"No run has a key that begins with {start}; see: mien farm status")
            found += matching
        return retry(tx, found)
