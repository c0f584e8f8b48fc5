"""What a person sees while runs go on: on the terminal's error stream, so that --json stays clean."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from common.progress import Progress as Listener
from processing.farm.display.quality_figures import brief
from processing.farm.execution.process_listener import ProcessListener
from processing.farm.execution.single_take import progress_of_runs
from processing.farm.execution.subject_layout import ProcessedSubject
from processing.farm.scheduling.stage_graph import StageRun
from processing.stages.discovery import Stages


class RunProgressDisplay(ProcessListener):
    """A bar over all runs, and the step of the run under way. A context manager."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self.console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._part_of: Callable[[StageRun], Listener] = lambda _run: self.checking

    def __enter__(self) -> "RunProgressDisplay":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.checking(1.0, "done")
        self._progress.stop()

    def checking(self, done: float, message: str) -> None:
        self._progress.update(self._task, description=message, completed=done, total=1)

    def planned(self, runs: Sequence[StageRun]) -> None:
        self._part_of = progress_of_runs(runs, self._stages, self.checking)

    def started(self, run: StageRun) -> Listener:
        """The listener of a run; what was planned before it is done."""
        part, begun = self._part_of(run), time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"{run.label}  {run.stage}", highlight=False)

        def report(done: float, message: str) -> None:
            part(done, f"{run.label}  {run.stage}: {message} ({time.monotonic() - begun:.0f} s)")

        report(0.0, "starting")
        return report


def show_processed(made: ProcessedSubject) -> None:
    """The result as a table."""
    console = Console()
    for warning in made.warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False)
    table = Table(title=f"{len(made.quality)} takes, {made.runs} stage runs, {made.seconds:.0f} s")
    rows = {name: brief(quality) for name, quality in made.quality.items()}
    table.add_column("Take")
    for column in next(iter(rows.values()), {}):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(name, *row.values())
    console.print(table)
    console.print("Distances are from the registered skin to the scan, mean; then with relief; then its 95 %.")
    console.print(f"Look at {made.out / 'report.html'}", markup=False, highlight=False)
