"""A rig as a neutral face and 52 morph targets, named as ARKit names them, for glTF, USD and OBJ."""

from collections.abc import Mapping

import numpy as np

from common.array_types import Floats, Floats32
from processing.errors import ShapeError
from processing.face_models.blendshapes.rig import Rig
from processing.face_models.face_model import FaceModel
from processing.files.morph_targets.morph_target_model import MorphTargetModel, Rights, TopologyArrays
from processing.geometry.mesh import Mesh


def rig_targets(
    rig: Rig,
    mesh: Mesh,
    name: str,
    *,
    texture: bytes | None = None,
    rights: Rights | None = None,
    facts: Mapping[str, str | int] | None = None,
    plays: bool = True,
) -> MorphTargetModel:
    """The rig as exporters take it; each unit at weight 1 is a target.

    mesh: of its topology, with UVs where it has a texture.  name: what programs list it as.  texture: a JPEG over the
    UVs.  plays: with an animation that shows one unit after another.  Raises ShapeError for a mesh of another topology.
    """
    if len(mesh.vertices_mm) != len(rig.neutral_mm):
        raise ShapeError("mesh", mesh.vertices_mm.shape, str(rig.neutral_mm.shape))
    targets: dict[str, Floats32] = dict(zip(rig.names, rig.shapes_mm, strict=True))
    return MorphTargetModel(
        name, topology_arrays(mesh), rig.neutral_mm, targets, texture, rights, dict(facts or {}), plays
    )


def model_rig(model: FaceModel, identity: Floats) -> Rig:
    """The rig of a person of a model, of identity parameters (n,)."""
    shapes = model.shapes(identity).astype(np.float32)
    return Rig(model.units, shapes[0], shapes[1:], model.topology.topology)


def topology_arrays(mesh: Mesh) -> TopologyArrays:
    """Triangles and UVs of a mesh; without UVs, one for all corners."""
    if mesh.uvs is None or mesh.uv_triangles is None:
        nowhere = np.zeros_like(mesh.triangles)
        return TopologyArrays(mesh.triangles, np.zeros((1, 2), np.float32), nowhere)
    return TopologyArrays(mesh.triangles, mesh.uvs.astype(np.float32), mesh.uv_triangles)
