"""Options that every command on the records takes, and how they report."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.guarding.log_fields import LogFormat
from common.guarding.safe_text import plain_lines

if TYPE_CHECKING:
    from rich.table import Table

Home = Annotated[Path | None, typer.Option("--home", help="Studio home (MIEN_HOME; default ./mien-studio).")]
Database = Annotated[str | None, typer.Option("--database", help="Database URL (MIEN_DATABASE; default in the home).")]
SubjectCode = Annotated[str, typer.Argument(metavar="CODE", help="The subject's code: S012.")]
LogLines = Annotated[
    LogFormat | None,
    typer.Option("--log-format", envvar="MIEN_LOG_FORMAT", help="Log as text for people, or as JSON for machines."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Report as JSON.")]


def print_json(value: object) -> None:
    """Print a report for programs; times and dates in ISO 8601."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def new_table(title: str) -> "Table":
    """An empty table as all reports have it: a line under its heads, nothing at its edges."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(plain_lines(title)), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a report for people; None shows as a dash."""
    from rich.console import Console
    from rich.text import Text

    table = new_table(title)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text("–" if cell is None else plain_lines(str(cell))) for cell in row))
    Console().print(table)
