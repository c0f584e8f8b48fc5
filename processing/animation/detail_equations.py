"""Equations 6 to 8 of FaceScape (TPAMI 2023, section 4.3) as they are written, in NumPy and doubles.

What is fast (`dynamic_detail.py`) is measured against this, texel by texel.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Floats32
from processing.errors import ShapeError
from processing.face_models.blendshapes.rig import Rig
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import Texels, texels_of


def texel_activations(rig: Rig, mesh: Mesh, texels: Texels) -> Iterator[Floats32]:
    """Of one unit after another (N,), 0..1, how far it moves each texel, of the farthest that it moves any: equation 7.

    A unit that moves nothing is 0 everywhere.
    """
    neutral = rig.neutral_mm.astype(np.float64)
    for shape in rig.shapes_mm:
        moved = np.linalg.norm(texels.interpolate(mesh, shape - neutral).astype(np.float64), axis=1)
        most = float(moved.max(initial=0.0))
        yield (moved / most if most > 0 else moved).astype(np.float32)


def activation_masks(rig: Rig, mesh: Mesh, size_px: int) -> Floats32:
    """(U, S, S) of every unit, 0 where no texel shows the face. mesh: of the rig's topology, with UVs."""
    texels = texels_of(mesh, size_px)
    return np.stack([np.asarray(texels.image(mask), np.float32) for mask in texel_activations(rig, mesh, texels)])


def weight_masks(activations: NDArray[np.floating], key_weights: Floats, weights: Floats) -> Floats:
    """(E, ...) of each key expression, the neutral's M_0 first: equation 8 and the line below it.

    activations: (U, ...).  key_weights: (E, U) of the key expressions, the neutral's first (they take no part in it).
    weights: (U,) of the wanted one.  M_1.. are what the equation gives, also beyond 1. Raises ShapeError.
    """
    if key_weights.ndim != 2 or key_weights.shape[1] != len(activations):
        raise ShapeError("key_weights", key_weights.shape, f"(E, {len(activations)})")
    if weights.shape != (len(activations),):
        raise ShapeError("weights", weights.shape, f"({len(activations)},)")
    others = np.tensordot(key_weights[1:] * weights, activations.astype(np.float64), axes=1)
    neutral = np.maximum(0, 1 - others.sum(axis=0))
    return np.concatenate([neutral[None], others])


def synthesised(key_maps: NDArray[np.floating], masks: Floats) -> Floats:
    """(...) displacement, in the unit of the maps (E, ...): equation 6."""
    if key_maps.shape != masks.shape:
        raise ShapeError("key_maps", key_maps.shape, str(masks.shape))
    return np.asarray((masks * key_maps.astype(np.float64)).sum(axis=0))
