"""Asks for the runs of sessions that are new or have changed: records -> plan -> jobs."""

import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from db.engine import reading, transaction
from db.stage_runs.job_queue import IN_THE_CHAIR, PRIORITY, URGENT, set_last
from db.stage_runs.ready_takes import SessionMark, ready_takes
from processing.farm.farm_listener import FarmListener, Summary
from processing.farm.scheduling.run_planning import by_session, enqueue_plan, plan_session
from processing.farm.settings import FarmSettings
from processing.stages.discovery import Stages


class SessionPlanner:
    """Remembers as what each session was planned, and plans those that have changed since. For one thread.

    left: whether some are still to be planned.
    shared: outside source -> SHA-256 of its file, set before the first plan.
    Sessions that cannot be planned are said in the summary's problems, and to the listener.
    """

    def __init__(
        self, engine: Engine, settings: FarmSettings, stages: Stages, summary: Summary, listener: FarmListener
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._stages = stages
        self._summary = summary
        self._listener = listener
        self._planned: dict[str, tuple[int, ...]] = {}
        self.left = True
        self.shared: Mapping[str, str] = {}

    def plan_changed(self, marks: Sequence[SessionMark], end: float) -> None:
        """At least one session, and no further one after the moment `end` of the monotonic clock, s."""
        changed = [mark for mark in marks if self._planned.get(mark.code) != mark.mark]
        self.left = False
        for number, mark in enumerate(changed):
            if number and time.monotonic() > end:
                self.left = True
                break
            self._plan(mark)

    def _plan(self, mark: SessionMark) -> None:
        with reading(self._engine) as tx:
            takes = by_session(ready_takes(tx, sessions=[mark.session_id])).get(mark.code, [])
            if not takes:
                return
            planned = plan_session(tx, takes, self.shared, self._stages, self._settings.params)
        looks = self._plan_looks(mark)
        if planned.problem:
            if mark.closed:  # else the neutral may come yet
                self._summary.problems[mark.code] = planned.problem
                self._listener.warned(f"session {mark.code}: {planned.problem}")
        else:
            self._summary.problems.pop(mark.code, None)
            with transaction(self._engine) as tx:
                priority = IN_THE_CHAIR if mark.in_the_chair else PRIORITY
                self._summary.planned += enqueue_plan(tx, planned, priority)
                set_last(tx, mark.session_id, {run.key for run in planned.runs} | looks)
        self._planned[mark.code] = mark.mark

    def _plan_looks(self, mark: SessionMark) -> set[str]:
        """Ask first for what a person waits for beside the subject, also before there is a neutral; its keys."""
        if not (self._settings.first_look and mark.in_the_chair):
            return set()
        with transaction(self._engine) as tx:
            takes = by_session(ready_takes(tx, sessions=[mark.session_id]))[mark.code]
            params = self._settings.params
            planned = plan_session(tx, takes, self.shared, self._stages, params, urgent=True)
            self._summary.planned += enqueue_plan(tx, planned, URGENT)
        return {run.key for run in planned.runs}
