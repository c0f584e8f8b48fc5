"""`mien camera`: qualify a body beside it, keep the report at the studio.

Beside the camera nothing of the records is there, and in the records nothing of the cameras: here both are known.
"""

import importlib.util
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from camera_nodes.commands.camera import models, qualify
from common.json_values import map_leaves
from common.terminal.options import AsJson, Database, Home, print_json, print_table
from db.errors import SettingsError

app = typer.Typer(
    no_args_is_help=True, help="One camera: qualify its body, keep the report, what its model is known for."
)
app.command()(qualify)
app.command()(models)


@app.command()
def keep(
    report: Annotated[Path, typer.Argument(help="What `mien camera qualify --out` wrote.")],
    camera: Annotated[str | None, typer.Option(help="Its place in the rig, as in cam-07; else by serial.")] = None,
    rig: Annotated[str | None, typer.Option(help="The rig, where several have a camera of that name.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """At the studio: put a report into the records."""
    _need_records()
    from camera_nodes.qualification.report import read_report
    from db.engine import transaction
    from db.models import BodyVerdict
    from db.rigs.body_qualifications import NewReport, keep_report
    from db.studio import open_studio

    found = read_report(report)
    data = report.read_bytes()
    new = NewReport(
        _without_zeros(found.model),
        _without_zeros(found.serial),
        _without_zeros(found.firmware),
        datetime.fromisoformat(found.made_at),
        BodyVerdict(found.verdict),
        found.exposures.made,
        data,
        map_leaves(json.loads(data), _without_zeros),
    )
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        row = keep_report(tx, new, camera=camera, rig=rig)
        place = f"{row.camera.rig.name} {row.camera.name}" if row.camera else None
        number = row.id
    if as_json:
        print_json({"id": number, "camera": place, "model": found.model, "verdict": found.verdict})
        return
    verdict = found.verdict.replace("_", " ")
    print(
        f"Report {number} of {found.model} is kept {f'for {place}' if place else 'for no place in a rig'}: {verdict}."
    )


@app.command()
def reports(
    number: Annotated[int | None, typer.Argument(help="Show this one whole.")] = None,
    camera: Annotated[str | None, typer.Option(help="Only those of this place, as in cam-07.")] = None,
    model: Annotated[str | None, typer.Option(help="Only those of this model.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """At the studio: the reports that are kept, the newest first."""
    _need_records()
    from db.engine import reading
    from db.rigs.body_qualifications import get_report, kept_reports
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        if number is not None:
            _show(get_report(tx, number).report, as_json)
            return
        found = kept_reports(tx, camera=camera, model=model)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    rows = [
        [r.id, r.camera, r.model, r.serial, r.firmware, f"{r.made_at:%Y-%m-%d %H:%M}", r.exposures,
         r.verdict.value.replace("_", " "), "; ".join(r.reasons[:2])]
        for r in found
    ]  # fmt: skip
    columns = ["", "place", "model", "serial", "firmware", "made", "exposures", "verdict", "reasons"]
    print_table("Qualified bodies", columns, rows)


def _need_records() -> None:
    """Raises SettingsError on a camera computer, which has the `node` extra alone."""
    if importlib.util.find_spec("sqlalchemy") is None:
        raise SettingsError(
            "Reports are kept at the studio; here its packages are missing: pip install 'mien[controller]'"
        )


def _without_zeros(value: Any) -> Any:
    """A text without the zero characters that some bodies pad their names with: PostgreSQL keeps none."""
    return value.replace("\0", "") if isinstance(value, str) else value


def _show(report: object, as_json: bool) -> None:
    from camera_nodes.qualification.report import decode
    from camera_nodes.qualification.report_text import table

    data = json.dumps(report).encode()
    print_json(report) if as_json else print(table(decode(data, "the kept report")))
