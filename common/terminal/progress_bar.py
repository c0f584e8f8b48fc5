"""Progress bars: one line on the error stream while a long command works, gone when it is done.

Nothing is drawn where the error stream is no terminal. What a bar says may come from elsewhere (a file's name, a
code): it is shown as it is, never read as rich's markup.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.progress import CountProgress, Progress, StepProgress


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Progress]:
    """Of work that knows its share. quiet: draw nothing."""
    with _bar("starting", 1.0, quiet) as show:
        yield lambda done, message: show(message, done, 1.0)


@contextmanager
def count_bar(what: str) -> Iterator[CountProgress]:
    """Of work that is counted. what: said beside the bar."""
    with _bar(what, None) as show:
        yield lambda done, of: show(what, done, of)


@contextmanager
def step_bar() -> Iterator[StepProgress]:
    """Of work in several counted parts, which name themselves."""
    with _bar("", None) as show:
        yield show


@contextmanager
def _bar(message: str, total: float | None, quiet: bool = False) -> Iterator[Callable[[str, float, float], None]]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task(escape(message), total=total)

        def show(message: str, done: float, total: float) -> None:
            bars.update(task, description=escape(message), completed=done, total=total)

        yield show
