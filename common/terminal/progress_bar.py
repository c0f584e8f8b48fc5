"""A bar on the terminal that a long command shows while it works, gone when it is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.progress import Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """On standard error; nothing is drawn where that is no terminal."""
    from rich import progress
    from rich.console import Console

    with progress.Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda done, message: bar.update(task, completed=done, description=message)
