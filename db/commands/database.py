"""`mien db`: the database of the studio."""

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from db.commands.options import AsJson, Database, Home, print_json, print_table

if TYPE_CHECKING:
    from db.fsck import FsckReport

SHOWN = 40

app = typer.Typer(no_args_is_help=True, help="The studio's database.")


@app.callback()
def _group() -> None:
    """The studio's database."""


@app.command()
def upgrade(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Create the studio's home, bring its database to this program's schema, and enter FaceScape's protocol."""
    from db.closed import close_studio
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
    finally:
        engine.dispose()
    closed = [str(path) for path in close_studio(settings)]
    if as_json:
        print_json({"database": shown(engine), "before": before, "revision": head(), "closed_to_others": closed})
        return
    print(f"{shown(engine)} is at revision {head()}" + (" (it was already)" if before == head() else ""))
    for path in closed:
        print(f"{path} was open to other users; it is closed now")


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


@app.command()
def fsck(
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes alone; read no file.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    older_than: Annotated[
        float, typer.Option(min=0, help="Hours that a file is left alone before nobody's file is an orphan.")
    ] = 24.0,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Hold the store against the records: missing, rotten and orphaned files. Exit code 4 while something is wrong."""
    from rich.console import Console
    from rich.progress import Progress

    from db.engine import reading
    from db.erasures import unfinished_erasures
    from db.fsck import fsck as check
    from db.studio import open_studio

    with open_studio(home, database) as studio, Progress(console=Console(stderr=True), transient=True) as screen:
        bar = screen.add_task("store", total=None)
        report = check(
            studio.engine, studio.store, read=not quick, repair=repair, older_than=timedelta(hours=older_than),
            told=lambda done, all_: screen.update(bar, completed=done, total=all_),
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
    for code in unfinished:
        print(f"The erasure of {code} was interrupted: mien subject withdraw {code} --erase goes on with it")
    left = sum(not f.mended for f in report.findings)
    print("The store is sound" if left == 0 else f"{left} to mend" + ("" if any(r[3] for r in rows) else ": --repair"))
