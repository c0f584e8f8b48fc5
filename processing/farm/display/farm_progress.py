"""`mien farm run` on a terminal: what is done, what runs, what went wrong."""

import json
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from common.guarding.log_fields import LogFormat
from common.guarding.safe_text import plain, plain_lines
from db.models import JobState
from db.stage_runs.job_counts import JobCounts, counts
from db.studio import open_studio
from processing.farm.daemon import FarmDaemon
from processing.farm.display.farm_log import FarmLog
from processing.farm.farm_listener import FarmListener, Summary
from processing.farm.settings import FarmSettings
from processing.farm.template_files import studio_template

OF_THE_FARM = ("disk", "store", "workers")  # problems that are of no session


class FarmProgressDisplay(FarmListener):
    """A farm at work: a bar over all runs, a line a running stage. A listener and a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._task = self._bar.add_task("stage runs", total=None)
        self._running: dict[str, str] = {}
        self._lock = threading.Lock()
        self._live = Live(console=self.console, get_renderable=self._picture, refresh_per_second=4)

    def __enter__(self) -> "FarmProgressDisplay":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        self._live.stop()
        if not self.console.is_terminal:
            self.console.line()  # rich ends the bar's line on terminals alone

    def _picture(self) -> Table:
        grid = Table.grid()
        grid.add_row(self._bar)
        with self._lock:
            for label, text in self._running.items():
                grid.add_row(Text(plain(f"  {label}  {text}")))
        return grid

    def started(self, label: str, stage: str) -> None:
        with self._lock:
            self._running[f"{label} {stage}"] = ""

    def progressed(self, label: str, stage: str, done: float, message: str) -> None:
        with self._lock:
            if f"{label} {stage}" in self._running:
                self._running[f"{label} {stage}"] = f"{100 * done:3.0f} %  {message}"

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None:
        with self._lock:
            self._running.pop(f"{label} {stage}", None)
        if state == JobState.DONE:
            self.console.print(f"{label}  {stage}  done in {seconds:.1f} s", highlight=False, markup=False)
        else:
            what = "will be tried again" if state == JobState.QUEUED else state.value
            lines = error.strip().splitlines() or ["no reason given"]
            said = lines[-1] if state == JobState.QUEUED else "\n".join(lines)
            self.console.print(plain_lines(f"{label}  {stage}  {what}: {said}"), style="yellow", markup=False)

    def counted(self, jobs: JobCounts) -> None:
        self._bar.update(self._task, total=max(jobs.total, 1), completed=jobs.done)

    def warned(self, message: str) -> None:
        self.console.print(plain_lines(message), style="yellow", markup=False)


def run_farm(
    home: Path | None,
    database: str | None,
    *,
    until_idle: bool,
    as_json: bool,
    template: str | None = None,
    **given: Any,
) -> int:
    """`mien farm run`; the exit code: 0, 4 when runs failed for good, 130 when interrupted."""
    with ExitStack() as opened:
        studio = opened.enter_context(open_studio(home, database))
        settings = FarmSettings.load(studio.settings, template=template, **given)
        text = settings.log_format is LogFormat.TEXT
        display = opened.enter_context(FarmProgressDisplay() if text else FarmLog(settings.log_format))
        path = studio_template(studio.settings.home, settings.template, display.warned)
        farm = FarmDaemon(studio.engine, studio.settings.store, settings, path, display)
        interrupted = stop_on_signals(farm)
        summary = farm.run(until_idle=until_idle)
    say_summary(summary, as_json)
    if interrupted.is_set():
        Console(stderr=True).print("Interrupted; nothing is lost. Go on with: mien farm run")
        return 130
    return 4 if summary.jobs.troubled or summary.problems else 0


def stop_on_signals(farm: FarmDaemon) -> threading.Event:
    """Ctrl-C and SIGTERM end the daemon in order; a second one ends it at once."""
    asked = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        asked.set()
        farm.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return asked


def say_summary(summary: Summary, as_json: bool) -> None:
    jobs = summary.jobs
    if as_json:
        report: dict[str, Any] = {"done": summary.done, "planned": summary.planned}
        report |= {"failed_attempts": summary.failed_attempts, "seconds": round(summary.seconds, 2)}
        print(json.dumps(report | {"problems": summary.problems, "jobs": counts(jobs)}))
        return
    console = Console()
    if summary.done == 0 and jobs.done == jobs.total:
        console.print(f"Nothing to do: all {jobs.total} stage runs are done.", highlight=False)
    else:
        console.print(f"{summary.done} stage runs in {summary.seconds:.1f} s; {jobs.done} of {jobs.total} are done.")
    if jobs.troubled:
        console.print(
            f"{jobs.failed} failed, {jobs.parked} parked, {jobs.blocked} wait behind others. "
            "See: mien farm status; after mending the cause: mien farm retry",
            style="yellow",
        )
    for session, problem in summary.problems.items():
        said = problem if session in OF_THE_FARM else f"Session {session} has no runs: {problem}"
        console.print(plain_lines(said), style="yellow", markup=False)
