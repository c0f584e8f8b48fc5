"""What a study's people look like, for learning: registered meshes, textures and displacement maps, by subject.

One door to two layouts, which have the same files in a subject's folder:

    release    its manifest, lists and tombstones say who is in it, who may be shown, and how each mesh stands
    folder     DIR/<subject>/models_reg/<k>_<name>.obj and .jpg, DIR/<subject>/dpmap/<k>_<name>.png, as `mien process`
               leaves them; a DIR/template.npz is the template that the meshes are of. Who has agreed to what, its
               owner knows.

Nothing is kept in memory: what is needed often is prepared once by whoever needs it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from common.take_codes import TakeLabel
from processing.errors import DataError
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import read_displacement_png
from processing.files.mesh_files import read_mesh
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id
from processing.release.formats.manifest import MANIFEST
from processing.release.formats.released_files import CONVENTIONS, DISPLACEMENT, MESH, TEXTURE
from processing.release.formats.tombstones import Tombstone
from processing.release.reader import ReleaseFolder, TakeEntry, read_rgb
from processing.training.folder_frames import FolderFrames

MEASURED_SHARE = 0.5  # of the texels under one that is made smaller: fewer measured ones make it filled in


class StudyError(DataError):
    """What shall be learned from cannot be used."""


@dataclass(frozen=True)
class FaceFiles:
    """Where a take's files lie, whether or not they are there."""

    mesh: Path
    texture: Path
    displacement: Path


