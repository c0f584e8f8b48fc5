"""A method's answer for one image, mesh and camera, brought into the frame of the camera that made the image."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.array_types import Bools, Floats
from processing.errors import DataError
from processing.evaluation.metrics.view import SUFFIX, View, read_view
from processing.files.mesh_files import read_mesh
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id

MESH_SUFFIXES = (".obj", ".ply")


class PredictionError(DataError):
    """A prediction cannot be measured: it counts as failed, with this reason."""


@dataclass(frozen=True, eq=False)
class TruthFace:
    """The true face of an image, mm, head frame (y up, z out of the face)."""

    #: The detailed surface, the head's whole one where it is known.
    mesh: Mesh
    #: (V, 3) its vertices in the topology, without detail; None: no correspondence.
    base_vertices_mm: Floats | None = None
    #: `processing.geometry.topology.topology_id` of that mesh.
    topology: str | None = None
    #: (68, 3) Multi-PIE.
    landmarks_mm: Floats | None = None
    #: (V,) of the topology's vertices, those of the face.
    face: Bools | None = None
    #: (3,) a point of the vertical axis of the cylinder; None: the mean of the mesh's used vertices.
    centre_mm: Floats | None = None
    #: Between the pupils: published figures are those of a head scaled to 62.85 mm. None: the head has that size.
    pupil_mm: float | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A method's mesh and its camera; None: the mesh lies in the true camera's frame already."""

    mesh: Mesh
    view: View | None = None
    #: (68, 3) Multi-PIE on the mesh, its frame; None: found by correspondence or by place.
    landmarks: Floats | None = None

    @cached_property
    def topology(self) -> str:
        return topology_id(self.mesh)


def read_prediction(folder: Path, name: str) -> Prediction:
    """`<name>.obj` or `<name>.ply` of a method's folder, with `<name>.camera.json` where there is one.

    Raises PredictionError where there is no mesh, MeshError and ViewError for files that cannot be used.
    """
    found = [folder / f"{name}{suffix}" for suffix in MESH_SUFFIXES if (folder / f"{name}{suffix}").is_file()]
    if not found:
        raise PredictionError(f"no mesh: {folder / name}.obj or .ply")
    camera = folder / f"{name}{SUFFIX}"
    return Prediction(read_mesh(found[0]), read_view(camera) if camera.exists() else None)
