"""How near a face's weights are to those of its key expressions, so that these come back as they were given.

Equation 8 does not return a key's own map at the key's weights: there its mask is the sum of squares of the weights,
times the activations, and is 1 nowhere in particular. So every key has a bump over the space of weights, 1 at its own
weights and 0 from the nearest other key on; masks M_i of the equations become

    (1 - sum of b_k) M_i + b_i        with 0 <= b_k and sum of b_k <= 1

which is still equation 6 with other masks, is continuous in the weights, returns keys exactly and away from all keys
is the equations.
"""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats
from processing.errors import ShapeError

_SHAVED = 1 - 1e-9  # of a bump's radius: it is over before the next key, whatever the rounding
STEEPEST = 1.5  # of the bump, over its radius


@dataclass(frozen=True, eq=False)
class KeyBlend:
    """Bumps of the keys that differ from one another.

    Of keys of the same weights none can be returned and all be: they have one bump, which is the neutral's where it is
    among them, else shared.
    """

    #: (E, U) of all keys, the neutral's first.
    key_weights: Floats
    #: (B, U) where each bump is 1.
    centres: Floats
    #: (B,) from where on it is 0, in the Euclidean distance of weights; infinite where there is one key alone.
    radii: Floats
    #: (B, E) how much of each key's map a bump stands for; rows sum to 1.
    shares: Floats

    @staticmethod
    def of(key_weights: Floats) -> "KeyBlend":
        """key_weights: (E, U), the neutral's first. Raises ShapeError."""
        if key_weights.ndim != 2 or not len(key_weights):
            raise ShapeError("key_weights", key_weights.shape, "(E, U), at least one key")
        centres, place = np.unique(key_weights, axis=0, return_inverse=True)
        shares = np.zeros((len(centres), len(key_weights)))
        shares[place.reshape(-1), np.arange(len(key_weights))] = 1
        with_neutral = shares[:, 0] > 0
        shares[with_neutral, 1:] = 0
        shares /= shares.sum(axis=1, keepdims=True)
        apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        np.fill_diagonal(apart, np.inf)
        radii = apart.min(axis=1)
        # No weights at all are a key of their own: there the equations return the neutral map, whatever the neutral's
        # estimated weights are.
        nothing = np.linalg.norm(centres, axis=1)
        radii = np.where(nothing > 0, np.minimum(radii, nothing), radii)
        return KeyBlend(np.asarray(key_weights, np.float64), centres, radii * _SHAVED, shares)

    def __call__(self, weights: Floats) -> Floats:
        """(E,) what of each key's map is added as it is; the rest of 1 is the equations'. weights: (U,)."""
        if weights.shape != self.centres.shape[1:]:
            raise ShapeError("weights", weights.shape, str(self.centres.shape[1:]))
        apart = np.linalg.norm(self.centres - weights, axis=1)
        near = np.clip(1 - apart / self.radii, 0, 1)
        bumps = near * near * (3 - 2 * near)
        total = float(bumps.sum())
        return np.asarray((bumps / max(1.0, total)) @ self.shares)

    @property
    def shared(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of keys that have the same weights, and so are not returned each."""
        same = [np.flatnonzero((self.key_weights == centre).all(axis=1)) for centre in self.centres]
        return tuple(tuple(int(key) for key in keys) for keys in same if len(keys) > 1)
