"""Whom an animation is played on: a detailed face's folder, or a rig's file with the template it belongs to."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.array_types import Image
from common.bounded.files import read_bytes
from common.bounded.limits import MAX_MAP_BYTES
from common.files.hashes import file_sha256
from processing.animation.dynamic_detail import DetailError, KeyedFace
from processing.face_models.blendshapes.rig import Rig, RigError, read_rig
from processing.face_models.detailed_face import DetailedFace, read_detailed_face
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id
from processing.template.builtin_template import default_template
from processing.template.template_file import read_template


@dataclass(frozen=True, eq=False)
class AnimatedFace:
    """A face that can be moved, with detail where it has some."""

    source: Path
    rig: Rig
    mesh: Mesh  # the neutral
    detailed: DetailedFace | None
    facts: Mapping[str, str | int]  # of where it comes from

    @property
    def jpeg(self) -> bytes | None:
        """Its texture's file."""
        if self.detailed is None:
            return None
        path = self.detailed.folder / "models_reg" / f"{self.detailed.labels[0]}.jpg"
        try:
            return read_bytes(path, MAX_MAP_BYTES)
        except (OSError, ValueError) as error:
            raise DetailError(f"{path} cannot be read ({error}); copy the whole folder again") from None

    @property
    def texture(self) -> Image | None:
        """(S, S, 3) BGR."""
        return None if self.detailed is None else np.ascontiguousarray(self.detailed.texture()[..., ::-1])

    def fingerprint(self) -> str:
        """Of all that its pictures follow from."""
        if self.detailed is None:
            return file_sha256(self.source)
        maps = [self.detailed.folder / "dpmap" / f"{label}.png" for label in self.detailed.labels]
        of_files = [file_sha256(path) for path in (self.detailed.folder / "rig.npz", *maps)]
        return hashlib.sha256("\n".join([*of_files, hashlib.sha256(self.jpeg or b"").hexdigest()]).encode()).hexdigest()


def read_animated_face(source: Path, template: Path | None = None) -> AnimatedFace:
    """A folder of `mien face detail`, or a rig (.npz). template: of a rig's topology; the built-in one by default.

    Raises DetailError, DetailedFaceError, RigError, saying what to do.
    """
    source = Path(source)
    if source.is_dir():
        if template is not None:
            raise DetailError(f"{source} is a detailed face and has its topology with it: leave --template out")
        face = read_detailed_face(source)
        kind = str(face.facts.get("source", ""))
        return AnimatedFace(source, face.rig, face.mesh, face, {"made of": f"detailed face, {kind}"})
    rig = read_rig(source)
    chosen = read_template(template) if template is not None else default_template()
    if topology_id(chosen.mesh) != rig.topology:
        raise RigError(
            f"{source} is of topology {rig.topology}, template {chosen.name} is {topology_id(chosen.mesh)}: name the "
            "template that its takes were registered to with --template"
        )
    mesh = chosen.mesh.with_vertices(rig.neutral_mm.astype(np.float64))
    return AnimatedFace(source, rig, mesh, None, {"made of": "rig"})


def read_keyed_face(folder: Path) -> KeyedFace:
    """A detailed face's folder. Raises DetailedFaceError."""
    return read_detailed_face(Path(folder))
