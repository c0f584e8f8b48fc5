"""Meshes from files, whatever wrote them: PLY and OBJ, by one door for every command."""

from collections.abc import Callable
from pathlib import Path

from processing.errors import MeshError
from processing.files.mesh_arrays import MeshArrays
from processing.files.obj import read_obj_arrays
from processing.files.ply import read_ply_arrays
from processing.geometry.mesh import Mesh

_READERS = {".ply": read_ply_arrays, ".obj": read_obj_arrays}


def read_mesh(path: Path) -> Mesh:
    """A mesh whose vertices keep the file's numbers. Raises MeshError with file, line or row, and what is wrong."""
    return _arrays(path).topology()


def read_scan(path: Path, thin: Callable[[Mesh], Mesh] = lambda mesh: mesh) -> Mesh:
    """The surface in a file, without UVs: what no face names is passed over, and so are empty triangles and crumbs far
    away. Raises MeshError with the file, the line or row, and what is wrong.

    thin: makes a dense mesh a coarser one as it is read.
    """
    return _arrays(path).scan(thin)


def check_mesh_name(path: Path) -> None:
    """Raises MeshError for a file that can be no mesh by its name."""
    if path.suffix.lower() not in _READERS:
        raise MeshError(f"{path}: a mesh is an .obj or a .ply file")


def _arrays(path: Path) -> MeshArrays:
    check_mesh_name(path)
    return _READERS[path.suffix.lower()](path)
