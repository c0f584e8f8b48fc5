"""`mien benchmark report`: a folder of results to one page to look at, with charts, tables, pictures and failures.

OUT/index.html, OUT/tables.md, OUT/*.svg, OUT/pictures/
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from common.files.atomic_write import write_whole
from common.files.json_object import read_json_object
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark
from processing.evaluation.board.aggregates import MethodScores, focal_groups, pose_groups
from processing.evaluation.board.board_files import BENCHMARK, SUMMARY, benchmark_hash
from processing.evaluation.board.board_pictures import BoardPictures, draw_pictures
from processing.evaluation.board.charts import curves_svg, groups_svg
from processing.evaluation.board.evaluating import evaluator_version
from processing.evaluation.board.published import published_tables
from processing.evaluation.board.score_rows import SCORES, ScoreRow, read_rows
from processing.evaluation.board.tables import Table, as_markdown, board_tables, summary_table

PAGE, TABLES = "index.html", "tables.md"


@dataclass(frozen=True)
class WrittenBoard:
    """What `write_board` wrote."""

    page: Path
    tables: Path
    methods: tuple[str, ...]
    notes: tuple[str, ...]  # what is not as one would think

    def as_report(self) -> dict[str, Any]:
        return {
            "page": str(self.page), "tables": str(self.tables),
            "methods": list(self.methods), "notes": list(self.notes),
        }  # fmt: skip

    def as_text(self) -> str:
        return "\n".join([f"{self.page}: {len(self.methods)} methods", *self.notes])


@dataclass(frozen=True)
class MethodResults:
    """A method's folder of results, read."""

    scores: MethodScores
    meshes: Path
    summary: dict[str, Any]


@dataclass(frozen=True)
class _Failures:
    """Failures of a method, those of one reason together."""

    method: str
    reasons: Sequence[tuple[str, Sequence[str]]]  # reason, names of images


def write_board(
    results: Path, out: Path, *, bench: Path | None = None, published: bool = False, progress: Progress = no_progress
) -> WrittenBoard:
    """Write the page. bench: the benchmark, where it is not where the results say.

    Raises DataError where there are no results, or figures that another evaluator or benchmark gave.
    """
    if not (results / BENCHMARK).is_file():
        raise DataError(f"{results} holds no results: mien benchmark run BENCH METHOD.toml --out {results}")
    told = read_json_object(results / BENCHMARK, DataError, what="the results'")
    folder = bench if bench is not None else results / str(told.get("folder", ""))
    benchmark = Benchmark.open(folder)
    if benchmark_hash(folder) != told.get("hash"):
        raise DataError(f"{folder} is not the benchmark of these results ({told.get('name')}): give its --bench")
    methods = read_results(results)
    scores = sorted((m.scores for m in methods), key=_order)
    notes = _notes(scores, len(benchmark.images))
    common = set.intersection(*({row.name for row in one.rows} for one in scores))
    sections = [("All images of each method", board_tables(benchmark.kind, scores))]
    if any(len(one.rows) != len(common) for one in scores) and common:
        title = f"The {len(common)} images that all methods were given"
        sections.append((title, board_tables(benchmark.kind, [one.over(common) for one in scores])))
    beside = published_tables(benchmark.kind) if published else []
    out.mkdir(parents=True, exist_ok=True)
    charts = _write_charts(out, benchmark.kind, [one.over(common) for one in scores] if common else scores)
    pictures = draw_pictures(benchmark, methods, out / "pictures", progress=progress)
    facts = {
        "benchmark": f"{benchmark.name} ({benchmark.kind})",
        "images": str(len(benchmark.images)),
        "faces": str(len({benchmark.key(image) for image in benchmark.images})),
        "methods": str(len(scores)),
        "evaluator": evaluator_version(),
    }
    _write_page(out, facts, notes, scores, sections, beside, charts, pictures)
    _write_markdown(out / TABLES, facts, notes, scores, sections, beside)
    return WrittenBoard(out / PAGE, out / TABLES, tuple(one.name for one in scores), notes)


