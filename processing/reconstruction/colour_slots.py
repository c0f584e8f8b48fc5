"""The best views' colours of each vertex, and their blend; read the loops with `geometry/compilation.py` in mind."""

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Gray
from processing.geometry.compilation import compiled

SLOTS = 4  # the best views of a vertex that are blended
AGREE = 12.0  # grey levels of disagreement at which a view's weight halves

Colors = NDArray[np.uint8]


class ColourSlots:
    """SLOTS colours a vertex with their weights, those of the greatest weights so far."""

    def __init__(self, count: int) -> None:
        self.weights = np.zeros((count, SLOTS), np.float32)
        self.colors = np.zeros((count, SLOTS, 3), np.uint8)

    def offer(self, index: NDArray[np.intp], weight: Gray, rgb: Gray, factors: Floats) -> None:
        """What one view shows of the vertices index (n,): a weight (n,), RGB and what evens it out (n, 3)."""
        _offer(self.weights, self.colors, index, weight, rgb, factors)

    def blended(self) -> Gray:
        """(V, 3) weighted mean of the slots; a slot far from their weighted mean loses weight (one robust step)."""
        return np.asarray(_blended(self.weights, self.colors))


@compiled
def _offer(weights: Gray, colors: Colors, index: NDArray[np.intp], weight: Gray, rgb: Gray, factors: Floats) -> None:
    for n in range(len(index)):
        v, slot = index[n], 0
        for k in range(1, SLOTS):
            if weights[v, k] < weights[v, slot]:
                slot = k
        if weight[n] > weights[v, slot]:
            weights[v, slot] = weight[n]
            for c in range(3):
                colors[v, slot, c] = np.uint8(min(max(rgb[n, c] * factors[n, c] + 0.5, 0.0), 255.0))


@compiled
def _blended(weights: Gray, colors: Colors) -> Gray:
    out = np.zeros((len(weights), 3), np.float32)
    for v in range(len(weights)):
        mean, total = np.zeros(3), 1e-9
        for k in range(SLOTS):
            total += weights[v, k]
            for c in range(3):
                mean[c] += weights[v, k] * colors[v, k, c]
        mean /= total
        blend, total = np.zeros(3), 1e-9
        for k in range(SLOTS):
            off = 0.0
            for c in range(3):
                off += (colors[v, k, c] - mean[c]) ** 2
            w = weights[v, k] / (1 + off / AGREE**2)
            total += w
            for c in range(3):
                blend[c] += w * colors[v, k, c]
        for c in range(3):
            out[v, c] = blend[c] / total
    return out
