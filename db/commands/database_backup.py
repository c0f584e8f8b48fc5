"""`mien db backup`, `restore` and `copy`: the studio in a second place."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table
from common.terminal.progress_bar import step_bar

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from db.backups.age_encryption import Opener
    from db.backups.backup import BackupReport
    from db.backups.backup_repository import BackupFolder
    from db.backups.backup_verification import CheckReport
    from db.backups.restore_replay import RestoreReport
    from db.settings import Settings
    from db.store import Store
    from db.transfer.database_copy import CopyReport

SHOWN = 20
app = typer.Typer()

Identity = Annotated[Path | None, typer.Option("--identity", help="File with the age key that opens it.")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File whose first line is the passphrase.")
]


@app.command()
def backup(
    to: Annotated[Path | None, typer.Option("--to", help="Folder of backups; made when it is not there.")] = None,
    check: Annotated[Path | None, typer.Option("--check", help="Read a folder of backups back instead.")] = None,
    encrypt_to: Annotated[
        str | None, typer.Option("--encrypt-to", help="Seal a new folder for this age recipient, or a file of them.")
    ] = None,
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help="Seal a new folder under a passphrase (asks, or MIEN_BACKUP_PASSPHRASE)."),
    ] = False,
    passphrase_file: PassphraseFile = None,
    identity: Identity = None,
    keep: Annotated[
        int | None, typer.Option("--keep", help="Afterwards let all but the newest N snapshots go.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Let them go without asking.")] = False,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Add a snapshot of the database, and the files it names, to a folder of backups; the studio may go on working.

    keys/ and MIEN_PERSONAL_KEY are not in it: keep these two, apart from it. Exit code 4 when files are missing or
    rotten; all others are in the snapshot then.
    """
    from db.backups.backup import back_up
    from db.backups.backup_repository import BackupFolder
    from db.backups.backup_verification import check_backup
    from db.studio import open_studio

    if (to is None) == (check is None):
        raise typer.BadParameter("say --to FOLDER to make a backup, or --check FOLDER to read one back")
    if check is not None:
        folder = BackupFolder.open(check)
        with step_bar() as told:
            found = check_backup(folder, _opener(folder, identity, passphrase_file), lambda d, a: told("files", d, a))
        print_json(asdict(found) | {"sound": found.sound}) if as_json else _print_check(found)
        raise typer.Exit(0 if found.sound else 4)
    assert to is not None
    with open_studio(home, database) as studio, step_bar() as told:
        folder = _folder(to, encrypt_to, passphrase, passphrase_file, str(studio.settings.home))
        report = back_up(studio.settings, studio.engine, studio.store, folder, told)
    print_json(asdict(report) | {"whole": report.whole}) if as_json else _print_backup(report)
    if keep is not None:
        _let_go(folder, keep, yes, as_json)
    raise typer.Exit(0 if report.whole else 4)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of backups.")],
    snapshot: Annotated[str | None, typer.Option("--snapshot", help="Its name; the newest by default.")] = None,
    codes_from: Annotated[
        str | None, typer.Option("--codes-from", help="The first subject code that nobody has, as in S123.")
    ] = None,
    old: Annotated[
        list[Path] | None, typer.Option("--old", help="Home of the studio as it was, to see what the copy lacks.")
    ] = None,
    over: Annotated[
        bool, typer.Option("--over", help="Move an existing database aside; add to a store that has files.")
    ] = False,
    confirm: Annotated[str | None, typer.Option("--confirm", help="With --over: the words that it asks for.")] = None,
    identity: Identity = None,
    passphrase_file: PassphraseFile = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make a studio from a backup, in a new --home. What the copy lacks is named, what can be repeated is repeated."""
    from db.backups.backup_repository import BackupFolder
    from db.backups.restore import choose, restore
    from db.backups.restore_replay import CodesUnknown
    from db.settings import Settings

    settings, folder = Settings.load(home, database), BackupFolder.open(source)
    opener, chosen = _opener(folder, identity, passphrase_file), choose(folder, snapshot)
    if over:
        _confirm(f"restore over {settings.home.name}", confirm)
    # The old homes' own settings: MIEN_DATABASE is the new one's.
    before = [Settings.load(one, _own_database(one)) for one in old or ()]

    def attempt(first: str | None) -> "RestoreReport":
        with step_bar() as told:
            return restore(chosen, settings, opener, codes_from=first, old=before, over=over, told=told, adopt=_adopt)

    try:
        report = attempt(codes_from)
    except CodesUnknown as error:
        if codes_from is not None or not sys.stdin.isatty():
            raise
        print(error)
        report = attempt(typer.prompt("The first free code"))
    print_json(asdict(report)) if as_json else _print_restore(report)
    raise typer.Exit(4 if report.missing else 0)


@app.command()
def copy(
    to: Annotated[str, typer.Option("--to", help="URL of the new, empty database.")],
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Copy all tables to another database: from SQLite to PostgreSQL, or back. Stop the studio and the farm first.

    Give PostgreSQL's password by ~/.pgpass or PGPASSWORD: others can read it in a command line.
    """
    from db.engine import open_database
    from db.errors import SettingsError
    from db.settings import Settings
    from db.transfer.database_copy import copy_database

    try:
        target = open_database(to)
    except SettingsError as error:
        raise SettingsError(
            "--to is no database URL; use sqlite:////path/new.sqlite or postgresql://USER@HOST/NAME"
        ) from error
    source = open_database(Settings.load(home, database).database)
    try:
        if target.url.password:
            print("Others can read a password in the list of processes: use ~/.pgpass or PGPASSWORD", file=sys.stderr)
        with step_bar() as told:
            report = copy_database(source, target, lambda done, all_: told("rows", done, all_))
    finally:
        source.dispose()
        target.dispose()
    where = target.url.set(drivername=target.url.get_backend_name(), password=None).render_as_string()
    if as_json:
        print_json(asdict(report) | {"to": where, "equal": True})
    else:
        _print_copy(report, where)


