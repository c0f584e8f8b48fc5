"""A farm that logs: each run's start and end says its take and stage, and a failure says why."""

import logging
from io import StringIO

import pytest
from rich.console import Console

from common.guarding.log_fields import LogFormat, fields_of
from db.models import JobState
from db.stage_runs.job_counts import JobCounts
from processing.farm.display.farm_log import FarmLog
from processing.farm.display.farm_progress import FarmProgressDisplay


def test_each_run_says_its_take_and_stage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with FarmLog(LogFormat.JSON) as listener:
        listener.started("S001-1 1_neutral", "landmarks")
        listener.ended("S001-1 1_neutral", "landmarks", JobState.DONE, "", 1.5)
        listener.ended("S001-1 2_smile", "register", JobState.PARKED, "no face\nin it", 2.0)
        for _ in range(2):
            listener.counted(JobCounts())
    assert [fields_of(r) for r in caplog.records[:2]] == [{"take": "S001-1 1_neutral", "stage": "landmarks"}] * 2
    assert [r.levelname for r in caplog.records] == ["INFO", "INFO", "ERROR", "INFO"]
    assert "parked: no face" in caplog.records[2].getMessage()


def test_a_bar_that_goes_to_a_file_ends_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    written = StringIO()
    with pytest.raises(ValueError, match="refused"), FarmProgressDisplay(Console(file=written)):
        raise ValueError("refused")
    assert written.getvalue().endswith("\n")
