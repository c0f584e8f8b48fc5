"""A Gaussian mixture over the weights of a study's takes, by expectation maximisation (Dempster et al. 1977)."""

import numpy as np

from common.array_types import Floats
from processing.face_models.face_model import ExpressionMixture

LEAST_SPREAD = 0.02  # standard deviation that each weight has at least: units that no take uses stay near nothing
TAKES_A_PART = 10  # a part of the mixture wants this many takes
ENOUGH = 1e-4  # of log-likelihood a take: a step that gains less is the last
STEPS = 100


def expression_mixture(weights: Floats, parts: int, *, seed: int = 0) -> ExpressionMixture | None:
    """Of the weights (N, U) in 0..1 of N takes, with full covariances; None for fewer takes than a part wants.

    Fewer parts where there are not enough takes for each. Equal weights and seed give the equal mixture.
    """
    count = min(parts, len(weights) // TAKES_A_PART)
    if count < 1:
        return None
    weights = np.asarray(weights, dtype=np.float64)
    shares = np.eye(count)[_clusters(weights, count, np.random.default_rng(seed))]
    mixture, before = _maximised(weights, shares), -np.inf
    for _ in range(STEPS):
        logs = _log_parts(mixture, weights)
        total = np.logaddexp.reduce(logs, axis=1)
        if (now := float(total.mean())) - before < ENOUGH:
            break
        mixture, before = _maximised(weights, np.exp(logs - total[:, None])), now
    return mixture


def _log_parts(mixture: ExpressionMixture, weights: Floats) -> Floats:
    """(N, K) logarithm of each part's share times its density."""
    return np.stack([
        np.log(share) + ExpressionMixture(np.ones(1), mean[None], covariance[None]).log_density(weights)
        for share, mean, covariance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    ], axis=1)  # fmt: skip


def _maximised(weights: Floats, shares: Floats) -> ExpressionMixture:
    """The parts that are likeliest for shares (N, K) of the takes. A part without takes has the mean of all."""
    floor = LEAST_SPREAD**2 * np.eye(weights.shape[1])
    mass = shares.sum(axis=0) + 1e-9
    means = (shares.T @ weights + 1e-9 * weights.mean(axis=0)) / mass[:, None]
    covariances = []
    for k, mean in enumerate(means):
        away = weights - mean
        covariances.append((away * shares[:, k : k + 1]).T @ away / mass[k] + floor)
    return ExpressionMixture(mass / mass.sum(), means, np.array(covariances))


def _clusters(weights: Floats, count: int, rng: np.random.Generator) -> Floats:
    """(N,) the nearest of `count` centres: k-means++ (Arthur and Vassilvitskii 2007) and ten steps of k-means."""
    centres = weights[rng.integers(len(weights))][None]
    while len(centres) < count:
        away = np.square(weights[:, None] - centres).sum(axis=2).min(axis=1)
        total = away.sum()
        chosen = rng.choice(len(weights), p=away / total) if total > 0 else rng.integers(len(weights))
        centres = np.concatenate([centres, weights[chosen][None]])
    for _ in range(10):
        nearest = np.square(weights[:, None] - centres).sum(axis=2).argmin(axis=1)
        centres = np.stack([
            weights[nearest == k].mean(axis=0) if (nearest == k).any() else centres[k] for k in range(count)
        ])  # fmt: skip
    return np.asarray(nearest)
