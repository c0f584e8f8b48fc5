"""A study's faces as arrays on disk, prepared once: vertices, stretches, textures and displacement maps.

    WORK/vertices.npy   (S, E, V, 3) float32 mm, template frame
    WORK/stretch.npy    (S, E, V, 3) float16, StretchMeter's from rest
    WORK/texture.npy    (S, E, P, P, 3) uint8 RGB
    WORK/height.npy     (S, E, P, P) float16 mm, NaN: not measured
    WORK/maps.json      of what, and who is in it already

They are mapped, not read: memory stays bounded whatever the study's size.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Image
from common.bounded.json_toml import read_json
from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.errors import DataError
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import texels_of
from processing.learning.detail.uv_motion import StretchMeter, TexelGrid
from processing.training.study_faces import StudyFaces

_ARRAYS = ("vertices", "stretch", "texture", "height")


@dataclass(frozen=True, eq=False)
class FaceMaps:
    """Subjects by expressions; what a subject has not is False in `there`."""

    subjects: tuple[str, ...]
    labels: tuple[str, ...]  # the neutral first
    mesh: Mesh
    there: Bools  # (S, E)
    arrays: dict[str, NDArray[Any]]

    @property
    def size_px(self) -> int:
        return int(self.arrays["height"].shape[2])

    @cached_property
    def grid(self) -> TexelGrid:
        return TexelGrid.of(self.mesh, texels_of(self.mesh, self.size_px))

    def number(self, subject: str) -> int:
        return self.subjects.index(subject)

    def vertices(self, subject: int, label: int) -> Floats:
        return np.asarray(self.arrays["vertices"][subject, label], np.float64)

    def stretch(self, subject: int, label: int) -> Floats32:
        """(V, 3) as StretchMeter has it, from the person's neutral."""
        return np.asarray(self.arrays["stretch"][subject, label], np.float32)

    def texture(self, subject: int, label: int) -> Image:
        return np.asarray(self.arrays["texture"][subject, label])

    def height(self, subject: int, label: int) -> tuple[Floats32, Bools]:
        """(P, P) mm, 0 where it was not measured, and where it was."""
        return measured(self.arrays["height"][subject, label])


def measured(height: NDArray[Any]) -> tuple[Floats32, Bools]:
    """Heights whose NaN says "not measured" -> mm with zeros there, and where they were measured."""
    mm = np.asarray(height, np.float32)
    valid = np.isfinite(mm)
    return np.where(valid, mm, 0).astype(np.float32), valid


def prepare_maps(
    faces: StudyFaces, subjects: Sequence[str], size_px: int, work: Path, *, progress: Progress = no_progress
) -> FaceMaps:
    """Read what is not in `work` yet. A subject without a neutral, texture or map is refused by StudyFaces.

    Raises DataError where `work` holds another study's.
    """
    labels = _labels(faces, subjects)
    request = {"subjects": list(subjects), "labels": list(labels), "size_px": size_px, "lineage": dict(faces.lineage)}
    arrays, done = _open(work, request, len(faces.mesh.vertices_mm))
    meter = StretchMeter(faces.mesh)
    there = np.zeros((len(subjects), len(labels)), np.bool_)
    for number, subject in enumerate(subjects):
        own = {str(label) for label in faces.labels(subject)}
        there[number] = [label in own for label in labels]
        if subject in done:
            continue
        progress(number / len(subjects), f"maps of {subject}")
        rest = faces.vertices(subject, labels[0])
        for position in np.flatnonzero(there[number]):
            label = labels[position]
            vertices = rest if position == 0 else faces.vertices(subject, label)
            height, valid = faces.displacement(subject, label, size_px)
            arrays["vertices"][number, position] = vertices
            arrays["stretch"][number, position] = meter.stretch(rest, vertices)
            arrays["texture"][number, position] = faces.texture(subject, label, size_px)
            arrays["height"][number, position] = np.where(valid, height, np.nan)
        for array in arrays.values():
            array.flush()  # type: ignore[attr-defined]
        done.append(subject)
        _note(work, request, done)
    return FaceMaps(tuple(subjects), labels, faces.mesh, there, arrays)


def _labels(faces: StudyFaces, subjects: Sequence[str]) -> tuple[str, ...]:
    """All that anybody has, the neutral first, then by their numbers."""
    found = {label for subject in subjects for label in faces.labels(subject)}
    neutral = [label for label in found if label.is_neutral]
    if not neutral:
        raise DataError(f"{faces.folder} has no neutral faces (<k>_neutral): displacement is learned from them on")
    return tuple(str(label) for label in [neutral[0], *sorted(label for label in found if label is not neutral[0])])


def _open(work: Path, request: dict[str, Any], vertices: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    work.mkdir(parents=True, exist_ok=True)
    note = work / "maps.json"
    done: list[str] = []
    if note.is_file():
        said = read_json(note)
        if {key: said.get(key) for key in request} != json.loads(json.dumps(request)):
            raise DataError(f"{work} holds maps of another study or size; name another folder, or remove it")
        done = [str(one) for one in said["done"]]
    people, takes, size = len(request["subjects"]), len(request["labels"]), request["size_px"]
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "vertices": ((people, takes, vertices, 3), np.float32),
        "stretch": ((people, takes, vertices, 3), np.float16),
        "texture": ((people, takes, size, size, 3), np.uint8),
        "height": ((people, takes, size, size), np.float16),
    }
    arrays: dict[str, NDArray[Any]] = {}
    for name in _ARRAYS:
        shape, kind = shapes[name]
        path = work / f"{name}.npy"
        if done:
            arrays[name] = np.lib.format.open_memmap(path, mode="r+")
            if arrays[name].shape != shape or arrays[name].dtype != kind:
                raise DataError(f"{path} is not what {note} says; remove {work} to prepare it anew")
        else:
            arrays[name] = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    return arrays, done


def _note(work: Path, request: dict[str, Any], done: Sequence[str]) -> None:
    with atomic_write(work / "maps.json") as temporary:
        temporary.write_text(json.dumps({**request, "done": list(done)}) + "\n", encoding="utf-8")
