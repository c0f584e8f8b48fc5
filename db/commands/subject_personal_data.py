"""`mien subject personal`: who a subject is, sealed. Nothing of it is ever an argument: shells keep those."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from common.terminal.options import AsJson, Database, Home, SubjectCode, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Who a subject is: optional, encrypted, apart from everything else.")


@app.command(name="new-key")
def make_key(
    to: Annotated[
        Path | None, typer.Option(help="A file to make, its owner's alone: for MIEN_PERSONAL_KEY_FILE.")
    ] = None,
) -> None:
    """Make a new key, in a file or for a program. Keep it where the database and its backups are not."""
    from db.errors import PersonalKeyError
    from db.subject_data.personal_data import KEY_FILE, new_key, write_new_key

    if to is not None:
        write_new_key(to)
        print(f"The key is in {to}: export {KEY_FILE}={shlex.quote(str(to.absolute()))}")
    elif sys.stdout.isatty():
        raise PersonalKeyError(
            "A key on the screen stays in its memory and over your shoulder:"
            " mien subject personal new-key --to FILE writes it where only you may read"
        )
    else:
        print(new_key())


@app.command(name="set")
def keep(
    code: SubjectCode,
    replace: Annotated[bool, typer.Option("--replace", help="In place of all that was kept, not beside it.")] = False,
    home: Home = None,
    database: Database = None,
) -> None:
    """Keep a subject's name and how to reach it, beside what is kept: asked for, or a JSON object on standard input."""
    import json

    from db.engine import transaction
    from db.errors import PersonalDataError
    from db.studio import open_studio
    from db.subject_data.personal_data import FIELDS, keep_personal
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
        keep_personal(tx, get_subject(tx, code), said, replace=replace)
    print(f"Kept of {code}, sealed")


@app.command()
def show(code: SubjectCode, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Show who a subject is; the audit log says that somebody looked."""
    from db.engine import transaction
    from db.studio import open_studio
    from db.subject_data.personal_data import personal_of
    from db.subjects import get_subject

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        found = personal_of(tx, get_subject(tx, code))
    print_json(found) if as_json else print_table(f"Subject {code}", ["", ""], list(found.items()))


@app.command()
def remove(
    code: SubjectCode,
    fields: Annotated[
        list[str] | None, typer.Option("--field", help="This alone, as in phone; may be repeated.")
    ] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Remove who a subject is, or a field of that; everything else of it stays."""
    from db.engine import transaction
    from db.studio import open_studio
    from db.subject_data.personal_data import forget_personal, has_personal
    from db.subjects import get_subject

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = get_subject(tx, code)
        forget_personal(tx, subject, fields or ())
        tx.flush()
        left = has_personal(tx, subject)
    print(f"Removed of {code}: {', '.join(fields or ())}" if left else f"Nothing personal is kept of {code} any more")


@app.command()
def rekey(home: Home = None, database: Database = None) -> None:
    """Seal everything anew with the first key of MIEN_PERSONAL_KEY; the others are not needed after that."""
    from db.engine import transaction
    from db.studio import open_studio
    from db.subject_data.personal_data import rekey_personal

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        count = rekey_personal(tx)
    print(f"{count} subjects are sealed with the first key; the others may go")
