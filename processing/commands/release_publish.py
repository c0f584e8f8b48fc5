"""`mien release sign` and `publish`: a release made ready for the place that will hand it out."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json
from common.terminal.progress_bar import progress_bar
from processing.commands.release_holder import Folder, recorded_facts


def sign(
    folder: Folder,
    key: Annotated[Path | None, typer.Option(help="Secret key of minisign or OpenSSH (the studio's own).")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Sign the manifest of a release that is there: manifest.json.minisig, or .sig with a key of OpenSSH."""
    from processing.release.formats.manifest import read_manifest
    from processing.release.formats.manifest_signature import sign_release
    from processing.release.formats.signing import studio_key

    manifest, digest = read_manifest(folder)
    if key is None:
        from db.settings import Settings

        key = studio_key(Settings.load(home, database).keys)
    public = sign_release(folder, manifest, key)
    if as_json:
        print_json({"folder": str(folder), "manifest_sha256": digest, "signed_with": public})
    else:
        print(f"{folder}: manifest {digest} is signed with {public}")


def publish(
    folder: Folder,
    to: Annotated[str, typer.Option(help="A folder to make, or huggingface, or zenodo.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder to make for huggingface or zenodo (NAME-VERSION-PLACE).")
    ] = None,
    ungated: Annotated[
        bool, typer.Option("--ungated", help="Free for everybody: for releases of synthetic subjects alone.")
    ] = False,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Make what a place that hands out data wants, out of a release that is whole; nothing is uploaded."""
    from common.progress import part
    from processing.release.formats.errors import ReleaseError
    from processing.release.holder.verify import verify
    from processing.release.studio.export.publish import FOLDER, TARGETS, publish

    recorded, _, withdrawn = recorded_facts(folder, home, database)
    with progress_bar(quiet=as_json) as progress:
        progress(0.0, "verifying")
        found = verify(folder, recorded_sha256=recorded, withdrawn=withdrawn)
        if found.manifest is None or not found.intact:
            first = "; ".join(f"{problem.path} {problem.why}" for problem in found.problems[:3])
            raise ReleaseError(f"{folder} cannot be published: {first}. mien release verify lists everything")
        target = to if to in TARGETS else FOLDER
        named = f"{found.manifest.name}-{found.manifest.version}-{to}"
        place = (out or Path(named)) if target == to else Path(to)
        made = publish(folder, found.manifest, target, place, ungated=ungated, progress=part(progress, 0.3, 0.7))
    if as_json:
        print_json(
            {"folder": str(made.folder), "files": made.files, "bytes": made.bytes, "packed": made.packed}
            | {"todo": list(made.todo)}
        )
        return
    print(f"{made.folder}: {made.files} files, {made.bytes / 1e6:.1f} MB" + (", packed" if made.packed else ""))
    for number, step in enumerate(made.todo, start=1):
        print(f"  {number}. {step}")
