"""Real people's scans as sitters: smoothed without losing their texture, and textures as colours of hits."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from common.array_types import Floats, Floats32
from hard_subjects.photography import Hits
from processing.geometry.loop_subdivision import loop_subdivided
from processing.geometry.mesh import Mesh, subdivide


def smoothed(mesh: Mesh, times: int) -> Mesh:
    """Loop's subdivision of a mesh with UVs; these are halved linearly."""
    for _ in range(times):
        smooth, halved = loop_subdivided(Mesh(mesh.vertices_mm, mesh.triangles)), subdivide(mesh)
        assert halved.uv_triangles is not None
        order = np.arange(len(halved.triangles)).reshape(-1, 4).T.ravel()  # of Loop's, which come in four blocks
        mesh = replace(
            smooth, uvs=halved.uvs, uv_triangles=halved.uv_triangles[order]
        )  # fmt: skip
    return mesh


def linear(stored: np.ndarray) -> Floats32:
    """Linear RGB of a texture as OpenCV reads it."""
    return np.asarray((stored[..., ::-1].astype(np.float32) / 255) ** 2.2, np.float32)


def texels(uvs: Floats, texture: np.ndarray) -> Floats32:
    """Column and row in the texture of UVs whose origin is at its bottom left."""
    height, width = texture.shape[:2]
    return np.stack([uvs[..., 0] * width - 0.5, (1 - uvs[..., 1]) * height - 0.5], axis=-1).astype(np.float32)


def weaker(texture: Floats32, contrast: float, sigma: float) -> Floats32:
    """The texture with its contrast about its local mean (a Gaussian, texels) multiplied."""
    if contrast == 1:
        return texture
    mean = cv2.GaussianBlur(texture, (0, 0), sigma)
    return np.asarray(mean + np.float32(contrast) * (texture - mean), np.float32)


def texture_colour(mesh: Mesh, texture: Floats32, inside: float = 0.03) -> Callable[[Hits], Floats32]:
    """Colours of hits on a mesh with UVs, whose triangles come first; `inside` on others and on inner sides."""
    assert mesh.uvs is not None
    assert mesh.uv_triangles is not None
    corners = texels(mesh.uvs[mesh.uv_triangles], texture)

    def colour(hits: Hits) -> Floats32:
        out = np.full((len(hits.triangle), 3), inside, np.float32)
        on = (hits.triangle < len(corners)) & hits.outside
        out[on] = sampled(texture, np.einsum("nk,nkd->nd", hits.barycentric[on], corners[hits.triangle[on]]))
        return out

    return colour


def sampled(texture: Floats32, at: Floats32) -> Floats32:
    """(n, 3) values of the texture at (n, 2) texels, linear between them."""
    side = 1 << 14
    padded = np.zeros((max(1, -(-len(at) // side)) * side, 2), np.float32)
    padded[: len(at)] = at
    grid = padded.reshape(-1, side, 2)
    value = cv2.remap(texture, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(value.reshape(-1, 3)[: len(at)], np.float32)
