"""Faces for FS-Lab from folders: DIR/<subject>/models_reg/<k>_<name>.obj and .jpg, dpmap/<k>_<name>.png, as releases
have them and `mien process` leaves them.
"""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.take_codes import TakeLabel
from processing.evaluation.lab.lab_subject import LabError, LabSubject
from processing.evaluation.lab.make_lab import LabChoice
from processing.files.displacement_png import read_displacement_png
from processing.files.image_files import read_image
from processing.files.mesh_files import read_mesh

MESHES, MAPS = "models_reg", "dpmap"
_SHOWN = 5


@dataclass(frozen=True)
class LabFolder:
    """One subject's folder, and the expressions of which mesh, texture and displacement are there."""

    folder: Path
    labels: tuple[TakeLabel, ...]  # in the protocol's order
    incomplete: tuple[str, ...]  # labels that have a mesh alone

    @property
    def code(self) -> str:
        return self.folder.name

    def read(self, label: TakeLabel) -> LabSubject:
        """Raises MeshError and DataError naming the file."""
        meshes = self.folder / MESHES
        mesh, texture = read_mesh(meshes / f"{label}.obj"), read_image(meshes / f"{label}.jpg")
        if texture.shape[0] != texture.shape[1]:
            raise LabError(f"{meshes / f'{label}.jpg'} is {texture.shape[1]} x {texture.shape[0]}; textures are square")
        relief = read_displacement_png(self.folder / MAPS / f"{label}.png")
        return LabSubject(self.code, str(label), mesh, relief, texture)


def lab_folders(source: Path) -> list[LabFolder]:
    """The subjects of a folder, by name. Raises LabError where there is none."""
    if not source.is_dir():
        raise LabError(f"there is no folder {source}")
    found = []
    there = (p for p in source.iterdir() if (p / MESHES).is_dir() and not p.name.startswith("."))  # .: not whole yet
    for folder in sorted(there, key=_in_order):
        labels: list[TakeLabel] = []
        alone: list[TakeLabel] = []
        for path in sorted((folder / MESHES).glob("*.obj")):
            if (label := TakeLabel.find(path.stem)) is None:
                continue
            whole = path.with_suffix(".jpg").is_file() and (folder / MAPS / f"{path.stem}.png").is_file()
            (labels if whole else alone).append(label)
        found.append(LabFolder(folder, tuple(sorted(labels)), tuple(str(label) for label in sorted(alone))))
    if not found:
        raise LabError(
            f"{source} has no <subject>/{MESHES}/<k>_<name>.obj: name a release, or a folder of subjects as mien "
            "process leaves them"
        )
    return found


def choose(
    folders: Sequence[LabFolder],
    count: int,
    seed: int,
    *,
    expressions: Sequence[str] = (),
    refused: Collection[str] = (),
) -> list[LabChoice]:
    """`count` subjects drawn by the seed, by name in the end, and one expression of each.

    expressions: names or labels ('smile', '2_smile') to draw from; none: all that are there.  refused: codes of those
    whose pictures must not be shown.  Raises LabError where fewer can be used, saying why.
    """
    usable: list[tuple[LabFolder, list[TakeLabel]]] = []
    lacking: list[str] = []
    without: list[str] = []
    for folder in folders:
        if folder.code in refused:
            continue
        labels = [lab for lab in folder.labels if not expressions or str(lab) in expressions or lab.name in expressions]
        if labels:
            usable.append((folder, labels))
        else:
            (without if folder.labels else lacking).append(folder.code)
    if len(usable) < count:
        raise LabError(_too_few(len(usable), count, lacking, without, expressions, refused))
    drawn = np.sort(np.random.default_rng([seed, 0]).permutation(len(usable))[:count])
    return [_choice(usable[number][0], usable[number][1], seed) for number in drawn.tolist()]


def _choice(folder: LabFolder, labels: Sequence[TakeLabel], seed: int) -> LabChoice:
    # By the code, so that who is there besides changes nobody's expression.
    rng = np.random.default_rng([seed, 1, zlib.crc32(folder.code.encode())])
    label = labels[int(rng.integers(len(labels)))]
    return LabChoice(folder.code, str(label), lambda: folder.read(label))


def _too_few(
    usable: int, count: int, lacking: Sequence[str], without: Sequence[str], expressions: Sequence[str],
    refused: Collection[str],
) -> str:  # fmt: skip
    why = [f"{count} subjects are wanted and {usable} can be used"]
    if refused:
        why.append(f"{len(refused)} may not be shown ({_some(sorted(refused))})")
    if lacking:
        why.append(f"{len(lacking)} lack a texture or a displacement map beside every mesh ({_some(lacking)})")
    if without:
        why.append(f"{len(without)} have none of {', '.join(expressions)} ({_some(without)})")
    return "; ".join(why) + ": ask for fewer by --subjects, or name another source"


def _some(codes: Sequence[str]) -> str:
    more = f" and {len(codes) - _SHOWN} more" if len(codes) > _SHOWN else ""
    return f"{', '.join(codes[:_SHOWN])}{more}"


def _in_order(folder: Path) -> tuple[int, str]:
    return (int(folder.name) if folder.name.isdecimal() else 0), folder.name
