"""A farm at work, as log lines: for `mien farm run --log-format json`, and whatever reads such lines."""

import logging
from typing import Self

from common.guarding.log_fields import LogFormat
from common.guarding.log_records import log_to
from db.models import JobState
from db.stage_runs.job_counts import JobCounts
from processing.farm.farm_listener import FarmListener

log = logging.getLogger("mien.farm")


class FarmLog(FarmListener):
    """Each run's start and end is a record that says its take and stage. A listener and a context manager."""

    def __init__(self, form: LogFormat) -> None:
        log_to(form=form)
        self._jobs: JobCounts | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def started(self, label: str, stage: str) -> None:
        log.info("%s  %s  begins", label, stage, extra={"take": label, "stage": stage})

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None:
        its = {"take": label, "stage": stage}
        if state == JobState.DONE:
            log.info("%s  %s  done in %.1f s", label, stage, seconds, extra=its)
            return
        what = "will be tried again" if state == JobState.QUEUED else state.value
        level = logging.WARNING if state == JobState.QUEUED else logging.ERROR
        log.log(level, "%s  %s  %s: %s", label, stage, what, error.strip() or "no reason given", extra=its)

    def counted(self, jobs: JobCounts) -> None:
        if jobs != self._jobs:
            self._jobs = jobs
            log.info("%d of %d stage runs are done", jobs.done, jobs.total)

    def warned(self, message: str) -> None:
        log.warning("%s", message)