def _folder(path: Path, encrypt_to: str | None, ask: bool, passphrase_file: Path | None, studio: str) -> "BackupFolder":
    """The folder of backups that is there, or a new one, sealed as was asked."""
    from db.backups.age_encryption import new_passphrase_key, read_passphrase, read_recipients
    from db.backups.backup_repository import MARK, BackupFolder
    from db.errors import BackupKeyError

    if encrypt_to and (ask or passphrase_file):
        raise typer.BadParameter("seal it for a recipient or under a passphrase, not both")
    seal = read_recipients(encrypt_to) if encrypt_to else None
    if (path / MARK).is_file():
        folder = BackupFolder.open(path)
        if (seal and seal != folder.seal) or ((ask or passphrase_file) and folder.seal is None):
            raise BackupKeyError(f"{path} is sealed otherwise, or not at all; begin a new folder to seal it so")
        return folder
    key = None
    if ask or passphrase_file:
        secret = read_passphrase(passphrase_file)
        if secret is None and sys.stdin.isatty():
            secret = typer.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=True)
        if secret is None:
            raise BackupKeyError("A passphrase was asked for: --passphrase-file FILE or MIEN_BACKUP_PASSPHRASE")
        seal, key = new_passphrase_key(secret)
    return BackupFolder.make(path, seal, key, studio)


def _opener(folder: "BackupFolder", identity: Path | None, passphrase_file: Path | None) -> "Opener | None":
    from db.backups.age_encryption import open_passphrase_key, read_identities, read_passphrase

    if folder.seal is None:
        return None
    if identity is not None:
        return read_identities(identity)
    key = folder.path / "key.age"
    if not key.is_file():
        return None
    secret = read_passphrase(passphrase_file)
    if secret is None and sys.stdin.isatty():
        secret = typer.prompt("Passphrase of the backup", hide_input=True)
    return open_passphrase_key(key.read_bytes(), secret) if secret else None


def _own_database(home: Path) -> str:
    from common.bounded.json_toml import read_toml

    try:
        written = read_toml(home / "studio.toml").get("database")
    except (OSError, ValueError):
        written = None
    return str(written or f"sqlite:///{home.absolute() / 'studio.sqlite'}")


def _confirm(words: str, given: str | None) -> None:
    from db.errors import BackupError

    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"Type '{words}' to go on")
    if given != words:
        raise BackupError(f"Nothing was changed: that wants the words --confirm '{words}'")


