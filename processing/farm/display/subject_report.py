"""A page that lets a person see whether it worked: one HTML file with its pictures inside."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from common.files.atomic_write import atomic_write
from processing.errors import DataError

WIDEST_PX = 1400


@dataclass(frozen=True)
class ReportTake:
    """A row and a section of the report."""

    name: str
    figures: Mapping[str, str]  # column -> text with its unit
    pictures: Sequence[tuple[str, Path]] = ()  # caption, file


@dataclass(frozen=True)
class Report:
    """What is reported."""

    title: str
    takes: Sequence[ReportTake]
    facts: Mapping[str, str] = field(default_factory=dict)  # name -> text, above the table
    notes: Sequence[str] = ()  # sentences below the table
    warnings: Sequence[str] = ()  # what a person should know


@dataclass(frozen=True)
class _Picture:
    caption: str
    uri: str  # data:, the picture itself
    width: int  # px
    height: int  # px


def write_report(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. Raises DataError for a picture that cannot be read."""
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(render_report(report), encoding="utf-8")


def render_report(report: Report) -> str:
    """The page as text, pictures inlined as JPEG."""
    columns: list[str] = []
    for take in report.takes:
        columns += [name for name in take.figures if name not in columns]
    environment = Environment(
        loader=PackageLoader("processing.farm.display"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    sections = [(take, [_inline(caption, path) for caption, path in take.pictures]) for take in report.takes]
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    page = environment.get_template("report.html.j2")
    return page.render(report=report, columns=columns, sections=sections, made=made)


def _inline(caption: str, path: Path) -> _Picture:
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except OSError as error:
        raise DataError(f"the picture {path} for the report cannot be read: {error}") from None
    picture.thumbnail((WIDEST_PX, 4 * WIDEST_PX))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=84, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return _Picture(caption, f"data:image/jpeg;base64,{data}", *picture.size)
