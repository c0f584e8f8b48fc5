"""`mien farm status`: how the runs stand, who works on what, what went wrong."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from common.guarding.safe_text import plain, plain_lines
from db.engine import reading
from db.errors import DatabaseUnavailable
from db.models import JobState, RunVerdict
from db.stage_runs.job_counts import count_jobs, counts, running_runs
from db.stage_runs.job_queue import troubled_jobs, workers_aside
from db.stage_runs.run_reviews import count_verdicts, reviewed_runs
from db.studio import open_studio

TROUBLES = 50
SILENT_S = 60.0  # a daemon that renewed nothing for so long is told of
SHOWN = 12  # of what runs, in the live table


def farm_report(home: Path | None, database: str | None) -> dict[str, Any]:
    """`mien farm status` as data."""
    with open_studio(home, database) as studio:
        return report_of(studio.engine)


def report_of(engine: Engine) -> dict[str, Any]:
    """How all runs stand, as data."""
    with reading(engine) as tx:
        jobs = count_jobs(tx)
        troubled = troubled_jobs(tx, limit=TROUBLES) if jobs.troubled else []
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
        running = running_runs(tx) if jobs.running else []
        aside = [{"worker": said, "runs": runs} for said, runs in workers_aside(tx)]
    stages = {name: {state.value: n for state, n in states.items()} for name, states in jobs.stages.items()}
    found = {"jobs": counts(jobs), "stages": stages, "running": running, "troubles": troubles, "aside": aside}
    return found | {"verdicts": verdicts, "reviews": reviews}


def show_status(report: Mapping[str, Any]) -> None:
    """`mien farm status` as a table, with everything that went wrong."""
    console = Console()
    console.print(_table(report))
    console.print(_queue(report))
    for line in _running(report) + _aside(report):
        console.print(line)
    _show_reviews(console, report)
    for one in report["troubles"]:
        console.print(_trouble(one))
        console.print(plain_lines(f"    {one['error'].strip()[-1500:]}"), highlight=False, markup=False)
    if report["troubles"]:
        console.print("After mending the cause: mien farm retry [KEY]")


def watch_status(home: Path | None, database: str | None, every_s: float, as_json: bool) -> None:
    """`mien farm status --watch`: the table, up to date until Ctrl-C; with JSON a line a look."""
    with open_studio(home, database) as studio:
        engine = studio.engine
        if as_json:
            while True:
                print(json.dumps(report_of(engine)), flush=True)
                time.sleep(every_s)
        begun, first = time.monotonic(), report_of(engine)
        with Live(_picture(first, 0, 0.0), console=Console(file=sys.stdout), auto_refresh=False) as live:
            while True:
                time.sleep(every_s)
                try:
                    report = report_of(engine)
                except DatabaseUnavailable as error:
                    live.update(Text(f"{error}; looking again", style="yellow"), refresh=True)
                    continue
                done = report["jobs"]["done"] - first["jobs"]["done"]
                live.update(_picture(report, done, time.monotonic() - begun), refresh=True)


def _picture(report: Mapping[str, Any], done: int, seconds: float) -> RenderableType:
    """The live table: counts, pace, what runs, and what went wrong in a line each."""
    jobs = report["jobs"]
    parts: list[RenderableType] = [_table(report), _queue(report)]
    if done and seconds:
        left = jobs["ready"] + jobs["later"] + jobs["blocked"] + jobs["running"]
        pace = done / seconds
        parts.append(Text(f"{60 * pace:.1f} runs a minute; at this pace the {left} left take {_time(left / pace)}."))
    parts += _aside(report)
    lines = _running(report)
    parts += lines[:SHOWN]
    if len(lines) > SHOWN:
        parts.append(Text(f"  and {len(lines) - SHOWN} more"))
    for one in report["troubles"][:SHOWN]:
        last = (one["error"].strip().splitlines() or ["no reason recorded"])[-1]
        parts.append(Text(plain(f"{_trouble(one).plain}: {last}"), style="yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _table(report: Mapping[str, Any]) -> Table:
    states = [s.value for s in JobState]
    table = Table(title=f"{report['jobs']['done']:,} of {report['jobs']['total']:,} stage runs are done")
    table.add_column("Stage")
    for state in states:
        table.add_column(state, justify="right")
    for stage, by_state in report["stages"].items():
        table.add_row(Text(plain(stage)), *(f"{n:,}" if (n := by_state.get(state, 0)) else "–" for state in states))
    return table


def _queue(report: Mapping[str, Any]) -> Text:
    jobs = report["jobs"]
    text = f"Ready {jobs['ready']:,}, backing off {jobs['later']:,}, behind others {jobs['blocked']:,}"
    return Text(text + (f"; {jobs['stopped']:,} of the parked are no longer wanted." if jobs["stopped"] else "."))


def _running(report: Mapping[str, Any]) -> list[Text]:
    """A line for each run under way; one whose daemon is silent is marked."""
    lines = []
    for one in report["running"]:
        text = f"  {one['label'] or one['key'][:12]}  {one['stage']}  for {_time(one['seconds'])}"
        text += f", attempt {one['attempt']}" if one["attempt"] > 1 else ""
        text += f"  by {one['worker']}"
        silent = one["silent_s"] > SILENT_S
        lines.append(Text(plain(text) + (f", silent for {_time(one['silent_s'])}" if silent else ""),
                          style="yellow" if silent else "", no_wrap=True, overflow="ellipsis"))  # fmt: skip
    return lines


def _aside(report: Mapping[str, Any]) -> list[Text]:
    """A line for each worker whose machine is at fault, with how many waiting runs it could not do."""
    return [
        Text(plain(f"{one['worker']} (asked for {one['runs']} of what waits)"), style="yellow")
        for one in report["aside"]
    ]


def _trouble(one: Mapping[str, Any]) -> Text:
    text = f"{one['state']}  {one['stage']}  {one['key'][:12]}  after {one['attempts']} attempts"
    return Text(plain(text), style="yellow")


def _time(seconds: float) -> str:
    """As a person says it: 12 s, 3 min, 5.2 h, 3.1 days."""
    for unit, size, below in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 172800)):
        if seconds < below:
            return f"{seconds / size:.{1 if unit == 'h' else 0}f} {unit}"
    return f"{seconds / 86400:.1f} days"


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
            console.print(plain_lines(f"    {reason}"), highlight=False, markup=False)
        if one["picture"]:
            console.print(f"    picture: object {one['picture'][:12]} of the store", highlight=False, markup=False)
