"""A detailed face as a folder: a rig, its key expressions' meshes and displacement maps, and a texture.

    DIR/rig.npz                        Rig; its examples are the key expressions' labels, the neutral first
    DIR/models_reg/<k>_<name>.obj      a mesh of each key expression; .jpg: its texture, at least the neutral's
    DIR/dpmap/<k>_<name>.png           its displacement map, the release's encoding, mm
    DIR/completed.png                  255 where the texture was completed, not seen; absent where all was seen
    DIR/face.json                      {"kind": "mien detailed face", "source": "predicted" | "captured", ...}

A captured subject's own folder is made to the same form by adding rig.npz and face.json.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from common.files.atomic_write import atomic_write
from common.files.json_object import read_json_object
from common.take_codes import TakeLabel
from processing.errors import DataError, ShapeError
from processing.face_models.blendshapes.rig import Rig, read_rig, write_rig
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import read_displacement_png, write_displacement_png
from processing.files.image_files import read_image, write_image
from processing.files.mesh_files import read_mesh
from processing.files.obj import write_obj
from processing.geometry.mesh import Mesh

KIND = "mien detailed face"
SOURCES = ("predicted", "captured")
_JPEG_QUALITY = 95


class DetailedFaceError(DataError):
    """A folder is no detailed face, or one cannot be made of what is given."""


@dataclass(frozen=True, eq=False)
class DetailedFace:
    """A face that moves with its detail: any weights of its rig, and heights over its UVs for the key expressions."""

    folder: Path
    rig: Rig
    mesh: Mesh  # the neutral, with UVs
    facts: Mapping[str, Any]  # face.json

    @property
    def labels(self) -> tuple[str, ...]:
        """(E,) of the key expressions, the neutral first: '1_neutral', '2_smile', ..."""
        return self.rig.examples

    @property
    def key_weights(self) -> Floats:
        """(E, U) blendshape weights of the key expressions: alpha-hat of FaceScape (TPAMI), equation 8."""
        return self.rig.weights

    @property
    def completed_mask(self) -> Path | None:
        """A picture of (S, S), 255 where the texture was completed; None where nothing is marked."""
        path = self.folder / "completed.png"
        return path if path.is_file() else None

    def displacement(self, label: str, size_px: int) -> tuple[Floats32, Bools]:
        """(size_px, size_px) heights in mm over the UVs, row 0 at v = 1, and where they are valid.

        Raises DetailedFaceError for a label that the face has not.
        """
        self._require(label)
        read = read_displacement_png(self.folder / "dpmap" / f"{label}.png")
        return resized_displacement(read.height_mm, read.valid, size_px)

    def texture(self, label: str | None = None) -> Image:
        """(S, S, 3) RGB over the UVs, without light; the neutral's where an expression has none of its own.

        Raises DetailedFaceError for a label that the face has not, DataError for a picture that cannot be read.
        """
        own = self.labels[0] if label is None else label
        self._require(own)
        path = self.folder / "models_reg" / f"{own}.jpg"
        if not path.is_file():
            path = self.folder / "models_reg" / f"{self.labels[0]}.jpg"
        return np.ascontiguousarray(read_image(path)[..., ::-1])

    def _require(self, label: str) -> None:
        if label not in self.labels:
            raise DetailedFaceError(f"{self.folder} has no expression {label!r}; it has {', '.join(self.labels)}")


@dataclass(frozen=True, eq=False)
class FaceParts:
    """What a detailed face is written from."""

    rig: Rig  # with examples, the neutral first, and their weights
    mesh: Mesh  # of its topology, with UVs
    meshes_mm: Mapping[str, Floats]  # label -> (V, 3)
    displacements: Iterable[tuple[str, DisplacementMap]]  # of each label once; may be made as they are asked for
    textures: Mapping[str, Image]  # label -> (S, S, 3) RGB; at least the neutral's
    facts: Mapping[str, Any]  # of face.json, "source" among them
    completed: Bools | None = None  # (S, S) texels of the texture that were not seen


def write_detailed_face(folder: Path, parts: FaceParts) -> DetailedFace:
    """Write a detailed face; face.json comes last, so that a folder with one is whole.

    Raises DetailedFaceError for parts that do not belong together.
    """
    _check(parts)
    labels = parts.rig.examples
    folder.mkdir(parents=True, exist_ok=True)
    for label in labels:
        own = label if label in parts.textures else labels[0]
        if label in parts.textures:
            path = folder / "models_reg" / f"{label}.jpg"
            path.parent.mkdir(exist_ok=True)
            write_image(path, np.ascontiguousarray(parts.textures[label][..., ::-1]), jpeg_quality=_JPEG_QUALITY)
        vertices = np.asarray(parts.meshes_mm[label], dtype=np.float64)
        write_obj(folder / "models_reg" / f"{label}.obj", parts.mesh.with_vertices(vertices), texture=f"{own}.jpg")
    written = set()
    for label, displacement in parts.displacements:
        write_displacement_png(folder / "dpmap" / f"{label}.png", displacement)
        written.add(label)
    if written != set(labels):
        raise DetailedFaceError(f"a detailed face has no displacement map of {_first_missing(labels, written)}")
    if parts.completed is not None:
        write_image(folder / "completed.png", np.where(parts.completed, 255, 0).astype(np.uint8))
    write_rig(folder / "rig.npz", parts.rig)
    facts = {"kind": KIND, **parts.facts}
    with atomic_write(folder / "face.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    neutral = parts.mesh.with_vertices(parts.rig.neutral_mm.astype(np.float64))
    return DetailedFace(folder, parts.rig, neutral, facts)


def read_detailed_face(folder: Path) -> DetailedFace:
    """What `write_detailed_face` wrote; maps and textures are read when they are asked for.

    Raises DetailedFaceError for another folder, one that is not whole or whose parts do not belong together.
    """
    folder = Path(folder)
    facts = read_json_object(folder / "face.json", DetailedFaceError, what="the detailed face")
    if facts.get("kind") != KIND or facts.get("source") not in SOURCES:
        raise DetailedFaceError(f"{folder} is no detailed face; `mien face detail` makes one")
    rig = read_rig(folder / "rig.npz")
    _check_labels(rig.examples, str(folder))
    mesh = read_mesh(folder / "models_reg" / f"{rig.examples[0]}.obj")
    if mesh.uvs is None or len(mesh.vertices_mm) != len(rig.neutral_mm):
        raise DetailedFaceError(f"{folder}: its rig and its meshes are of different topologies, or have no UVs")
    wanted = [f"dpmap/{label}.png" for label in rig.examples] + [f"models_reg/{rig.examples[0]}.jpg"]
    missing = next((name for name in wanted if not (folder / name).is_file()), None)
    if missing is not None:
        raise DetailedFaceError(f"{folder} lacks {missing}; make it again, or copy all of it")
    return DetailedFace(folder, rig, mesh.with_vertices(rig.neutral_mm.astype(np.float64)), facts)


def resized_displacement(height_mm: Floats32, valid: Bools, size_px: int) -> tuple[Floats32, Bools]:
    """A map at another size: smaller, each texel is the mean of the valid ones in it; larger, linear between texels.

    A texel that was made smaller is valid where half of it was.  Raises ShapeError for sizes below 1.
    """
    if size_px < 1:
        raise ShapeError("size_px", (size_px,), "at least 1")
    size, shape = height_mm.shape[0], (size_px, size_px)
    if size_px == size:
        return height_mm.astype(np.float32), valid
    share = valid.astype(np.float32)
    if size_px < size:
        total = cv2.resize(height_mm.astype(np.float32) * share, shape, interpolation=cv2.INTER_AREA)
        weight = cv2.resize(share, shape, interpolation=cv2.INTER_AREA)
        filled = cv2.resize(height_mm.astype(np.float32), shape, interpolation=cv2.INTER_AREA)
        mean = np.where(weight > 0, total / weight.clip(1e-6), filled)
        return mean.astype(np.float32), np.asarray(weight >= 0.5)
    larger = cv2.resize(height_mm.astype(np.float32), shape, interpolation=cv2.INTER_LINEAR)
    return larger, np.asarray(cv2.resize(share, shape, interpolation=cv2.INTER_NEAREST) > 0.5)


def _check(parts: FaceParts) -> None:
    labels = parts.rig.examples
    _check_labels(labels, "the rig")
    if parts.mesh.uvs is None or len(parts.mesh.vertices_mm) != len(parts.rig.neutral_mm):
        raise DetailedFaceError("a detailed face needs a mesh of its rig's topology, with UVs")
    if set(parts.meshes_mm) != set(labels):
        raise DetailedFaceError(f"a detailed face has no mesh of {_first_missing(labels, set(parts.meshes_mm))}")
    if labels[0] not in parts.textures:
        raise DetailedFaceError(f"a detailed face has no texture of {labels[0]}")
    if parts.facts.get("source") not in SOURCES:
        raise DetailedFaceError(f"a detailed face's source is one of {', '.join(SOURCES)}")


def _check_labels(labels: tuple[str, ...], where: str) -> None:
    found = [TakeLabel.find(label) for label in labels]
    first = found[0] if found else None
    if None in found or first is None or not first.is_neutral or len(set(labels)) != len(labels):
        raise DetailedFaceError(f"{where}: key expressions are labels <k>_<name>, each once, the neutral first")


def _first_missing(labels: tuple[str, ...], there: set[str]) -> str:
    return next((label for label in labels if label not in there), "one that its rig has; there are others")
