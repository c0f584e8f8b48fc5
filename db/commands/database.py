"""`mien db`: the database of the studio."""

from dataclasses import asdict
from typing import Annotated

import typer

from db.commands.options import AsJson, Database, Home, print_json

app = typer.Typer(no_args_is_help=True, help="The studio's database.")


@app.callback()
def _group() -> None:
    """The studio's database."""


@app.command()
def upgrade(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Create the studio's home, bring its database to this program's schema, and enter FaceScape's protocol."""
    from db.engine import open_database, transaction
    from db.migrations import current, head
    from db.migrations import upgrade as upgrade_schema
    from db.protocols import FACESCAPE, install_protocol
    from db.settings import Settings

    settings = Settings.load(home, database)
    settings.make_home()
    engine = open_database(settings.database)
    try:
        before = current(engine)
        upgrade_schema(engine)
        with transaction(engine) as tx:
            install_protocol(tx, FACESCAPE)
    finally:
        engine.dispose()
    url = engine.url.render_as_string()
    if as_json:
        print_json({"database": url, "before": before, "revision": head()})
    else:
        print(f"{url} is at revision {head()}" + (" (it was already)" if before == head() else ""))


@app.command()
def audit(
    known: Annotated[str | None, typer.Option(help="A head noted earlier, which must still be in the log.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Verify the audit log: every entry as it was written, none removed, inserted or exchanged."""
    from db.audit import verify_chain
    from db.engine import reading
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = verify_chain(tx, known)
    intact = found.broken is None and found.known_found is not False
    if as_json:
        print_json(asdict(found) | {"intact": intact})
    elif found.broken is not None:
        at = f"{found.broken.at:%Y-%m-%d %H:%M:%S} UTC"
        print(f"The audit log breaks at entry {found.broken.entry} ({found.broken.action}, {at}):")
        print(f"  {found.broken.problem}")
        print(f"The {found.entries} entries before it hold. Compare with a backup to see what was changed.")
    elif not intact:
        print(f"The {found.entries} entries hold together, but the head {known} is not among them:")
        print("  entries were cut off the end, or the log was written anew. Compare with a backup.")
    else:
        print(f"The audit log holds: {found.entries} entries, head {found.head}")
        print("Note the head elsewhere; give it to the next audit as --known.")
    if not intact:
        raise typer.Exit(4)
