"""`mien db`: the database of the studio."""

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table
from common.terminal.progress_bar import count_bar
from db.commands import database_audit, database_backup, database_trash

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from db.fsck import FsckReport
    from db.settings import Settings

SHOWN = 40

app = typer.Typer(no_args_is_help=True, help="The studio's database.")
app.add_typer(database_trash.app, name="trash")
app.command(name="adopt-store")(database_trash.adopt_store)
app.registered_commands += database_backup.app.registered_commands


@app.callback()
def _group() -> None:
    """The studio's database."""


@app.command()
def upgrade(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Create the studio's home, bring its database to this program's schema, and enter FaceScape's protocol."""
    from db.access_guard import close_studio
    from db.engine import open_database, shown, transaction
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
        doubt = _marked(settings, engine)
    finally:
        engine.dispose()
    closed = [str(path) for path in close_studio(settings)]
    if as_json:
        said = {"database": shown(engine), "before": before, "revision": head(), "store": doubt or None}
        print_json(said | {"closed_to_others": closed})
        return
    print(f"{shown(engine)} is at revision {head()}" + (" (it was already)" if before == head() else ""))
    for path in closed:
        print(f"{path} was open to other users; it is closed now")
    if doubt:
        print(doubt, "Until then nothing is repaired in the store or erased.", sep="\n", file=sys.stderr)


def _marked(settings: "Settings", engine: "Engine") -> str:
    """Give store and database their identity where they belong together; otherwise why not."""
    from db import store_identity
    from db.errors import StoreError
    from db.store import Store

    try:
        store_identity.require(engine, Store(settings.store, cache=settings.home / "cache"))
    except StoreError as error:
        return str(error).removesuffix("\nNothing was changed.")
    return ""


app.command(name="audit")(database_audit.audit)


@app.command()
def fsck(
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes alone; read no file.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    older_than: Annotated[
        float, typer.Option(min=0, help="Hours that a file is left alone before nobody's file is an orphan.")
    ] = 24.0,
    confirm: database_trash.Confirm = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Hold the store against the records: missing, rotten and orphaned files. Exit code 4 while something is wrong.

    More than a small share is mended only with --confirm; what is removed lies in the trash (mien db trash).
    """
    from db.engine import reading
    from db.erasure.destructive_plan import typed
    from db.erasure.erasures import unfinished_erasures
    from db.fsck import fsck as check
    from db.studio import open_studio

    with open_studio(home, database) as studio, count_bar("store") as told:
        report = check(
            studio.engine, studio.store, read=not quick, repair=repair, older_than=timedelta(hours=older_than),
            told=told, agreed=typed(confirm),
        )  # fmt: skip
        with reading(studio.engine) as tx:
            unfinished = unfinished_erasures(tx)
    if as_json:
        print_json(asdict(report) | {"sound": report.sound and not unfinished, "unfinished_erasures": unfinished})
    else:
        _print_fsck(report, unfinished)
    if not report.sound or unfinished:
        raise typer.Exit(4)


def _print_fsck(report: "FsckReport", unfinished: list[str]) -> None:
    how = "read and hashed" if report.read else "compared by size"
    print(f"{report.files} files, {report.bytes / 1e9:.2f} GB, {how}; the records name {report.named}")
    rows = [[f.trouble, f.name, "\n".join(f.about[:4]), f.mended] for f in report.findings[:SHOWN]]
    if rows:
        print_table("", ["", "file", "what it is", "mended"], rows)
    if len(report.findings) > SHOWN:
        print(f"and {len(report.findings) - SHOWN} more: --json lists them all")
    if report.identity:
        print(report.identity)
    for code in unfinished:
        print(f"The erasure of {code} was interrupted: mien subject withdraw {code} --erase goes on with it")
    left = sum(not f.mended for f in report.findings)
    if left == 0 and report.identity:
        return
    print("The store is sound" if left == 0 else f"{left} to mend" + ("" if any(r[3] for r in rows) else ": --repair"))
