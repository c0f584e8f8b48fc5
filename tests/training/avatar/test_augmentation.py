"""More heads of few: weights as far out as drawn, groups that are not mixed, blends that are heads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from small_model import egg_template

from processing.training.avatar.augmentation import HeadPool, aligned_heads, grouped, polar_weights
from processing.training.avatar.settings import SAMPLINGS, AvatarSettings, AvatarTrainingError


def pool(count: int = 8) -> HeadPool:
    """Eggs of a size and a lean of their own; even ones are large, odd ones small."""
    mesh = egg_template().mesh
    rng = np.random.default_rng(3)
    scale = 1 + rng.uniform(-0.08, 0.08, (count, 3)) + 0.1 * (np.arange(count) % 2 == 0)[:, None]
    heads = [mesh.vertices_mm * one for one in scale]
    even = np.arange(0, count, 2), np.arange(1, count, 2)
    return HeadPool(mesh, aligned_heads(heads), even)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 7))
def test_polar_weights_are_as_far_out_as_drawn(seed: int, count: int) -> None:
    weights = polar_weights(np.random.default_rng(seed), count, (0.6, 1.3))
    assert weights.shape == (count,)
    assert (weights >= 0).all()
    assert 0.6 <= np.linalg.norm(weights) <= 1.3


def test_a_blend_of_one_is_that_one_and_blends_lie_among_their_group() -> None:
    heads = pool()
    rng = np.random.default_rng(0)
    one = HeadPool(heads.mesh, heads.heads_mm, (np.array([2]),))
    assert np.abs(one.blended(rng, 5, (0.6, 1.3)) - heads.upright(heads.heads_mm[2])).max() < 1e-6
    large = np.stack(
        [HeadPool(heads.mesh, heads.heads_mm, heads.groups[:1]).blended(rng, 3, (0.6, 1.3)) for _ in range(40)]
    )
    size, wanted = np.ptp(large.mean(axis=0), axis=0), np.ptp(heads.heads_mm[::2].mean(axis=0), axis=0)
    assert np.abs(size / wanted - 1).max() < 0.03  # about their group's mean, not beyond it
    for how in SAMPLINGS:
        drawn = np.stack([heads.sample(rng, how, 3, (0.6, 1.0)) for _ in range(12)])
        assert drawn.shape == (12, len(heads.mean_mm), 3)
        assert np.isfinite(drawn).all()
        far = np.linalg.norm(drawn - heads.mean_mm, axis=2).max()
        assert far < 3 * np.linalg.norm(heads.heads_mm - heads.mean_mm, axis=2).max()


def test_gaussian_heads_have_their_groups_mean() -> None:
    heads = pool(30)
    large = HeadPool(heads.mesh, heads.heads_mm, heads.groups[:1])
    rng = np.random.default_rng(1)
    drawn = np.mean([large.gaussian(rng) for _ in range(300)], axis=0)
    assert np.linalg.norm(drawn - heads.heads_mm[::2].mean(axis=0), axis=1).mean() < 1.5
    assert any(np.array_equal(large.member(rng), head) for head in heads.heads_mm[::2])


def test_heads_are_moved_onto_their_mean_and_keep_their_size() -> None:
    mesh = egg_template().mesh
    turned = mesh.vertices_mm @ Rotation.from_euler("y", 4, degrees=True).as_matrix().T + [3, 0, -2]
    found = aligned_heads([mesh.vertices_mm, turned, 1.1 * mesh.vertices_mm])
    assert np.abs(found[0] - found[1]).max() < 1e-9
    assert np.linalg.norm(np.ptp(found[2], axis=0)) == pytest.approx(
        1.1 * np.linalg.norm(np.ptp(found[0], axis=0)), rel=0.01
    )


def test_groups_are_by_what_is_known_and_never_too_small() -> None:
    kinds = [("female", "20")] * 5 + [("female", "40")] * 4 + [("male", "20")] * 6 + [("male", "40")]
    found = grouped(kinds, 4)
    assert sorted(len(group) for group in found) == [4, 5, 7]  # one man of 40 is not a group: men stay together
    assert sorted(np.concatenate(found)) == list(range(16))
    assert len(grouped(kinds, 10)) == 1
    assert grouped([("", "")] * 3, 2)[0].tolist() == [0, 1, 2]


def test_settings_are_checked() -> None:
    assert AvatarSettings.of("full").heads == 10_000
    assert AvatarSettings.of("small").heads < 3000
    with pytest.raises(AvatarTrainingError, match="sampling 'gan'"):
        AvatarSettings(sampling="gan")
    with pytest.raises(AvatarTrainingError, match="heads is 0"):
        AvatarSettings(heads=0)
    with pytest.raises(AvatarTrainingError, match="no size"):
        AvatarSettings.of("huge")  # type: ignore[arg-type]
