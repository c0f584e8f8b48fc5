"""Skin by recipe: tone, unevenness and relief, each as strong or as weak as a case wants it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.array_types import Floats32
from hard_subjects.heads import BROWS, LIPS_INNER, LIPS_OUTER, Head
from hard_subjects.photography import Hits


@dataclass(frozen=True)
class Recipe:
    """Strengths of what skin shows; the defaults are a young, even skin under diffuse light."""

    tone: tuple[float, float, float] = (0.58, 0.41, 0.32)  # linear RGB
    #: Standard deviation of the log of the colour at 9, 2.2 and 0.8 mm.
    mottle: tuple[float, float, float] = (0.06, 0.025, 0.02)
    #: How much darker a pore is than what lies around.
    pores: float = 0.10
    freckles: float = 0.1
    brows: float = 0.75
    lips: float = 0.8
    #: Relief, mm: undulation at 3 and 1.2 mm, depth of pores.
    relief_mm: tuple[float, float] = (0.03, 0.02)
    pore_depth_mm: float = 0.05


def pores(head: Head) -> Floats32:
    """(V,) 0..1: pits of about 0.4 mm, one to two millimetres apart, fewer where the field is low."""
    field = head.noise(head.average_mm, 0.55, 11.0) + 0.5 * head.noise(head.average_mm, 6.0, 12.0)
    return np.asarray(np.clip((field - 1.1) / 0.9, 0, 1), np.float32)


def shaped(head: Head, recipe: Recipe) -> Head:
    """The head with its skin's relief."""
    p = head.average_mm
    height = recipe.relief_mm[0] * head.noise(p, 3.0, 1.0) + recipe.relief_mm[1] * head.noise(p, 1.2, 2.0)
    return head.displaced(height - recipe.pore_depth_mm * pores(head))


def painted(head: Head, recipe: Recipe) -> Floats32:
    """(V, 3) linear RGB."""
    p, noise = head.average_mm, head.noise
    coarse, middle, fine = recipe.mottle
    log = coarse * noise(p, 9.0, 3.0)[:, None] * np.array([0.6, 1, 1], np.float32)
    log = log + (middle * noise(p, 2.2, 4.0) + fine * noise(p, 0.8, 5.0))[:, None]
    color = np.array(recipe.tone, np.float32) * np.exp(log)
    color *= 1 - recipe.pores * pores(head)[:, None]
    spots = np.clip(noise(p, 1.5, 6.0) - 2.4 + 2 * recipe.freckles, 0, 1) * min(1.0, 3 * recipe.freckles)
    color *= 1 - 0.5 * spots[:, None]
    outer, inner = (np.vstack([head.landmarks_mm[s], head.landmarks_mm[s][:1]]) for s in (LIPS_OUTER, LIPS_INNER))
    lips = recipe.lips * np.clip(1.2 - np.minimum(head.near(outer), head.near(inner)) / 4.5, 0, 1)[:, None]
    color *= 1 - lips * np.array([0.15, 0.45, 0.4], np.float32)
    hairs = np.clip(0.6 + 0.7 * noise(p * np.array([1, 3, 1], np.float32), 1.1, 7.0), 0, 1)
    for brow in BROWS:
        here = np.clip(1.4 - head.near(head.landmarks_mm[brow]) / 3.2, 0, 1) * hairs
        color *= 1 - recipe.brows * here[:, None]
    return np.where(head.skin[:, None], color, head.other).astype(np.float32)


def vertex_colour(triangles: np.ndarray, color: Floats32) -> Callable[[Hits], Floats32]:
    """Colours of hits by (V, 3) colours of vertices."""

    def colour(hits: Hits) -> Floats32:
        return np.asarray(np.einsum("nk,nkd->nd", hits.barycentric, color[triangles[hits.triangle]]), np.float32)

    return colour


def skin_triangles(head: Head, covered: np.ndarray | None = None) -> np.ndarray:
    """(T,) bool: which triangles of the head are bare skin. covered: (V,) bool, what hair or cloth hides."""
    bare = head.skin if covered is None else head.skin & ~covered
    return np.asarray(bare[head.mesh.triangles].all(axis=1))
