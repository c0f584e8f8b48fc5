"""Morph-target export: subjects as artists take them, a neutral face with a target an expression, glTF or USD.

Head motion is taken out (the release's template frame), lengths are metres in glTF, as it demands, and millimetres with
metersPerUnit 0.001 in USD; y is up, the face looks along +z.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from common.array_types import Floats32
from common.progress import Progress, no_progress
from common.take_codes import NEUTRAL
from processing.release.formats.assets.gltf import write_glb
from processing.release.formats.assets.morph_targets import MorphTargetModel, Rights
from processing.release.formats.assets.usd import write_usd
from processing.release.formats.errors import ReleaseError
from processing.release.formats.released_files import CROISSANT, LICENCE
from processing.release.reader import ReleaseFolder, TakeEntry

_WRITERS: Mapping[str, tuple[Callable[[Path, MorphTargetModel], None], str]] = {
    "gltf": (write_glb, ".glb"),
    "usd": (write_usd, ".usdc"),
}


def morph_target_model_of(release: ReleaseFolder, takes: Sequence[TakeEntry], rights: Rights) -> MorphTargetModel:
    """The takes of one subject as a neutral face and targets. Raises ReleaseError without a neutral face."""
    neutral = next((take for take in takes if take.expression == NEUTRAL), None)
    if neutral is None:
        raise ReleaseError(f"subject {takes[0].index} has no neutral face here: its expressions are targets of nothing")

    def upright(take: TakeEntry) -> Floats32:
        R, t = release.to_template(take)
        return np.asarray(release.vertices(take) @ R.T + t, dtype=np.float32)

    targets = {take.expression: upright(take) for take in takes if take is not neutral}
    path = release.folder / release.texture_path(neutral)
    if not path.is_file():
        raise ReleaseError(f"{path} is not here; fetch the subject's textures too")
    manifest = release.manifest
    return MorphTargetModel(
        manifest.name,
        manifest.version,
        neutral.index,
        release.topology(neutral),
        upright(neutral),
        targets,
        path.read_bytes(),
        rights,
    )


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


def export_subjects(
    folder: Path,
    out: Path,
    form: str,
    *,
    subjects: Sequence[int] | None = None,
    progress: Progress = no_progress,
) -> list[Path]:
    """One file a subject under `out`: <id>.glb or <id>.usdc (with its texture beside it). Raises ReleaseError."""
    if form not in _WRITERS:
        raise ReleaseError(f"there is no format '{form}'; there are: {', '.join(_WRITERS)}, colmap")
    write, ending = _WRITERS[form]
    release = ReleaseFolder(folder)
    by_subject: dict[int, list[TakeEntry]] = {}
    for take in release.takes:
        by_subject.setdefault(take.index, []).append(take)
    unknown = sorted(set(subjects or ()) - by_subject.keys())
    if unknown:
        raise ReleaseError(f"{folder} has no subject {unknown[0]}; see its subjects.csv")
    wanted = [index for index in by_subject if subjects is None or index in subjects]
    rights = rights_of(release)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, index in enumerate(wanted):
        progress(number / len(wanted), f"subject {index}")
        written.append(out / f"{index}{ending}")
        write(written[-1], morph_target_model_of(release, by_subject[index], rights))
    write_rights(out, rights)
    return written


def write_rights(out: Path, rights: Rights) -> None:
    """LICENCE.txt and CREDITS.txt beside what was exported."""
    (out / LICENCE.path).write_text(rights.licence_text + "\n", encoding="utf-8")
    (out / "CREDITS.txt").write_text(rights.notice + "\n", encoding="utf-8")