class StudyFaces:
    """The people of a release or of a folder. `open` makes one; see `check_faces` for what is looked at before."""

    def __init__(self, folder: Path, release: ReleaseFolder | None) -> None:
        self.folder = folder
        self._release = release
        self._labels = _labels_in(folder) if release is None else _labels_of(release)
        self._resting: tuple[str, Floats] | None = None  # the last subject's neutral: its expressions follow it

    @staticmethod
    def open(path: Path) -> "StudyFaces":
        """A release where a manifest is, else a folder of subjects. Raises StudyError for neither, ReleaseError."""
        path = Path(path)
        if not path.is_dir():
            raise StudyError(f"{path} is not a folder; name a release, or a folder of subjects")
        faces = StudyFaces(path, ReleaseFolder(path) if (path / MANIFEST).is_file() else None)
        if not faces.subjects:
            raise StudyError(
                f"{path} has no <subject>/models_reg/<k>_<name>.obj to learn from: name a release, or a folder of "
                "subjects as `mien process` leaves them"
            )
        return faces

    def only(self, subjects: Iterable[str]) -> "StudyFaces":
        """The same study with no others than these, as it then is to whoever learns from it."""
        fewer = StudyFaces(self.folder, self._release)
        fewer._labels = {subject: self.labels(subject) for subject in subjects}
        fewer.__dict__["lineage"] = self.lineage  # of the whole: it says which study this is
        return fewer

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Folders' names, in order; in a release those who have withdrawn from this version are not among them."""
        return tuple(sorted(self._labels, key=_in_order))

    @cached_property
    def pictured(self) -> frozenset[str]:
        """Subjects whose texture may be shown in pictures: of a release those on its list whose eyes are open."""
        if self._release is None:
            return frozenset(self.subjects)
        shown = self._release.publishable - self._release.mosaicked
        unseen = {stone.index for stone in _stones(self._release) if stone.what != "take"}
        return frozenset(str(index) for index in shown - unseen) & frozenset(self.subjects)

    @cached_property
    def mosaicked(self) -> frozenset[str]:
        """Subjects whose eyes are coarse blocks in every picture: there a texture tells nothing of skin."""
        indexes = frozenset() if self._release is None else self._release.mosaicked
        return frozenset(str(index) for index in indexes) & frozenset(self.subjects)

    @cached_property
    def lineage(self) -> Mapping[str, Any]:
        """What this is, for `LearnedCard.release`."""
        if self._release is None:
            name, version, digest, layout = self.folder.resolve().name, 0, _folder_digest(self), "folder"
        else:
            manifest, digest, layout = self._release.manifest, self._release.manifest_sha256, "release"
            name, version = manifest.name, manifest.version
        return {
            "name": name, "version": version, "sha256": digest, "layout": layout, "synthetic": _synthetic(self.folder),
        }  # fmt: skip

    @property
    def manifest_sizes(self) -> Mapping[str, int]:
        """Bytes of each file, by its path, as a release's manifest says; {} of a folder."""
        return {} if self._release is None else {entry.path: entry.bytes for entry in self._release.manifest.files}

    @cached_property
    def mesh(self) -> Mesh:
        """Topology with UVs, and the positions of the first subject's neutral in its file's frame. Raises MeshError."""
        first = self.subjects[0]
        mesh = read_mesh(self.files(first, self.neutral(first)).mesh)
        if mesh.uvs is None:
            raise StudyError(f"{self.files(first, self.neutral(first)).mesh} has no UVs, which learning needs")
        return mesh

    @cached_property
    def topology(self) -> str:
        """As `topology_id` has it."""
        return topology_id(self.mesh)

    def labels(self, subject: str) -> tuple[TakeLabel, ...]:
        """Expressions with a registered mesh, in the protocol's order. Raises StudyError for nobody of this study."""
        if subject not in self._labels:
            raise StudyError(f"{self.folder} has no subject {subject}; it has {len(self.subjects)} others")
        return self._labels[subject]

    def neutral(self, subject: str) -> TakeLabel:
        """The label of the face at rest. Raises StudyError where there is none."""
        found = next((label for label in self.labels(subject) if label.is_neutral), None)
        if found is None:
            raise StudyError(
                f"subject {subject} of {self.folder} has no neutral (<k>_neutral.obj), from which everything is told: "
                f"add it, or leave the subject out (--leave-out {subject})"
            )
        return found

    def files(self, subject: str, label: TakeLabel | str) -> FaceFiles:
        """Where the files of a take lie."""
        at = {"index": subject, "label": str(label)}
        return FaceFiles(*(self.folder / file.path.format(**at) for file in (MESH, TEXTURE, DISPLACEMENT)))

    def vertices(self, subject: str, label: TakeLabel | str) -> Floats:
        """(V, 3) mm in the template's frame: the head's motion is taken out, as the release says or by what lies still.

        Raises StudyError for another topology, MeshError and ReleaseError for what cannot be read.
        """
        take = _entry(subject, label)
        if self._release is not None:
            vertices = np.asarray(self._counted(self._release.vertices(take), subject, label), np.float64)
            R, t = self._release.to_template(take)
            return np.asarray(vertices @ R.T.astype(np.float64) + t)
        neutral = self.neutral(subject)
        if self._resting is None or self._resting[0] != subject:
            self._resting = subject, self._of_folder(subject, neutral)
        moved = None if str(label) == str(neutral) else self._of_folder(subject, label)
        return self._frames.stood(self._resting[1], moved)

    def texture(self, subject: str, label: TakeLabel | str, size_px: int) -> Image:
        """(S, S, 3) RGB over the UVs, row 0 is v = 1, as large as asked for. Raises StudyError, ReleaseError."""
        path = self.files(subject, label).texture
        if not path.is_file():
            raise StudyError(f"subject {subject} has no texture of {label} ({path}); fetch it, or leave it out")
        rgb = read_rgb(path, draft_px=size_px)
        if rgb.shape[0] != rgb.shape[1]:
            raise StudyError(f"{path} is {rgb.shape[1]} x {rgb.shape[0]}; a texture over UVs is square")
        if rgb.shape[0] == size_px:
            return rgb
        way = cv2.INTER_AREA if rgb.shape[0] > size_px else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(rgb, (size_px, size_px), interpolation=way), np.uint8)

    def displacement(self, subject: str, label: TakeLabel | str, size_px: int) -> tuple[Floats32, Bools]:
        """(S, S) mm along the normals, and where it was measured; see `resized`. Raises StudyError, DataError."""
        path = self.files(subject, label).displacement
        if not path.is_file():
            raise StudyError(
                f"subject {subject} has no displacement map of {label} ({path}); fetch it (kind displacement), bake "
                "it, or leave it out"
            )
        return resized(read_displacement_png(path), size_px)

    def _of_folder(self, subject: str, label: TakeLabel | str) -> Floats:
        vertices: Floats = self._counted(read_mesh(self.files(subject, label).mesh).vertices_mm, subject, label)
        return vertices

    def _counted(self, vertices: Any, subject: str, label: TakeLabel | str) -> Any:
        if vertices.shape != self.mesh.vertices_mm.shape:
            raise StudyError(
                f"{self.files(subject, label).mesh} has {len(vertices)} vertices and {self.folder} begins with "
                f"{len(self.mesh.vertices_mm)}: all must be of one topology. Register it anew, or leave it out "
                f"(--leave-out {subject})"
            )
        return vertices

    @cached_property
    def _frames(self) -> FolderFrames:
        return FolderFrames.of(self.folder, self.mesh)