def _let_go(folder: "BackupFolder", keep: int, yes: bool, as_json: bool) -> None:
    from db.backups.backup_verification import prune_snapshots, surplus_snapshots

    going = surplus_snapshots(folder, keep)
    if going and not yes:
        print(f"To be let go: {', '.join(one.name for one in going)}", file=sys.stderr)
        _confirm(f"let {len(going)} go", None)
    files, size = prune_snapshots(folder, going)
    if not as_json:
        print(
            f"{len(going)} snapshots were moved to dropped/, for a week; "
            f"{files} files ({size / 1e9:.2f} GB) went for good"
        )


def _print_backup(report: "BackupReport") -> None:
    print(f"{report.folder}/snapshots/{report.snapshot}" + (", sealed" if report.sealed else ""))
    print(
        f"  database {report.database_bytes / 1e9:.2f} GB; {report.files} files, {report.bytes / 1e9:.2f} GB, of which "
        f"{report.new_files} ({report.new_bytes / 1e9:.2f} GB) were new; {report.seconds:.1f} s"
    )
    print("  not in it: keys/ and MIEN_PERSONAL_KEY. Keep them, and apart from it: docs/backup.md")
    if report.same_disk:
        print("  It lies on the disk of the store: when that disk dies, both are gone. Copy it elsewhere.")
    for code in report.still_held:
        print(f"  {code} was erased; earlier snapshots may hold its files still: --keep lets them go")
    if report.lacking and report.store_empty:
        print("  The store holds no file at all: is it mounted?")
    if report.lacking:
        rows = [[one.sha256[:12], one.why, "\n".join(one.about[:4])] for one in report.lacking[:SHOWN]]
        print_table(f"{len(report.lacking)} files are NOT in it", ["file", "why", "what it is"], rows)
        print("All others are in the snapshot. See mien db fsck; --json lists every one.")


def _print_check(report: "CheckReport") -> None:
    how = "read and compared" if report.opened else "read; sealed: their sealed bytes compared (--identity opens them)"
    print(f"{len(report.snapshots)} snapshots, {report.files} files, {report.bytes / 1e9:.2f} GB, {how}")
    for damage in report.damage[:SHOWN]:
        print(f"  {damage.name}: {damage.why}; needed by {', '.join(damage.snapshots[-3:])}")
    if len(report.damage) > SHOWN:
        print(f"  and {len(report.damage) - SHOWN} more: --json lists them all")
    if not report.snapshots:
        print("There is no whole snapshot in it")
    elif report.damage:
        print("Files that are sound in the store are copied anew by the next mien db backup. Check the disk.")
    else:
        print("The backup is sound")


def _adopt(engine: "Engine", store: "Store", _settings: "Settings") -> None:
    """The copy and its store are the truth from now on: a person asked for that by restoring."""
    from db.store_identity import accept_as_current

    accept_as_current(engine, store)


def _print_restore(report: "RestoreReport") -> None:
    print(f"{report.home} is the studio of {report.made_at[:16]} UTC (snapshot {report.snapshot})")
    print(f"  rows as they were copied, bit by bit; {report.files} files, {report.bytes / 1e9:.2f} GB")
    print(f"  next subject: {report.next_code}, by {', '.join(report.sources)}" + ("" if report.exact else ", and you"))
    for title, lines in (
        ("Not in this copy, because it came later:", report.newer),
        ("Done again, because the copy is from before:", report.repeated),
        ("Left to you:", report.to_do),
    ):
        if lines:
            print("\n".join([title, *(f"  {line}" for line in dict.fromkeys(lines))]))
    if report.missing:
        rows = [[one["sha256"][:12], one["why"], "\n".join(list(one["about"])[:4])] for one in report.missing[:SHOWN]]
        print_table(f"{len(report.missing)} files that rows name are missing", ["file", "why", "what it is"], rows)


def _print_copy(report: "CopyReport", where: str) -> None:
    rows = [[name, table.rows, table.sha256[:16]] for name, table in report.tables.items() if table.rows]
    print_table("Rows, and digests equal on both sides", ["table", "rows", "SHA-256"], rows)
    print(f"{report.rows} rows; the audit log holds: {report.audit_entries} entries, head {report.head}")
    print(f'Now write in studio.toml:  database = "{where}"')
    print("and move the old database away, so that nobody writes into it.")
