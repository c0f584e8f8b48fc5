"""`mien subject personal`: who a subject is, sealed. Nothing of it is ever an argument: shells keep those."""

import sys
from typing import Any

import typer

from db.commands.options import AsJson, Database, Home, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Who a subject is: optional, encrypted, apart from everything else.")


@app.command(name="new-key")
def make_key() -> None:
    """Print a new key for MIEN_PERSONAL_KEY. Keep it where the database and its backups are not."""
    from db.personal import new_key

    print(new_key())


@app.command(name="set")
def keep(code: str, home: Home = None, database: Database = None) -> None:
    """Keep a subject's name and how to reach it: asked for, or read as a JSON object from standard input."""
    import json

    from db.engine import transaction
    from db.errors import PersonalDataError
    from db.personal import FIELDS, keep_personal
    from db.studio import open_studio
    from db.subjects import get_subject

    said: Any
    if sys.stdin.isatty():
        said = {name: typer.prompt(name, default="", show_default=False) for name in FIELDS}
    else:
        try:
            said = json.load(sys.stdin)
        except ValueError:
            said = None
        if not isinstance(said, dict) or not all(isinstance(text, str) for text in said.values()):
            raise PersonalDataError(f"Standard input is no JSON object of texts under {', '.join(FIELDS)}") from None
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        keep_personal(tx, get_subject(tx, code), said)
    print(f"Kept of {code}, sealed")


@app.command()
def show(code: str, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Show who a subject is; the audit log says that somebody looked."""
    from db.engine import transaction
    from db.personal import personal_of
    from db.studio import open_studio
    from db.subjects import get_subject

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        found = personal_of(tx, get_subject(tx, code))
    print_json(found) if as_json else print_table(f"Subject {code}", ["", ""], list(found.items()))


@app.command()
def remove(code: str, home: Home = None, database: Database = None) -> None:
    """Remove who a subject is; everything else of it stays."""
    from db.engine import transaction
    from db.personal import forget_personal
    from db.studio import open_studio
    from db.subjects import get_subject

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        forget_personal(tx, get_subject(tx, code))
    print(f"Nothing personal is kept of {code} any more")


@app.command()
def rekey(home: Home = None, database: Database = None) -> None:
    """Seal everything anew with the first key of MIEN_PERSONAL_KEY; the others are not needed after that."""
    from db.engine import transaction
    from db.personal import rekey_personal
    from db.studio import open_studio

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        count = rekey_personal(tx)
    print(f"{count} subjects are sealed with the first key; the others may go")
