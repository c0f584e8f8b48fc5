"""`mien study`: how the study stands, in the records; and which takes the farm has made ready for a release.

The records know no stage: the last one that a released take needs is named here.
"""

from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table
from db.commands.study import app
from processing.stages.outputs import DISPLACEMENT


@app.command()
def candidates(
    stage: Annotated[str, typer.Option(help="The run that a take needs to be ready.")] = DISPLACEMENT.stage,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Who could be released today, and what keeps the others back."""
    from db.engine import reading
    from db.reports.study_overview import release_candidates
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = release_candidates(tx, date.today(), stage=stage)
    if as_json:
        print_json([asdict(candidate) for candidate in found])
        return
    rows = [
        [
            c.code,
            f"{c.accepted}/{c.expressions}",
            c.processed,
            c.pictures,
            _verdicts(c.verdicts),
            c.why or "can be released",
        ]
        for c in found
    ]
    ready = sum(not c.why for c in found)
    title = f"{ready} of {len(found)} subjects can be released"
    print_table(title, ["subject", "accepted", "processed", "pictures", "to look at", ""], rows)


def _verdicts(verdicts: object) -> str | None:
    assert isinstance(verdicts, dict)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())) or None
