"""`mien db`: the database of the studio."""

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
