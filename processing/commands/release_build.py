"""`mien release select` and `build`: from the records to a folder."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table
from common.terminal.progress_bar import progress_bar

if TYPE_CHECKING:
    from processing.release.studio.export.build import BuiltRelease
    from processing.release.studio.selection.selection_file import SubjectLine

Name = Annotated[str, typer.Argument(help="The release's name; its version is the next free number.")]


def select(
    name: Name,
    out: Annotated[Path, typer.Option(help="The file to write (TOML).")] = Path("selection.toml"),
    rules: Annotated[
        Path | None, typer.Option(help="A selection file whose \\[quality], \\[split] and \\[options] count.")
    ] = None,
    hold_back: Annotated[
        int | None, typer.Option(min=0, help="How many subjects are kept for evaluation (0, or as the rules say).")
    ] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Consents are judged on it (today).")
    ] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Propose who leaves, by consent, quality and split rule, as a file for a person to review."""
    from collections import Counter

    from db.engine import reading, utc_now
    from db.release_records.releases import released_before
    from db.studio import open_studio
    from processing.release.studio.selection.selection import select_takes
    from processing.release.studio.selection.selection_file import propose, read_selection, write_selection
    from processing.release.studio.selection.selection_rules import Options, Quality, Split

    given = read_selection(rules, rules_only=True).file if rules else None
    quality, options = (given.quality, given.options) if given else (Quality(), Options())
    split = given.split if given else Split(seed=name)
    if hold_back is not None:
        split = Split(hold_back, split.seed)
    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        chosen = select_takes(tx, studio.store, day.date() if day else utc_now().date(), quality=quality)
        published = {earlier.code: earlier.last_version for earlier in released_before(tx, name)}
    file = propose(name, chosen, quality=quality, split=split, options=options, published=published)
    write_selection(out, file)
    counts = Counter(str(line.decision) for line in file.subject)
    if as_json:
        waiting = {
            "accepted": sum(line.accepted for line in file.subject),
            "not_processed": sum(line.not_processed for line in file.subject),
            "not_closed": sum(line.not_closed for line in file.subject),
        }
        print_json({"file": str(out), "day": file.day, "subjects": dict(counts), **waiting})
        return
    rows = [
        [line.code, line.decision, f"{len(line.takes)} of {line.accepted}", waiting_in_words(line), line.why or None]
        for line in file.subject
    ]
    print_table(f"Proposed for {name}", ["subject", "decision", "accepted takes", "that wait", "why"], rows)
    unprocessed, unclosed = sum(s.not_processed for s in file.subject), sum(s.not_closed for s in file.subject)
    if unprocessed or unclosed:
        parts = [f"{unprocessed} are not processed yet (mien farm status)"] if unprocessed else []
        parts += [f"{unclosed} lie in sessions that are not closed"] if unclosed else []
        print(f"Of {sum(s.accepted for s in file.subject)} accepted takes {' and '.join(parts)}: they cannot leave.")
    print(f"{out}: {', '.join(f'{n} {what}' for what, n in sorted(counts.items())) or 'nobody'}.")
    print(f"Read it, put your name and the day under [review], then: mien release build {name} --selection {out}")


def build(
    name: Name,
    out: Annotated[Path, typer.Option(help="Where the folder NAME-VERSION is made.")] = Path("releases"),
    selection: Annotated[
        Path | None, typer.Option(help="A reviewed file of mien release select; without it the rules decide alone.")
    ] = None,
    signature: Annotated[
        Path | None, typer.Option(help="A signature of that file: FILE.minisig, or FILE.sig of ssh-keygen -Y sign.")
    ] = None,
    sign_key: Annotated[
        Path | None,
        typer.Option(
            help="Secret key of minisign or OpenSSH that signs the manifest (the studio's own, keys/release.key)."
        ),
    ] = None,
    subject: Annotated[list[str] | None, typer.Option(help="Only this subject; may be repeated.")] = None,
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Consents are judged on it (today).")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="URL or name of the licence.")] = None,
    licence_file: Annotated[Path | None, typer.Option(help="The licence's text, for LICENCE.txt.")] = None,
    description: Annotated[str | None, typer.Option(help="What the datasheet says first.")] = None,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give up an earlier build that died elsewhere.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (as many as are worth it).")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Build the next version. Interrupted, the same command goes on where it stopped."""
    from db.studio import open_studio
    from processing.release.studio.export.build import (
        DEFAULT_DESCRIPTION,
        DEFAULT_LICENCE,
        BuildRequest,
        as_report,
        build_release,
    )

    request = BuildRequest(
        selection=selection,
        signature=signature,
        sign_key=sign_key,
        day=day.date() if day else None,
        subjects=subject,
        licence=licence or DEFAULT_LICENCE,
        licence_text=_licence_text(licence_file) if licence_file else None,
        description=description or DEFAULT_DESCRIPTION,
    )
    with open_studio(home, database) as studio, progress_bar(quiet=as_json) as progress:
        built = build_release(studio, name, out, request, abandon=abandon, workers=workers, progress=progress)
    if as_json:
        print_json(as_report(built))
        return
    _print_built(built)


def _licence_text(file: Path) -> str:
    from processing.release.formats.errors import ReleaseError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"--licence-file {file} cannot be read: {error}") from None


def _print_built(built: "BuiltRelease") -> None:
    """What was released, and what was not."""
    from processing.release.formats.tombstones import WHY_NOT

    if built.skipped:
        print_table("Not released", ["subject", "take", "why"], [[s.subject, s.take, s.why] for s in built.skipped])
    if built.manifest.tombstones:
        withdrawn = [[t.code, t.in_words(), ", ".join(map(str, t.versions))] for t in built.manifest.tombstones]
        print_table("Withdrawn: holders delete it", ["subject", "what", "versions"], withdrawn)
    if built.manifest.no_longer:
        gone = [[g.code, g.take, g.what, WHY_NOT[g.why]] for g in built.manifest.no_longer]
        print_table("No longer part; holders may keep it", ["subject", "expression", "what", "why"], gone)
    size = built.manifest.bytes / 1e6
    print(f"{built.folder}: {len(built.manifest.subjects)} subjects, {len(built.manifest.files)} files, {size:.1f} MB")
    print(f"manifest {built.manifest_sha256}")
    print(f"signed with {built.key.text}")


def waiting_in_words(line: "SubjectLine") -> str | None:
    """How many of a subject's accepted takes cannot leave yet, and why."""
    parts = [f"{line.not_processed} not processed"] if line.not_processed else []
    parts += [f"{line.not_closed} not closed"] if line.not_closed else []
    return ", ".join(parts) or None
