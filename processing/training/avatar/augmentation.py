"""More heads than a study has: DR features of five of one group blended (Lin et al., 3.2), and two ablations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.array_types import Floats, Ints64
from processing.geometry.deformation_representation import DeformationRepresentation
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import fit_motion

KEPT_VARIANCE = 0.999  # of PCA's components


def polar_weights(rng: np.random.Generator, count: int, radius: tuple[float, float]) -> Floats:
    """(count,) not negative, as far from nothing as a radius drawn from `radius`: polar coordinates with angles drawn
    from [0, pi / 2] (Jiang et al. 2019, as Lin et al. cite it), in a drawn order.
    """
    angles = rng.uniform(0, np.pi / 2, count - 1)
    sines = np.r_[1.0, np.cumprod(np.sin(angles))]
    return np.asarray(rng.permutation(rng.uniform(*radius) * sines * np.r_[np.cos(angles), 1.0]))


@dataclass(frozen=True, eq=False)
class HeadPool:
    """Members' heads of one topology, upright in one frame, in groups."""

    mesh: Mesh  # L vertices: topology with UVs
    heads_mm: Floats  # (N, L, 3)
    groups: tuple[Ints64, ...]  # members of each, every member in one

    @cached_property
    def mean_mm(self) -> Floats:
        """(L, 3)"""
        return np.asarray(self.heads_mm.mean(axis=0))

    @cached_property
    def _representation(self) -> DeformationRepresentation:
        return DeformationRepresentation(self.mesh.with_vertices(self.mean_mm))

    @cached_property
    def _features(self) -> Floats:
        return np.stack([self._representation.encode(head) for head in self.heads_mm])

    @cached_property
    def _components(self) -> tuple[Floats, Floats]:
        """(K, L * 3) directions of length 1 about the mean, and (N, K) coefficients of members."""
        off = (self.heads_mm - self.mean_mm).reshape(len(self.heads_mm), -1)
        u, s, vt = np.linalg.svd(off, full_matrices=False)
        share = np.cumsum(s**2) / max(float((s**2).sum()), 1e-300)
        count = min(int(np.searchsorted(share, KEPT_VARIANCE)) + 1, len(s))
        return vt[:count], (u * s)[:, :count]

    @cached_property
    def _middles(self) -> list[Floats]:
        """(L, FEATURE_SIZE) the mean features of each group."""
        return [np.asarray(self._features[group].mean(axis=0)) for group in self.groups]

    def _drawn(self, rng: np.random.Generator) -> int:
        """One of the groups by its number, as often as it has members."""
        sizes = np.array([len(one) for one in self.groups])
        return int(rng.choice(len(sizes), p=sizes / sizes.sum()))

    def blended(self, rng: np.random.Generator, members: int, radius: tuple[float, float]) -> Floats:
        """(L, 3) of the DR features of `members` of one group, weighted by `polar_weights`, about the group's mean.

        The paper blends about the mean of all. Weights that add up to 1.6 on average then push every head as far beyond
        its group's mean, which is no member's way of being.
        """
        number = self._drawn(rng)
        group, middle = self.groups[number], self._middles[number]
        chosen = rng.choice(group, min(members, len(group)), replace=False)
        weights = polar_weights(rng, len(chosen), radius)
        blend = middle + np.tensordot(weights, self._features[chosen] - middle, 1)
        return self.upright(self._representation.recover(blend))

    def gaussian(self, rng: np.random.Generator) -> Floats:
        """(L, 3) of coefficients drawn with a group's mean and covariance: the ablation C-PCA."""
        directions, coefficients = self._components
        own = coefficients[self.groups[self._drawn(rng)]]
        off = own - own.mean(axis=0)
        # Of covariance off^T off / (n - 1), without making it.
        drawn = own.mean(axis=0) + rng.standard_normal(len(own)) @ off / np.sqrt(max(len(own) - 1, 1))
        return np.asarray(self.mean_mm + (drawn @ directions).reshape(self.mean_mm.shape))

    def member(self, rng: np.random.Generator) -> Floats:
        """(L, 3) of one of them: the ablation No-Aug."""
        return np.asarray(self.heads_mm[int(rng.choice(self.groups[self._drawn(rng)]))])

    def sample(self, rng: np.random.Generator, how: str, members: int, radius: tuple[float, float]) -> Floats:
        """(L, 3) mm by one of settings.SAMPLINGS."""
        if how == "dr":
            return self.blended(rng, members, radius)
        return self.gaussian(rng) if how == "pca" else self.member(rng)

    def upright(self, head_mm: Floats) -> Floats:
        """(L, 3) as it lies best on the mean head, without scale: what a blend leaves open."""
        return fit_motion(head_mm, self.mean_mm, with_scale=False)(head_mm)


def aligned_heads(heads_mm: Sequence[Floats]) -> Floats:
    """(N, L, 3) heads, each moved without scale onto the mean of all as they come."""
    mean = np.mean(heads_mm, axis=0)
    return np.stack([fit_motion(head, mean, with_scale=False)(head) for head in heads_mm])


def grouped(kinds: Sequence[tuple[str, ...]], least: int) -> tuple[Ints64, ...]:
    """Members by what is known of them, in groups of at least `least`: one that would fall into less stays whole.

    kinds: of each member, from what tells the most, such as ("female", "40-59").
    """

    def split(which: list[int], depth: int) -> list[list[int]]:
        if depth == len(kinds[which[0]]):
            return [which]
        parts = [[m for m in which if kinds[m][depth] == name] for name in sorted({kinds[m][depth] for m in which})]
        if min(map(len, parts)) < least:
            return [which]
        return [group for part in parts for group in split(part, depth + 1)]

    return tuple(np.array(group, np.int64) for group in split(list(range(len(kinds))), 0)) if kinds else ()
