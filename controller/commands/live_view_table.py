"""Live view of many cameras in a terminal: a table that is drawn anew each second, worst focus first."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from common.terminal.options import new_table

SHARP, SOFT = 0.9, 0.7  # of a camera's best
BAR = 20
SHOWN = 8  # cameras without a frame before the rest is counted


class ViewTable:
    """A context manager around rich's live display; in a file or a pipe the last table alone is written."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console or Console(), auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)
        if not self._live.console.is_terminal:
            self._live.console.print()

    def show(self, seen: Sequence[Mapping[str, Any]]) -> None:
        """Draw these cameras."""
        self._live.update(table(seen), refresh=True)


def worst_first(seen: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Cameras without a frame, then by focus relative to their best."""
    return sorted(seen, key=lambda one: (one["relative"] is not None, one["relative"] or 0.0, one["camera"]))


def table(seen: Sequence[Mapping[str, Any]]) -> Group:
    """Cameras with their focus, worst first; below, what stands in the others' way."""
    there = [one for one in worst_first(seen) if one["focus"] is not None]
    title = f"Live view: {len(there)} of {len(seen)} cameras, worst focus first"
    made = new_table(title)
    for name in ("camera", "focus", "best", "of best", "", "frame", "age"):
        made.add_column(name, justify="right" if name in ("focus", "best", "of best", "age") else "left", no_wrap=True)
    for one in there:
        relative = one["relative"] or 0.0
        colour = "green" if relative >= SHARP else "yellow" if relative >= SOFT else "red"
        made.add_row(
            Text(one["camera"]), Text(f"{one['focus']:.2f}"), Text(f"{one['best']:.2f}"),
            Text(f"{relative:.0%}", style=colour), Text("█" * round(BAR * relative), style=colour),
            Text(f"{one['width']} x {one['height']}"), Text(f"{one['age_ms'] / 1e3:.1f} s"),
        )  # fmt: skip
    troubled = [Text(f"  {one['camera']}  {one['problem']}") for one in worst_first(seen) if one["problem"]]
    more = [Text(f"  and {len(troubled) - SHOWN} more")] if len(troubled) > SHOWN else []
    return Group(made if there else Text(title), *troubled[:SHOWN], *more)