def split_subjects(subjects: tuple[str, ...], share: float, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those to train on and those held back, each in the order given; who is held back stays so as a study grows.

    Each subject's place follows from its name and the seed alone, so the share is met in the mean. Where nobody would
    be held back, or nobody trained on, the subject nearest to it is. Raises StudyError for fewer than two subjects.
    """
    if not 0 <= share < 1:
        raise StudyError(f"a share of {share} of the subjects cannot be held back; 0 to below 1")
    if share == 0:
        return tuple(subjects), ()
    if len(subjects) < 2:
        raise StudyError(f"{len(subjects)} subject: two are needed, one to learn from and one to hold back")
    places = {subject: _place(subject, seed) for subject in subjects}
    held = {subject for subject, place in places.items() if place < share}
    by_place = sorted(subjects, key=lambda subject: (places[subject], subject))
    held = held or {by_place[0]}
    held = held if len(held) < len(subjects) else set(by_place[:-1])
    return tuple(s for s in subjects if s not in held), tuple(s for s in subjects if s in held)


def resized(relief: DisplacementMap, size_px: int) -> tuple[Floats32, Bools]:
    """A map (S, S) mm and where it is measured, of another size.

    Smaller: the mean over measured texels, measured where half of them are; where none is, the mean of what was filled
    in. Larger: interpolated, measured where the nearest texel is.
    """
    height, valid = relief.height_mm, relief.valid
    there = len(height)
    if there == size_px:
        return height.astype(np.float32, copy=False), valid
    size = (size_px, size_px)
    if there < size_px:
        larger = cv2.resize(height, size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(larger, np.float32), _nearest(valid, size_px)
    share = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    of_measured = cv2.resize(np.where(valid, height, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    of_all = cv2.resize(height.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mean = np.where(share > 1e-6, of_measured / np.maximum(share, 1e-6), of_all)
    return np.asarray(mean, np.float32), np.asarray(share >= MEASURED_SHARE)


def _nearest(valid: Bools, size_px: int) -> Bools:
    at = ((np.arange(size_px) + 0.5) * len(valid) / size_px).astype(np.intp)
    return np.asarray(valid[np.ix_(at, at)])


def _place(subject: str, seed: int) -> float:
    """0 to 1, evenly spread over names."""
    digest = hashlib.sha256(f"{seed} {subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _entry(subject: str, label: TakeLabel | str) -> TakeEntry:
    parsed = label if isinstance(label, TakeLabel) else TakeLabel.parse(label)
    return TakeEntry(int(subject) if subject.isdecimal() else 0, parsed.position, parsed.name)


def _labels_in(folder: Path) -> dict[str, tuple[TakeLabel, ...]]:
    found = {}
    for place in folder.iterdir():
        meshes = place / MESH.path.split("/")[1]
        if place.name.startswith(".") or not meshes.is_dir():
            continue
        labels = sorted(label for obj in meshes.glob("*.obj") if (label := TakeLabel.find(obj.stem)) is not None)
        if labels:
            found[place.name] = tuple(labels)
    return found


def _labels_of(release: ReleaseFolder) -> dict[str, tuple[TakeLabel, ...]]:
    found: dict[str, list[TakeLabel]] = {}
    stones = _stones(release)
    for take in release.takes:
        mine = [stone for stone in stones if stone.index == take.index]
        whole = any(stone.what == "everything" for stone in mine)
        if whole or any(s.what == "take" and (not s.takes or take.label in s.takes) for s in mine):
            continue
        found.setdefault(str(take.index), []).append(TakeLabel(take.position, take.expression))
    return {subject: tuple(sorted(labels)) for subject, labels in found.items()}


def _stones(release: ReleaseFolder) -> list[Tombstone]:
    """What this version says of itself that nobody may use any more."""
    version = release.manifest.version
    return [stone for stone in release.manifest.tombstones if stone.concerns(version) and not stone.of_model]


def _folder_digest(faces: StudyFaces) -> str:
    """Over names and sizes of all files that are learned from: cheap, and another study has another."""
    digest = hashlib.sha256()
    for subject in faces.subjects:
        for label in faces.labels(subject):
            files = faces.files(subject, label)
            for path in (files.mesh, files.texture, files.displacement):
                size = path.stat().st_size if path.is_file() else -1
                digest.update(f"{path.relative_to(faces.folder)} {size}\n".encode())
    return digest.hexdigest()


def _synthetic(folder: Path) -> bool | None:
    """What conventions.json says of it; None where nobody says."""
    from processing.files.stage_files import read_json

    path = folder / CONVENTIONS.path
    said = read_json(path).get("synthetic") if path.is_file() else None
    return said if isinstance(said, bool) else None


def _in_order(subject: str) -> tuple[int, str]:
    return (int(subject) if subject.isdecimal() else 0), subject
