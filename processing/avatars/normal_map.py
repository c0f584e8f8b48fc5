"""A relief over UVs as a tangent-space normal map, as glTF has it: red along u, green up along v, blue out."""

import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import Texels

_STEEPEST = 1.5  # slope that is still believed


def normal_map(mesh: Mesh, texels: Texels, height_mm: Floats32, valid: Bools) -> Image:
    """(S, S, 3) BGR. mesh: neutral, mm, with UVs.  height_mm, valid: (S, S), row 0 is v = 1; flat where not valid.

    Tangent and bitangent are taken to be at right angles, as they nearly are where a chart is not sheared.
    Raises ShapeError.
    """
    size = texels.size_px
    if height_mm.shape != (size, size) or valid.shape != (size, size):
        raise ShapeError("height_mm", height_mm.shape, f"({size}, {size})")
    stretch = texels.interpolate(mesh, _stretches(mesh))  # (N, 2) mm along u and v, for the whole square
    flat = np.ones((size * size, 2), np.float32)
    flat[texels.index] = stretch.clip(1e-3)
    lengths = flat.reshape(size, size, 2)
    height = np.where(valid, height_mm, 0).astype(np.float32)
    down, right = np.gradient(height)
    sure = valid.copy()
    for axis in (0, 1):
        for step in (1, -1):
            sure &= np.roll(valid, step, axis=axis)
    slope = np.stack([right, -down], axis=2) * size / lengths
    slope = np.where(sure[..., None], slope, 0).clip(-_STEEPEST, _STEEPEST)
    normal = np.dstack([-slope, np.ones((size, size), np.float32)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return np.asarray(np.rint(127.5 + 127.5 * normal)[..., ::-1].clip(0, 255), np.uint8)


def _stretches(mesh: Mesh) -> Floats:
    """(V, 2) mm that the whole of u and of v would be, at each vertex: the mean of its triangles, by their area."""
    assert mesh.uvs is not None
    assert mesh.uv_triangles is not None
    corners, uv = mesh.vertices_mm[mesh.triangles], mesh.uvs[mesh.uv_triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    sound = np.abs(area) > 1e-12
    inverse = np.where(sound, 1 / np.where(sound, area, 1), 0)[:, None]
    along = np.stack([first * b[:, 1:] - second * a[:, 1:], second * a[:, :1] - first * b[:, :1]], axis=1)
    length = np.linalg.norm(along * inverse[:, None], axis=2)
    weight = np.linalg.norm(mesh.triangle_cross, axis=1) * sound
    total, share = np.zeros((len(mesh.vertices_mm), 2)), np.zeros(len(mesh.vertices_mm))
    for corner in range(3):
        for axis in (0, 1):
            total[:, axis] += np.bincount(mesh.triangles[:, corner], weight * length[:, axis], len(total))
        share += np.bincount(mesh.triangles[:, corner], weight, len(total))
    return np.asarray(total / share.clip(1e-12)[:, None])
