"""`mien release`: build, verify and compare dataset releases."""

from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.commands.options import AsJson, Database, Home, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from processing.progress import Progress

app = typer.Typer(no_args_is_help=True, help="Dataset releases: immutable, every file accounted for.")

Folder = Annotated[Path, typer.Argument(help="A release's folder.")]


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="The release's name; its version is the next free number.")],
    out: Annotated[Path, typer.Option(help="Where the folder NAME-VERSION is made.")] = Path("releases"),
    subject: Annotated[list[str] | None, typer.Option(help="Only this subject; may be repeated.")] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Consents are judged on it (today).")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="URL of the licence.")] = None,
    description: Annotated[str | None, typer.Option(help="What the datasheet says first.")] = None,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give up an earlier build that died.")] = False,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Build the next version from consenting subjects' processed takes."""
    from db.studio import open_studio
    from processing.release.build import DEFAULT_DESCRIPTION, DEFAULT_LICENCE, as_report, build_release

    with open_studio(home, database) as studio, _bar(quiet=as_json) as progress:
        built = build_release(
            studio,
            name,
            out,
            day=day.date() if day else None,
            subjects=subject,
            licence=licence or DEFAULT_LICENCE,
            description=description or DEFAULT_DESCRIPTION,
            abandon=abandon,
            progress=progress,
        )
    if as_json:
        print_json(as_report(built))
        return
    if built.skipped:
        print_table("Not released", ["subject", "take", "why"], [[s.subject, s.take, s.why] for s in built.skipped])
    size = built.manifest.bytes / 1e6
    print(f"{built.folder}: {len(built.manifest.subjects)} subjects, {len(built.manifest.files)} files, {size:.1f} MB")
    print(f"manifest {built.manifest_sha256}")


@app.command()
def verify(
    folder: Folder,
    manifest_sha256: Annotated[str | None, typer.Option(help="The manifest's published hash.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Compare every file of a release with its manifest, and that with the studio's records where there are any."""
    from processing.release.verify import verify as verify_folder

    recorded, source = (manifest_sha256, "the given hash") if manifest_sha256 else _recorded(folder, home, database)
    result = verify_folder(folder, recorded_sha256=recorded)
    report = {
        "folder": str(folder),
        "intact": result.intact,
        "manifest_sha256": result.manifest_sha256,
        "manifest_checked_against": source,
        "files": len(result.manifest.files) if result.manifest else 0,
        "bytes": result.manifest.bytes if result.manifest else 0,
        "problems": [{"fault": str(p.fault), "path": p.path, "why": p.why} for p in result.problems],
    }
    if as_json:
        print_json(report)
    elif result.intact:
        print(f"{folder} is intact: {report['files']} files as released; its manifest agrees with {source}")
    else:
        print_table(f"{folder} is not intact", ["path", "why"], [[p.path, p.why] for p in result.problems])
    if not result.intact:
        raise typer.Exit(4)


@app.command()
def diff(before: Folder, after: Folder, as_json: AsJson = False) -> None:
    """Show what changed from one release to another, by their manifests."""
    from processing.release.diff import compare
    from processing.release.manifest import read_manifest

    found = compare(read_manifest(before)[0], read_manifest(after)[0])
    lists = {
        "subjects added": found.subjects_added,
        "subjects removed": found.subjects_removed,
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "moved": tuple(f"{a} -> {b}" for a, b in found.moved),
    }
    if as_json:
        print_json({key.replace(" ", "_"): list(value) for key, value in lists.items()})
        return
    print_table(
        f"{found.before.name} {found.before.version} to {found.after.name} {found.after.version}",
        ["", "count", "first"],
        [[key, len(value), ", ".join(value[:4]) or None] for key, value in lists.items()],
    )


@app.command()
def show(
    folder: Annotated[
        Path | None, typer.Argument(help="A release's folder; without it, all recorded releases.")
    ] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show what a release holds, or list the releases of this studio."""
    from processing.release.manifest import read_manifest

    if folder is None:
        _list(home, database, as_json)
        return
    manifest, digest = read_manifest(folder)
    report = {
        "name": manifest.name,
        "version": manifest.version,
        "consents_valid_on": manifest.consent_day,
        "subjects": list(manifest.subjects),
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "manifest_sha256": digest,
    }
    if as_json:
        print_json(report)
    else:
        report["subjects"] = f"{len(manifest.subjects)}: {', '.join(manifest.subjects[:12])}"
        print_table(str(folder), ["", ""], [[key, value] for key, value in report.items()])


def _list(home: Path | None, database: str | None, as_json: bool) -> None:
    from db.engine import reading
    from db.releases import list_releases, subjects_of_release
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        reports: list[dict[str, Any]] = [
            {
                "name": r.name,
                "version": r.version,
                "state": str(r.state),
                "consents_valid_on": r.consent_day.isoformat(),
                "subjects": subjects_of_release(tx, r),
                "manifest_sha256": r.manifest_sha256,
                "problem": r.problem,
            }
            for r in list_releases(tx)
        ]
    if as_json:
        print_json(reports)
        return
    rows = [
        [r["name"], r["version"], r["state"], len(r["subjects"]), r["consents_valid_on"], r["problem"]] for r in reports
    ]
    print_table("Releases", ["name", "version", "state", "subjects", "consents valid on", "problem"], rows)


def _recorded(folder: Path, home: Path | None, database: str | None) -> tuple[str | None, str]:
    """The manifest's hash from the records, where this machine has the studio's; else its sidecar must do."""
    from db.errors import NotFound, SchemaOutdated
    from db.settings import Settings
    from db.studio import open_studio
    from processing.release.build import recorded_hash
    from processing.release.errors import ManifestError
    from processing.release.manifest import read_manifest

    settings = Settings.load(home, database)
    if home is None and database is None and settings.database.startswith("sqlite:///") and not settings.home.exists():
        return None, "its own sidecar only (no studio here; --manifest-sha256 HASH compares with a published hash)"
    try:
        manifest, _ = read_manifest(folder)
        with open_studio(home, database) as studio:
            return recorded_hash(studio, manifest.name, manifest.version), "the studio's records"
    except ManifestError:
        return None, "nothing"
    except (NotFound, SchemaOutdated):
        if home is not None or database is not None:
            raise
        return None, "its own sidecar only (the studio's records do not know this release)"


@contextmanager
def _bar(*, quiet: bool) -> "Iterator[Progress]":
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda done, message: bar.update(task, completed=done, description=message)
