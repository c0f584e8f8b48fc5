"""`mien release fetch`, `verify`, `diff`, `show` and `export`: for whoever holds a release, studio or not."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.guarding.safe_text import shown
from common.terminal.options import AsJson, Database, Home, print_json, print_table
from common.terminal.progress_bar import progress_bar
from processing.release.holder.export_formats import export_format, formats_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import Client

    from processing.release.formats.manifest import Manifest
    from processing.release.formats.tombstones import Tombstone

Folder = Annotated[Path, typer.Argument(help="A release's folder.")]
TokenFile = Annotated[
    Path | None, typer.Option(help="Your token's file, for a gated server (or MIEN_RELEASE_TOKEN has it).")
]
MOST_ROWS = 200  # of problems; more help nobody


def fetch(
    url: Annotated[
        str, typer.Argument(help="Address of a release's folder: where its manifest.json is. Or a file of links.")
    ],
    out: Annotated[Path | None, typer.Option(help="The folder to fetch into (NAME-VERSION).")] = None,
    subject: Annotated[list[str] | None, typer.Option(help="Only this subject (code or index); repeatable.")] = None,
    expression: Annotated[list[str] | None, typer.Option(help="Only this expression; repeatable.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only mesh, texture, displacement, exr, scan, photographs or facts; repeatable."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only paths like this ('mesh/1/*'); repeatable.")] = None,
    manifest_sha256: Annotated[str | None, typer.Option(help="The manifest's published hash.")] = None,
    connections: Annotated[int, typer.Option(min=1, max=32, help="Files at a time.")] = 4,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a release, or a part of it; interrupted, the same command goes on where it stopped."""
    from processing.release.holder.fetch import FetchFilter, TransferSettings, fetch_manifest, fetch_release
    from processing.release.holder.token_access import access_to, hiding_links

    with hiding_links(), progress_bar(quiet=as_json) as progress, _links(url) as (url, client, named):
        access = access_to(url, token_file)
        out = out or named
        if out is None or (access.gated and not kind):
            manifest, _ = fetch_manifest(url, auth=access)
            out = out or Path(f"{manifest.name}-{manifest.version}")
            del manifest  # of a million files, it may be
        kinds = access.narrowed(kind or ())
        wanted = FetchFilter(tuple(subject or ()), tuple(expression or ()), kinds, tuple(only or ()))
        got = fetch_release(
            url,
            out,
            wanted=wanted,
            manifest_sha256=manifest_sha256,
            transfer=TransferSettings(connections=connections),
            client=client,
            auth=access,
            progress=progress,
        )
    if as_json:
        report = {"folder": str(out), "files": got.files, "fetched": got.fetched, "bytes": got.bytes}
        print_json(report | {"manifest_sha256": got.manifest_sha256, "all_files": len(got.manifest.files)})
        return
    print(
        f"{out}: {got.files} of {len(got.manifest.files)} files are here, {got.fetched} fetched now, every hash right"
    )
    print(f"manifest {got.manifest_sha256}")
    if kinds != tuple(kind or ()):
        print(f"Your grant allows {', '.join(kinds)}; nothing else was asked for.")


