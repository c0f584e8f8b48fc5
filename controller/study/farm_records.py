"""The farm as the records have it: what is done, runs, waits and went wrong; failed runs are queued again from here."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from common.guarding.safe_text import plain_lines
from controller.study.stage_outputs import PICTURES, STAGES
from db.audit import audit_log
from db.engine import reading, transaction
from db.models import JobState
from db.stage_runs import job_queue, take_runs
from db.stage_runs.job_counts import count_jobs, counts, running_runs
from db.stage_runs.run_logs import RUNS, run_log_file
from db.stage_runs.run_reviews import count_verdicts
from db.stage_runs.take_runs import ProcessedTake, TakeRun
from db.store import Store

TAKES, TROUBLES = 60, 100
ENOUGH = 5  # runs done within the hour, from which a pace is told
LOG_TAIL = 64_000  # bytes


@dataclass(frozen=True)
class FarmPicture:
    """How the farm stands."""

    counts: Mapping[str, int]  # db.stage_runs.job_counts.COUNTS
    stages: Mapping[str, Mapping[str, int]]  # stage -> state -> runs, in the order in which a take goes through them
    running: Sequence[Mapping[str, Any]]
    verdicts: Mapping[str, int]
    troubles: Sequence[Mapping[str, Any]]  # runs that failed or are parked, with why
    takes: Sequence[Mapping[str, Any]]  # those that were worked on last
    hour: int  # runs done within the last hour
    left_s: float | None  # at that pace, until all is done; None where nobody knows


class FarmRecords:
    """What the farm has done, for this studio's page. Methods may be called from any thread."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._runs = None if store.folder is None else store.folder / RUNS

    def picture(self) -> FarmPicture:
        """As the records have it now."""
        with reading(self._engine) as tx:
            jobs = count_jobs(tx)
            troubled = job_queue.troubled_jobs(tx, TROUBLES) if jobs.troubled else []
            labels = take_runs.labels_of(tx, [job.id for job in troubled])
            troubles = [
                {
                    "key": job.key, "stage": job.stage, "state": job.state.value, "attempts": job.attempts,
                    "take": labels.get(job.id, ("", ""))[0], "label": labels.get(job.id, ("", ""))[1],
                    "reason": _reason(job.error), "at": job.finished_at, "log": self._has_log(job.key),
                }
                for job in troubled
            ]  # fmt: skip
            hour, seconds = take_runs.lately_done(tx)
            left = jobs.ready + jobs.later + jobs.blocked + jobs.running
            known = bool(jobs.running and hour >= ENOUGH and seconds)
            return FarmPicture(
                counts(jobs), _in_order(jobs.stages), running_runs(tx) if jobs.running else [],
                {verdict.value: count for verdict, count in count_verdicts(tx).items()}, troubles,
                [take_data(take) for take in take_runs.newest_takes(tx, TAKES)],
                hour, left * seconds / hour if known else None,
            )  # fmt: skip

    def retry(self, keys: Sequence[str]) -> int:
        """Queue failed and parked runs again: those whose keys begin so, or all; how many. Raises NotFound."""
        with transaction(self._engine) as tx:
            count = job_queue.retry_beginning(tx, keys) if keys else job_queue.retry(tx)
            audit_log.record(tx, "farm.retry", "farm", "farm", {"runs": count, "asked": len(keys)})
            return count

    def log(self, key: str) -> tuple[str, str]:
        """Why a run ended, and the end of its log where this machine can see it. Raises NotFound."""
        with reading(self._engine) as tx:
            error = job_queue.get_job(tx, key).error or ""
        return plain_lines(error), plain_lines(self._tail(key))

    def _has_log(self, key: str) -> bool:
        return self._runs is not None and run_log_file(self._runs, key).is_file()

    def _tail(self, key: str) -> str:
        if self._runs is None:
            return ""
        with suppress(OSError):
            return _end(run_log_file(self._runs, key))
        return ""


def take_data(take: ProcessedTake) -> dict[str, Any]:
    """A take for the page: its runs by stage, and its pictures where they may be shown."""
    runs = {stage: take.runs[stage] for stage in (*STAGES, *sorted(take.runs.keys() - set(STAGES)))
            if stage in take.runs}  # fmt: skip
    return {
        "take": take.take, "label": take.label, "session": take.session, "subject": take.subject, "shown": take.shown,
        "runs": [run_data(run) for run in runs.values()],
        "pictures": [
            {"name": f"{stage}.{output}", "caption": caption, "sha256": runs[stage].files[output].sha256}
            for (stage, output), caption in PICTURES.items()
            if stage in runs and output in runs[stage].files
        ],
    }  # fmt: skip


def run_data(run: TakeRun) -> dict[str, Any]:
    """A run for the page."""
    return {
        "key": run.key, "stage": run.stage, "state": run.state.value, "attempts": run.attempts,
        "reason": _reason(run.error) if run.state is not JobState.DONE else "",
        "verdict": run.verdict, "reasons": run.reasons, "at": run.finished_at,
    }  # fmt: skip


def _in_order(stages: Mapping[str, Mapping[JobState, int]]) -> dict[str, dict[str, int]]:
    names = [*(name for name in STAGES if name in stages), *sorted(stages.keys() - set(STAGES))]
    return {name: {state.value: count for state, count in stages[name].items()} for name in names}


def _reason(error: str | None) -> str:
    """The line that says what it was: a traceback's last."""
    lines = [line for line in (error or "").strip().splitlines() if line.strip()]
    return plain_lines(lines[-1])[:500] if lines else ""


def _end(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LOG_TAIL))
        return file.read(LOG_TAIL).decode("utf-8", errors="replace")