def read_results(results: Path) -> list[MethodResults]:
    """All methods of a folder of results. Raises DataError where there are none, or stale ones."""
    found = []
    for path in sorted(results.glob(f"*/{SUMMARY}")):
        summary = read_json_object(path, DataError, what="a method's summary")
        name = path.parent.name
        if summary.get("evaluator") != evaluator_version():
            raise DataError(
                f"{name} was measured by another version of the evaluator: run mien benchmark run or evaluate again "
                f"(meshes that are there are not made anew), or take {path.parent} away"
            )
        names = set(summary.get("images", ()))
        rows = [row for row in read_rows(path.parent / SCORES) if row.name in names]
        if not rows:
            continue
        method = summary.get("method", {})
        scores = MethodScores(
            name, rows, str(method.get("description") or ""), str(method.get("reference") or ""),
            str(method.get("projection") or ""), method.get("sees_focal"),
        )  # fmt: skip
        found.append(MethodResults(scores, path.parent / str(summary.get("meshes", "meshes")), summary))
    if not found:
        raise DataError(f"{results} holds no results: mien benchmark run BENCH METHOD.toml --out {results}")
    return found


def _order(method: MethodScores) -> tuple[float, str]:
    values = [row.figures["cd_mm"] for row in method.rows if "cd_mm" in row.figures]
    return (sum(values) / len(values) if values else float("inf"), method.name)


def _notes(methods: Sequence[MethodScores], images: int) -> tuple[str, ...]:
    some = [f"{method.name} {len(method.rows)}" for method in methods if len(method.rows) < images]
    return (f"Run on some of the {images} images alone: {', '.join(some)}",) if some else ()


def _write_charts(out: Path, kind: str, methods: Sequence[MethodScores]) -> list[str]:
    """The charts of figure 13 and the curve of all images; their files' names."""
    rows = [row for method in methods for row in method.rows]
    poses, focal = pose_groups(kind, rows), focal_groups(rows)
    charts = {"cd-by-pose": groups_svg("Chamfer distance by pose", methods, poses, "cd_mm", "mm")}
    if focal:
        charts["cd-by-focal-length"] = groups_svg("Chamfer distance by focal length", methods, focal, "cd_mm", "mm")
    charts["normals-by-pose"] = groups_svg(
        "Angle between normals by pose", methods, poses, "mne_rad", "degrees", scale=57.29577951308232
    )
    charts["cd-of-images"] = curves_svg("Share of images within a chamfer distance", methods, "cd_mm", 10.0)
    for name, text in charts.items():
        write_whole(out / f"{name}.svg", text)
    return [f"{name}.svg" for name in charts]


def _failures(methods: Sequence[MethodScores]) -> list[_Failures]:
    found = []
    for method in methods:
        if method.failed:
            counted = Counter(row.reason for row in method.failed)
            reasons = [(reason, _names(method.failed, reason)) for reason, _ in counted.most_common()]
            found.append(_Failures(method.name, reasons))
    return found


def _names(rows: Sequence[ScoreRow], reason: str) -> list[str]:
    return [row.name for row in rows if row.reason == reason]


def _write_page(
    out: Path, facts: dict[str, str], notes: Sequence[str], methods: Sequence[MethodScores],
    sections: Sequence[tuple[str, Sequence[Table]]], beside: Sequence[Table], charts: Sequence[str],
    pictures: BoardPictures,
) -> None:  # fmt: skip
    environment = Environment(
        loader=PackageLoader("processing.evaluation.board"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("board.html.j2").render(
        facts=facts, notes=notes, methods=methods, summary=summary_table(methods), sections=sections, beside=beside,
        charts=charts, pictures=pictures, failures=_failures(methods),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )  # fmt: skip
    write_whole(out / PAGE, page)


def _write_markdown(
    path: Path, facts: dict[str, str], notes: Sequence[str], methods: Sequence[MethodScores],
    sections: Sequence[tuple[str, Sequence[Table]]], beside: Sequence[Table],
) -> None:  # fmt: skip
    lines = [f"# Benchmark {facts['benchmark']}", "", ", ".join(f"{k}: {v}" for k, v in facts.items()), ""]
    lines += [f"- {note}" for note in notes] + ([""] if notes else [])
    lines.append(as_markdown(summary_table(methods)))
    for title, tables in sections:
        lines += [f"# {title}", "", *(as_markdown(table) for table in tables)]
    lines += [as_markdown(table) for table in beside]
    for one in _failures(methods):
        lines += [f"## Failures of {one.method}", ""]
        lines += [f"- {len(names)}: {reason} ({', '.join(names[:10])}{', …' if len(names) > 10 else ''})"
                  for reason, names in one.reasons]  # fmt: skip
        lines.append("")
    write_whole(path, "\n".join(lines))