def verify(
    folder: Folder,
    manifest_sha256: Annotated[str | None, typer.Option(help="The manifest's published hash.")] = None,
    newer: Annotated[
        str | None, typer.Option(help="A newer version (folder or URL): says who has withdrawn since.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Only a part was fetched; files may be missing.")] = False,
    signer: Annotated[
        str | None, typer.Option(help="The public key (or its file) that must have signed it, as its studio published.")
    ] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Compare every file with the manifest, that with the records where there are any, and say who has withdrawn."""
    from processing.release.holder.verify import verify as verify_folder

    recorded, source, withdrawn = recorded_facts(folder, home, database)
    if manifest_sha256:
        recorded, source = manifest_sha256, "the given hash"
    withdrawn = [*withdrawn, *_newer(folder, newer)]
    result = verify_folder(folder, recorded_sha256=recorded, withdrawn=withdrawn, partial=partial, signer=signer)
    report = {
        "folder": str(folder),
        "intact": result.intact,
        "manifest_sha256": result.manifest_sha256,
        "manifest_checked_against": source,
        "signed_by": result.signed_by,
        "files": len(result.manifest.files) - result.absent if result.manifest else 0,
        "absent": result.absent,
        "bytes": result.manifest.bytes if result.manifest else 0,
        "problems": [{"fault": str(p.fault), "path": p.path, "why": p.why} for p in result.problems],
    }
    if as_json:
        print_json(report)
    elif result.intact:
        rest = f" ({result.absent} were not fetched)" if result.absent else ""
        print(f"{folder} is intact: {report['files']} files as released{rest}; its manifest agrees with {source}")
        print(_signature_in_words(result.signed_by, signer))
    else:
        rows = [[shown(p.path), shown(p.why, 500)] for p in result.problems[:MOST_ROWS]]
        more = len(result.problems) - MOST_ROWS
        print_table(
            f"{folder} is not intact", ["path", "why"], rows + ([["...", f"and {more:,} more"]] if more > 0 else [])
        )
    if not result.intact:
        raise typer.Exit(4)


def diff(before: Folder, after: Folder, as_json: AsJson = False) -> None:
    """Show what changed from one release to another, by their manifests."""
    from processing.release.formats.manifest import read_manifest
    from processing.release.holder.manifest_diff import compare

    found = compare(read_manifest(before)[0], read_manifest(after)[0])
    lists = {
        "subjects added": found.subjects_added,
        "subjects removed": found.subjects_removed,
        "withdrawn": found.withdrawn,
        "delete": found.delete,
        "no longer part": found.no_longer,
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
        [[key, len(value), shown(", ".join(value[:4])) or None] for key, value in lists.items()],
    )


def show(
    release: Annotated[
        str | None, typer.Argument(help="A release's folder or URL; without it, all recorded releases.")
    ] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show what a release holds, or list the releases of this studio."""
    if release is None:
        _list(home, database, as_json)
        return
    manifest, digest = _manifest(release)
    report = {
        "name": manifest.name,
        "version": manifest.version,
        "schema_version": manifest.schema_version,
        "consents_valid_on": manifest.consent_day,
        "subjects": list(manifest.subjects),
        "withdrawn": list(dict.fromkeys(tombstone.code for tombstone in manifest.tombstones)),
        "files": len(manifest.files),
        "bytes": manifest.bytes,
        "manifest_sha256": digest,
    }
    if as_json:
        print_json(report)
    else:
        report["subjects"] = shown(f"{len(manifest.subjects)}: {', '.join(manifest.subjects[:12])}", 500)
        from processing.release.holder.token_access import hidden

        withdrawn = [f"{tombstone.code} {tombstone.in_words()}" for tombstone in manifest.tombstones[:200]]
        report["withdrawn"] = shown(", ".join(withdrawn), 2000) or None
        print_table(shown(hidden(release)), ["", ""], [[key, value] for key, value in report.items()])


def export(
    folder: Folder,
    form: Annotated[str, typer.Option("--format", help=formats_in_words())] = "gltf",
    out: Annotated[Path, typer.Option(help="Where a file a subject (a folder a take) is written.")] = Path("export"),
    subject: Annotated[list[int] | None, typer.Option(help="Only this subject's index; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write subjects for artists (a neutral face, morph targets, texture), or takes as COLMAP models.

    Licence and credits go with each file.
    """
    from processing.release.holder.release_export import export_release

    with progress_bar(quiet=as_json) as progress:
        written = export_release(folder, out, form, subjects=subject, progress=progress)
    if as_json:
        print_json([str(path) for path in written])
    else:
        shown_first = ", ".join(str(path.relative_to(out)) for path in written[:8])
        print(f"{out}: {len(written)} {export_format(form).unit}, {shown_first}")


def _signature_in_words(signed_by: str | None, signer: str | None) -> str:
    if signed_by is None:
        return "Its manifest is not signed, or with a key that it does not name: --signer KEY tells"
    named = "" if signer else ", as the release itself says; --signer KEY holds it against the key its studio published"
    return f"Its manifest is signed with {signed_by}{named}"


@contextmanager
def _links(url: str) -> "Iterator[tuple[str, Client | None, Path | None]]":
    """The address, a client and the folder's name for a file of links; for a file with one link, that link."""
    from processing.release.formats.access_secrets import read_secret
    from processing.release.formats.errors import AccessError
    from processing.release.formats.link_list import read_links
    from processing.release.holder.link_transport import client_for

    if "://" in url or not Path(url).is_file():
        yield url, None, None
    elif (found := read_links(Path(url))) is not None:
        with client_for(found) as client:
            yield found.url, client, Path(f"{found.name}-{found.version}")
    else:
        link = read_secret(Path(url)).strip()
        if not link.startswith(("https://", "http://")) or len(link.split()) != 1:
            raise AccessError(f"{url} holds neither a link nor links; a token goes with --token-file")
        yield link, None, None


def _manifest(release: str) -> tuple["Manifest", str]:
    """Of a folder or of an address."""
    from processing.release.formats.manifest import read_manifest

    if release.startswith(("http://", "https://")):
        from processing.release.holder.fetch import fetch_manifest
        from processing.release.holder.token_access import access_to, hiding_links

        with hiding_links():
            return fetch_manifest(release, auth=access_to(release))
    return read_manifest(Path(release))


def _newer(folder: Path, newer: str | None) -> list["Tombstone"]:
    """Who has withdrawn by a newer version that was named, or lies beside the folder."""
    from processing.release.formats.errors import ManifestError, ReleaseError
    from processing.release.formats.manifest import read_manifest
    from processing.release.holder.verify import find_newer

    try:
        manifest, _ = read_manifest(folder)
    except ManifestError:
        return []  # verify says so itself
    if newer is None:  # the newest says all: whoever has consented again since is not named in it
        beside = find_newer(folder, manifest)
        return list(max(beside, key=lambda other: other.version).tombstones) if beside else []
    other, _ = _manifest(newer)
    if other.name != manifest.name or other.version <= manifest.version:
        raise ReleaseError(
            f"{shown(newer)} is {other.name} {other.version}: no newer {manifest.name} than {manifest.version}"
        )
    return list(other.tombstones)


def _list(home: Path | None, database: str | None, as_json: bool) -> None:
    from db.engine import reading
    from db.release_records.releases import list_releases, subjects_of_release
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


def recorded_facts(folder: Path, home: Path | None, database: str | None) -> tuple[str | None, str, list["Tombstone"]]:
    """The manifest's hash, and who has withdrawn, from the records, where this machine has the studio's."""
    from processing.release.formats.errors import ManifestError
    from processing.release.formats.manifest import read_manifest

    alone = "its own sidecar only (no studio here; --manifest-sha256 HASH compares with a published hash)"
    try:
        from db.errors import NoStudio, NotFound, SchemaOutdated
        from db.settings import Settings
        from db.studio import open_studio
    except ModuleNotFoundError:  # installed to read releases alone
        return None, alone, []
    settings = Settings.load(home, database)
    if home is None and database is None and settings.database.startswith("sqlite:///") and not settings.home.exists():
        return None, alone, []
    try:
        manifest, _ = read_manifest(folder)
        with open_studio(home, database) as studio:
            from processing.release.studio.withdrawals.release_records import recorded

            digest, withdrawn = recorded(studio, manifest.name, manifest.version)
            return digest, "the studio's records", withdrawn
    except ManifestError:
        return None, "nothing", []
    except (NoStudio, NotFound, SchemaOutdated):
        if home is not None or database is not None:
            raise
        return None, "its own sidecar only (the studio's records do not know this release)", []
