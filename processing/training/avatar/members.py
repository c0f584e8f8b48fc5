"""The members of a study as low-poly heads in groups, with the textures that may be shown."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from common.bounded.files import read_bytes
from common.bounded.limits import MAX_JSON_BYTES
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.face_models.face_model import FaceModel
from processing.face_models.low_poly_head import LowPolyHead
from processing.template.template_file import read_template
from processing.training.avatar.augmentation import HeadPool, aligned_heads, grouped
from processing.training.avatar.settings import AvatarSettings, AvatarTrainingError
from processing.training.study_faces import StudyFaces

TABLE = "subjects.csv"  # of a release, and beside a folder's subjects
TEMPLATE = "template.npz"
_HEADS = "heads_mm"
LEAST_OF_GROUP = 6  # members: of fewer, five are too often the same
_BAND, _OLD = 20, 60  # years; from the second on all are alike


@dataclass(frozen=True, eq=False)
class Members:
    """Who is learned from."""

    codes: tuple[str, ...]  # N
    head: LowPolyHead
    pool: HeadPool
    pictured: tuple[int, ...]  # whose textures may be used: numbers of members, in order
    textures: tuple[Image, ...]  # (S, S, 3) BGR of those


def low_poly_head(faces: StudyFaces, model: FaceModel | None, vertices: int) -> LowPolyHead:
    """Of the model's topology, or of the template beside a folder's subjects. Raises AvatarTrainingError."""
    if model is not None:
        head = LowPolyHead.of_model(model, vertices)
    elif (faces.folder / TEMPLATE).is_file():
        head = LowPolyHead.of_template(read_template(faces.folder / TEMPLATE), vertices)
    else:
        raise AvatarTrainingError(
            f"{faces.folder} does not say where its topology has eyes and mouth: name the study's model (--model)"
        )
    if head.full != len(faces.mesh.vertices_mm):
        raise AvatarTrainingError(
            f"the model is of {head.full} vertices and {faces.folder} of {len(faces.mesh.vertices_mm)}: name a model "
            "of this study"
        )
    return head


def gather_members(
    faces: StudyFaces,
    model: FaceModel | None,
    codes: Sequence[str],
    settings: AvatarSettings,
    kept: Path,
    *,
    progress: Progress = no_progress,
) -> Members:
    """Neutrals of `codes` as low-poly heads, moved onto their mean, and consenting textures.

    kept: file of the heads, read where it is there.  Raises AvatarTrainingError, StudyError.
    """
    if not kept.exists():
        head = low_poly_head(faces, model, settings.vertices)
        heads = []
        for number, code in enumerate(codes):
            heads.append(head.take(faces.vertices(code, faces.neutral(code))))
            progress((number + 1) / len(codes), f"{number + 1} of {len(codes)} members' heads")
        arrays = {_HEADS: aligned_heads(heads).astype(np.float32), **head.arrays()}
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    # Read in any case: what goes on from a file must not differ in its last bits from what made it.
    head, aligned = _read_heads(kept, len(codes))
    shown = tuple(number for number, code in enumerate(codes) if code in faces.pictured)
    if not shown:
        raise AvatarTrainingError(
            f"no subject of {faces.folder} may be shown in pictures, and heads are rendered with their textures: a "
            "decoder needs some who have agreed to it"
        )
    textures = tuple(
        np.ascontiguousarray(faces.texture(codes[n], faces.neutral(codes[n]), settings.texture_px)[..., ::-1])
        for n in shown
    )
    groups = grouped(kinds_of(faces.folder / TABLE, codes), LEAST_OF_GROUP)
    return Members(tuple(codes), head, HeadPool(head.mesh(aligned.mean(axis=0)), aligned, groups), shown, textures)


def _read_heads(path: Path, count: int) -> tuple[LowPolyHead, Floats]:
    """What `gather_members` kept. Raises AvatarTrainingError."""
    try:
        arrays = read_npz(path)
        head, heads = LowPolyHead.of_arrays(arrays), arrays[_HEADS].astype(np.float64)
    except (DataError, OSError, KeyError, ValueError) as error:
        raise AvatarTrainingError(f"{path} holds no heads ({error}); delete it, and it is made again") from None
    if heads.shape != (count, len(head.vertices), 3):
        raise AvatarTrainingError(f"{path} holds other people's heads; delete its folder, and it is made again")
    return head, heads


def kinds_of(table: Path, codes: Sequence[str]) -> list[tuple[str, ...]]:
    """(gender, band of age) of each, as far as the study's table says; "" where it does not."""
    rows: dict[str, Mapping[str, str]] = {}
    if table.is_file():
        try:
            text = read_bytes(table, MAX_JSON_BYTES).decode()
        except (OSError, ValueError) as error:
            raise AvatarTrainingError(f"{table} cannot be read ({error})") from None
        for row in csv.DictReader(io.StringIO(text)):
            rows[str(row.get("index") or row.get("code"))] = row
    return [(str(rows.get(code, {}).get("gender") or ""), _band(rows.get(code, {}).get("age"))) for code in codes]


def _band(age: str | None) -> str:
    return f"{min(int(age), _OLD) // _BAND * _BAND}" if age and age.isdecimal() else ""


def nearest_members(head_mm: Floats, members: Members, count: int) -> NDArray[np.int64]:
    """Of the pictured members the `count` whose heads are nearest, as numbers into `textures`, the nearest first."""
    off = members.pool.heads_mm[list(members.pictured)] - head_mm
    return np.argsort(np.linalg.norm(off, axis=2).mean(axis=1), kind="stable")[:count].astype(np.int64)
