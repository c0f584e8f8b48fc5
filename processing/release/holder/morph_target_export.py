"""Subjects of a release as artists take them: a neutral face with one morph target an expression, glTF or USD.

Head motion is taken out (the release's template frame), lengths are metres in glTF, as it demands, and millimetres with
metersPerUnit 0.001 in USD; y is up, the face looks along +z.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats32
from common.progress import Progress, no_progress
from processing.geometry.vertex_normals import area_weighted_normals, triangle_cross
from processing.release.formats.errors import ReleaseError
from processing.release.reader import ReleaseFolder, TakeEntry, TopologyArrays


@dataclass(frozen=True)
class Rights:
    """What goes with every exported file: under which terms, whose work, how it is cited, out of which release."""

    licence: str
    licence_text: str
    creators: tuple[str, ...]
    citation: str
    release: str

    @property
    def notice(self) -> str:
        """All of it in a line."""
        whose = ", ".join(self.creators) or "the studio that made it"
        return f"{whose}. From release {self.release}. Licence: {self.licence}. Cite as: {self.citation}"


@dataclass(frozen=True, eq=False)
class MorphTargetModel:
    """A subject's expressions, of one topology, upright, mm. targets: name -> (V, 3) positions."""

    release: str
    version: int
    index: int
    topology: TopologyArrays
    neutral: Floats32
    targets: dict[str, Floats32]
    texture: bytes
    texture_path: str
    rights: Rights


def morph_target_model_of(release: ReleaseFolder, takes: Sequence[TakeEntry]) -> MorphTargetModel:
    """The takes of one subject as a neutral face and targets. Raises ReleaseError without a neutral face."""
    neutral = next((take for take in takes if take.expression == "neutral"), None)
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
        release.texture_path(neutral),
        rights_of(release),
    )


def rights_of(release: ReleaseFolder) -> Rights:
    """From what the release says of itself: its Croissant, and its LICENCE.txt. Raises ReleaseError without either."""
    try:
        said = json.loads((release.folder / "croissant.json").read_text(encoding="utf-8"))
        text = (release.folder / "LICENCE.txt").read_text(encoding="utf-8").strip()
        creators = tuple(str(creator["name"]) for creator in said.get("creator", ()))
        licence, citation = str(said["license"]), str(said["citeAs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"{release.folder} does not say its licence ({error}): fetch croissant.json and LICENCE.txt"
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
    write, ending = _writer(form)
    release = ReleaseFolder(folder)
    by_subject: dict[int, list[TakeEntry]] = {}
    for take in release.takes:
        by_subject.setdefault(take.index, []).append(take)
    unknown = sorted(set(subjects or ()) - by_subject.keys())
    if unknown:
        raise ReleaseError(f"{folder} has no subject {unknown[0]}; see its subjects.csv")
    wanted = [index for index in by_subject if subjects is None or index in subjects]
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, index in enumerate(wanted):
        progress(number / len(wanted), f"subject {index}")
        written.append(out / f"{index}{ending}")
        write(written[-1], morph_target_model_of(release, by_subject[index]))
    write_rights(out, rights_of(release))
    return written


def write_rights(out: Path, rights: Rights) -> None:
    """LICENCE.txt and CREDITS.txt beside what was exported."""
    (out / "LICENCE.txt").write_text(rights.licence_text + "\n", encoding="utf-8")
    (out / "CREDITS.txt").write_text(rights.notice + "\n", encoding="utf-8")


def _writer(form: str) -> tuple[Callable[[Path, MorphTargetModel], None], str]:
    if form == "gltf":
        from processing.release.formats.gltf import write_glb

        return write_glb, ".glb"
    if form == "usd":
        from processing.release.formats.usd import write_usd

        return write_usd, ".usdc"
    raise ReleaseError(f"there is no format '{form}'; there are: gltf, usd, colmap")


def vertex_normals(vertices: Floats32, triangles: NDArray[np.int32]) -> Floats32:
    """(V, 3) unit, weighted by area; up where a vertex has no area."""
    cross = triangle_cross(vertices.astype(np.float64), triangles)
    normals = area_weighted_normals(cross, triangles, len(vertices))
    return np.where(normals.any(axis=1, keepdims=True), normals, [0.0, 1.0, 0.0]).astype(np.float32)
