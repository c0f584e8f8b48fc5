"""`mien study`: how the whole study stands, from the records alone."""

from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table
from db.commands import subject_rights

app = typer.Typer(
    no_args_is_help=True, help="How the study stands: sessions, missing photographs, candidates, coverage."
)
app.command(name="retention")(subject_rights.retention)


@app.command()
def progress(
    session: Annotated[str, typer.Argument(help="A session's code, as in S012-1.")],
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Where a session stands with each expression; `mien session show` says the same where a studio is served."""
    from db.captures import get_session
    from db.engine import reading
    from db.reports.session_progress import session_progress
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = session_progress(tx, get_session(tx, session))
    if as_json:
        print_json(asdict(found))
        return
    rows = [
        [
            e.position,
            e.name,
            e.attempts,
            f"skipped: {e.skipped}" if e.skipped else e.state,
            f"{e.frames}/{found.cameras - e.absent}",
        ]
        for e in found.expressions
    ]
    print_table(f"{found.code}, {found.state}", ["", "expression", "attempts", "state", "photographs"], rows)


@app.command()
def missing(
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Takes that lack photographs while no whole take stands for their expression."""
    from db.engine import reading
    from db.reports.study_overview import missing_frames
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = missing_frames(tx, session=session)
    if as_json:
        print_json([asdict(take) for take in found])
        return
    rows = [
        [t.code, t.label, len(t.cameras), ", ".join(t.cameras[:6]) + (", …" if len(t.cameras) > 6 else "")]
        for t in found
    ]
    print_table("Photographs missing", ["take", "expression", "lacks", "cameras"], rows)


@app.command(name="coverage")
def show_coverage(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Subjects by gender and age, and how many of them are captured and released."""
    from db.engine import reading
    from db.reports.study_overview import coverage
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = coverage(tx, date.today())
    if as_json:
        print_json([asdict(cell) for cell in found])
        return
    rows = [
        [
            c.gender,
            None if c.age_from is None else f"{c.age_from}-{c.age_from + 9}",
            c.subjects,
            c.consenting,
            c.captured,
            c.released,
        ]
        for c in found
    ]
    rows.append(
        [
            "all",
            None,
            *(
                sum(column)
                for column in zip(*((c.subjects, c.consenting, c.captured, c.released) for c in found), strict=True)
            ),
        ]
    )
    print_table("Coverage", ["gender", "age", "subjects", "consenting", "captured", "released"], rows)
