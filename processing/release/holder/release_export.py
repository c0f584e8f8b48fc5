"""Release export: subjects, or their takes, written in a format of the table, with licence and credits beside them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from common.progress import Progress, no_progress
from processing.files.morph_targets.morph_target_model import MorphTargetModel, Rights
from processing.release.formats.errors import ReleaseError
from processing.release.formats.released_files import CROISSANT, LICENCE
from processing.release.holder.export_formats import ExportFormat, export_format
from processing.release.holder.morph_target_model import morph_target_model_of
from processing.release.reader import ReleaseFolder, TakeEntry

# Writes a subject to a path, whole or not at all; a format without an ending makes a folder of it.
SubjectWriter = Callable[[Path, MorphTargetModel], None]
# Writes a take into a folder; False, and nothing, where the take has not what the format needs.
TakeWriter = Callable[[ReleaseFolder, TakeEntry, Path, Rights], bool]


def export_release(
    folder: Path,
    out: Path,
    form: str,
    *,
    subjects: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> list[Path]:
    """What was written under `out`: <index><ending> of each subject, or <index>/<label>/ of each take.

    form: a name of EXPORT_FORMATS.  subjects: their indexes; None: all.  Raises ReleaseError.
    """
    chosen = export_format(form)
    release = ReleaseFolder(folder)
    unknown = sorted(set(subjects or ()) - {take.index for take in release.takes})
    if unknown:
        raise ReleaseError(f"{folder} has no subject {unknown[0]}; see its subjects.csv")
    takes = [take for take in release.takes if subjects is None or take.index in subjects]
    rights = rights_of(release)
    write = _write_takes if chosen.of_take else _write_subjects
    return write(chosen, release, takes, out, rights, progress)


def _write_subjects(
    form: ExportFormat,
    release: ReleaseFolder,
    takes: Sequence[TakeEntry],
    out: Path,
    rights: Rights,
    progress: Progress,
) -> list[Path]:
    write: SubjectWriter = form.load_writer()
    by_subject: dict[int, list[TakeEntry]] = {}
    for take in takes:
        by_subject.setdefault(take.index, []).append(take)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (index, own) in enumerate(by_subject.items()):
        progress(number / len(by_subject), f"subject {index}")
        written.append(out / f"{index}{form.ending}")
        write(written[-1], morph_target_model_of(release, own, rights))
    _write_rights(out, rights)
    return written


def _write_takes(
    form: ExportFormat,
    release: ReleaseFolder,
    takes: Sequence[TakeEntry],
    out: Path,
    rights: Rights,
    progress: Progress,
) -> list[Path]:
    write: TakeWriter = form.load_writer()
    written = []
    for number, take in enumerate(takes):
        progress(number / len(takes), f"{take.index} {take.label}")
        target = out / str(take.index) / take.label
        if write(release, take, target, rights):
            _write_rights(target, rights)
            written.append(target)
    if not written:
        raise ReleaseError(f"{release.folder} has {form.lacking}")
    return written


def rights_of(release: ReleaseFolder) -> Rights:
    """From what the release says of itself: its Croissant, and its LICENCE.txt. Raises ReleaseError without either."""
    try:
        said = json.loads((release.folder / CROISSANT.path).read_text(encoding="utf-8"))
        text = (release.folder / LICENCE.path).read_text(encoding="utf-8").strip()
        creators = tuple(str(creator["name"]) for creator in said.get("creator", ()))
        licence, citation = str(said["license"]), str(said["citeAs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"{release.folder} does not say its licence ({error}): fetch {CROISSANT.path} and {LICENCE.path}"
        ) from None
    return Rights(licence, text, creators, citation, f"{release.manifest.name} {release.manifest.version}")


def _write_rights(out: Path, rights: Rights) -> None:
    """LICENCE.txt and CREDITS.txt beside what was exported."""
    (out / LICENCE.path).write_text(rights.licence_text + "\n", encoding="utf-8")
    (out / "CREDITS.txt").write_text(rights.notice + "\n", encoding="utf-8")
