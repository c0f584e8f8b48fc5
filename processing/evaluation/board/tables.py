"""The board's tables: as the paper has them (2, 3 and 4), and as they should be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from processing.evaluation.board.aggregates import Group, MethodScores, focal_groups, mean_of, pose_groups
from processing.evaluation.metrics.scores import ARMSE_RADII_MM

AS_PUBLISHED = ("published_cd_mm", "published_mne_rad", "published_completeness")
AS_SHOULD_BE = ("cd_mm", "cd_sum_mm", "mne_rad", "completeness")
BESIDE = (
    *(f"armse_{radius}_mm" for radius in ARMSE_RADII_MM),
    "icp_mm",
    "corresponding_mm",
    "corresponding_similarity_mm",
)
HEADS = {
    "published_cd_mm": "CD mm", "published_mne_rad": "MNE", "published_completeness": "CR %",
    "cd_mm": "CD mm", "cd_sum_mm": "sum mm", "mne_rad": "normals °", "completeness": "CR %",
    "icp_mm": "after ICP mm", "corresponding_mm": "same points mm", "corresponding_similarity_mm": "…, similarity mm",
    **{f"armse_{radius}_mm": f"ARMSE {radius} mm" for radius in ARMSE_RADII_MM},
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A figure as it is printed."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table: a row a method, columns in groups."""

    title: str
    note: str
    groups: Sequence[tuple[str, int]]  # heads over so many columns each
    heads: Sequence[str]  # a column each, after the method's name
    rows: Sequence[tuple[str, Sequence[Cell]]]


def board_tables(kind: str, methods: Sequence[MethodScores]) -> list[Table]:
    """All tables of methods on a benchmark. kind: of the benchmark, 'lab' or 'wild'."""
    rows = [row for method in methods for row in method.rows]
    number = "2" if kind == "wild" else "3"
    published = pose_groups(kind, rows, long_alone=kind == "lab")
    long_only = "; images of the longest focal length alone, as its table is made" if kind == "lab" else ""
    tables = [
        _grouped(
            f"By pose, as published (the paper's table {number})",
            "CD: mean distance of both meshes' points, MNE: angle between normals + 1 in rad, CR: share of the true "
            f"face that is predicted, all as the public evaluator computes them{long_only}.",
            methods, published, AS_PUBLISHED,
        )
    ]  # fmt: skip
    focal = focal_groups(rows)
    if focal:
        note = "The same figures over all poses."
        tables.append(
            _grouped("By focal length, as published (the paper's table 4)", note, methods, focal, AS_PUBLISHED)
        )
    note = (
        "Exact alignment in depth; CD as mean and as the sum of equation 12; true angles between normals, degrees; "
        "no angle of the cylinder twice."
    )
    tables.append(_grouped("By pose, as it should be", note, methods, pose_groups(kind, rows), AS_SHOULD_BE))
    if focal:
        tables.append(_grouped("By focal length, as it should be", note, methods, focal, AS_SHOULD_BE))
    tables.append(
        _grouped(
            "Beside them, over all images",
            "ARMSE: root mean square distance within a radius of the nose's tip; after ICP: point to surface, both "
            "ways, which forgives pose and size; same points: vertices of the same topology, aligned in depth alone, "
            "and after the best similarity. A dash: the method's topology is another.",
            methods, [Group("all images", lambda _: True)], BESIDE,
        )
    )  # fmt: skip
    return [table for table in tables if table.heads]


def summary_table(methods: Sequence[MethodScores]) -> Table:
    """What each method is, how many of its images succeeded, and what it takes."""
    rows = []
    for method in methods:
        focal = {True: "known", False: "unknown", None: "–"}[method.sees_focal]
        seconds = "–" if method.seconds is None else f"{method.seconds:.2f}"
        cells = (method.description or "–", focal, f"{len(method.rows)}", f"{len(method.failed)}",
                 f"{100 * method.success:.1f}", seconds)  # fmt: skip
        rows.append((method.name, [Cell(cell) for cell in cells]))
    heads = ("what it is", "focal length", "images", "failed", "success %", "s an image")
    return Table("Methods", "", [("", len(heads))], heads, rows)


def _grouped(
    title: str, note: str, methods: Sequence[MethodScores], groups: Sequence[Group], figures: Sequence[str]
) -> Table:
    """A column a group and figure, the success rate last; columns that no method has are left out."""
    columns = [(group, figure) for group in groups for figure in figures]
    values = [[mean_of(group.of(method.rows), figure) for group, figure in columns] for method in methods]
    kept = [k for k in range(len(columns)) if any(line[k] is not None for line in values)]
    rows = []
    best = {k: _best(columns[k][1], [line[k] for line in values]) for k in kept}
    for method, line in zip(methods, values, strict=True):
        cells = [Cell(_printed(columns[k][1], line[k]), line[k] is not None and line[k] == best[k]) for k in kept]
        rows.append((method.name, [*cells, Cell(f"{100 * method.success:.1f}")]))
    spans: list[tuple[str, int]] = []
    for k in kept:
        label = columns[k][0].label
        if spans and spans[-1][0] == label:
            spans[-1] = (label, spans[-1][1] + 1)
        else:
            spans.append((label, 1))
    heads = [HEADS[columns[k][1]] for k in kept]
    return Table(title, note, [*spans, ("", 1)], [*heads, "success %"] if heads else [], rows)


def _best(figure: str, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    return max(known) if figure.endswith("completeness") else min(known)


def _printed(figure: str, value: float | None) -> str:
    if value is None:
        return "–"
    if figure.endswith("completeness"):
        return f"{100 * value:.1f}"
    if figure == "mne_rad":
        return f"{math.degrees(value):.2f}"
    return f"{value:.3f}" if figure.endswith("mne_rad") else f"{value:.2f}"


def as_markdown(table: Table) -> str:
    """The table in Markdown, the best of a column in bold."""
    spans = [label for label, count in table.groups for _ in range(count)]
    heads = [f"{label} {head}".strip() for label, head in zip(spans, table.heads, strict=True)]
    lines = [f"## {table.title}", "", *([table.note, ""] if table.note else [])]
    lines.append("| method | " + " | ".join(heads) + " |")
    lines.append("|---|" + "---|" * len(heads))
    for name, cells in table.rows:
        printed = [f"**{cell.text}**" if cell.best else cell.text.replace("|", "\\|") for cell in cells]
        lines.append(f"| {name} | " + " | ".join(printed) + " |")
    return "\n".join(lines) + "\n"
