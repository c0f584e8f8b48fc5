"""A small face with detail for tests: a shield that bulges, units that move it, key expressions with maps."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from processing.face_models.blendshapes.rig import Rig
from processing.face_models.detailed_face import DetailedFace, FaceParts, write_detailed_face
from processing.files.displacement_map import DisplacementMap
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id

UNITS = ("jawOpen", "mouthSmileLeft", "browInnerUp", "ownUnit")
LABELS = ("1_neutral", "2_smile", "3_mouth_stretch", "19_brow_raiser")
MAP_PX = 48


@lru_cache(maxsize=1)
def bumped_mesh() -> Mesh:
    """(625 vertices) a shield of 160 mm that bulges towards +z."""
    side = 25
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    z = 60 * np.exp(-1.2 * (x**2 + y**2))
    vertices = np.stack([80 * x, 100 * y, z], axis=-1).reshape(-1, 3)
    first = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    triangles = np.concatenate(
        [np.stack([first, first + 1, first + side], 1), np.stack([first + 1, first + side + 1, first + side], 1)]
    ).astype(np.int32)
    uvs = np.stack([0.05 + 0.45 * (x.ravel() + 1), 0.05 + 0.45 * (y.ravel() + 1)], axis=1)
    return Mesh(vertices, triangles, uvs=uvs, uv_triangles=triangles)


def seen_rig() -> Rig:
    mesh = bumped_mesh()
    neutral = mesh.vertices_mm.astype(np.float32)
    x, y = neutral[:, 0] / 80, neutral[:, 1] / 100
    moves = (
        ((0, -0.5), (0, -14, 0)), ((0.4, -0.4), (6, 6, 2)), ((0, 0.6), (0, 8, 0)), ((0, 0), (0, 0, 5)),
    )  # fmt: skip
    shapes = []
    for (cx, cy), offset in moves:
        near = np.clip(1 - np.hypot(x - cx, y - cy) / 0.6, 0, 1) ** 2
        shapes.append(neutral + near[:, None] * np.array(offset, np.float32))
    weights = np.array([[0, 0, 0, 0], [0, 0.9, 0, 0], [0.8, 0, 0, 0], [0, 0.1, 1, 0]])
    return Rig(UNITS, neutral, np.stack(shapes).astype(np.float32), topology_id(mesh), LABELS, weights)


def seen_maps() -> dict[str, DisplacementMap]:
    """Ripples of another direction for each expression, over the neutral's pores."""
    v, u = np.meshgrid(np.arange(MAP_PX), np.arange(MAP_PX), indexing="ij")
    pores = 0.05 * np.sin(1.7 * u) * np.sin(1.9 * v)
    maps = {}
    for k, label in enumerate(LABELS):
        height = pores + (0.3 * np.sin(0.6 * (u * np.cos(k) + v * np.sin(k))) if k else 0)
        maps[label] = DisplacementMap(height.astype(np.float32), np.ones(height.shape, np.bool_))
    return maps


def write_seen_face(folder: Path) -> DetailedFace:
    """As `mien face detail` leaves one."""
    rig, mesh = seen_rig(), bumped_mesh()
    texture = np.full((64, 64, 3), (205, 160, 140), np.uint8)
    texture[20:30, 10:54] = (90, 60, 40)
    meshes = {label: rig.face(weights) for label, weights in zip(LABELS, rig.weights, strict=True)}
    parts = FaceParts(rig, mesh, meshes, seen_maps().items(), {LABELS[0]: texture}, {"source": "captured"})
    return write_detailed_face(folder, parts)
