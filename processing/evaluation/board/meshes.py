"""The meshes of a method in a folder, and which belong to which photograph: <name>.obj or .ply, <name>.camera.json."""

import hashlib
from pathlib import Path

from common.files.hashes import file_sha256
from processing.evaluation.metrics.predictions import MESH_SUFFIXES
from processing.evaluation.metrics.view import SUFFIX


def mesh_of(folder: Path, name: str) -> Path | None:
    """A photograph's mesh in a folder, or None: of several the one that is measured."""
    return next((path for ending in MESH_SUFFIXES if (path := folder / f"{name}{ending}").is_file()), None)


def camera_of(folder: Path, name: str) -> Path | None:
    """The camera that came beside it, or None: the mesh lies in the true camera's frame."""
    path = folder / f"{name}{SUFFIX}"
    return path if path.is_file() else None


def files_of(folder: Path, name: str) -> list[Path]:
    """What a method made of a photograph: every file of its name."""
    return sorted(path for path in folder.glob(f"{name}.*") if path.is_file() and path.name.split(".", 1)[0] == name)


def prediction_hash(folder: Path, name: str) -> str:
    """64 hexadecimal digits of mesh and camera; nothing where there is no mesh. Raises OSError."""
    mesh = mesh_of(folder, name)
    if mesh is None:
        return ""
    camera = camera_of(folder, name)
    parts = [mesh.suffix, file_sha256(mesh), file_sha256(camera) if camera else ""]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
