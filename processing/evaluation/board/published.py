"""The figures of the paper's tables 2 to 4, to be printed beside ours: of other images, so never in one ranking.

FaceScape (TPAMI 2023), section 6.4; data/published_tables.csv has them as printed.
"""

import csv
import io
from importlib.resources import files

from processing.evaluation.board.tables import Cell, Table

_DATA = "data/published_tables.csv"
NOTE = (
    "Other data: these figures are the paper's, of its own images and faces. What stands here was not measured on this "
    "benchmark and cannot be ranked with what was."
)


def published_tables(kind: str) -> list[Table]:
    """The paper's tables of a kind of benchmark, 'lab' (3 and 4) or 'wild' (2)."""
    text = files("processing.evaluation.board").joinpath(_DATA).read_text("utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    return [_table(number, [line for line in lines if line["table"] == number]) for number in _numbers(kind)]


def _numbers(kind: str) -> tuple[str, ...]:
    return ("2",) if kind == "wild" else ("3", "4")


def _table(number: str, lines: list[dict[str, str]]) -> Table:
    unit = " px" if number == "4" else "°"
    groups = list(dict.fromkeys(line["group"] for line in lines))
    rows = []
    for method in dict.fromkeys(line["method"] for line in lines):
        own = [line for line in lines if line["method"] == method]
        cells = [Cell(line[key] or "–") for line in own for key in ("cd_mm", "mne", "cr_percent")]
        rows.append((method, [*cells, Cell(own[0]["success_percent"])]))
    heads = [head for _ in groups for head in ("CD mm", "MNE", "CR %")]
    spans = [(f"{group}{unit}", 3) for group in groups]
    return Table(f"The paper's table {number}: other data", NOTE, [*spans, ("", 1)], [*heads, "success %"], rows)
