"""The generator sees no farther than it says; losses are what the papers' formulas give by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from processing.learning.networks.pix2pix_hd import (
    Generator,
    GeneratorShape,
    MultiScaleDiscriminator,
    feature_matching_loss,
    lsgan_loss,
    masked_l1,
)


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 2))
def test_a_texel_depends_on_nothing_beyond_reach(halvings: int, blocks: int, width: int) -> None:
    shape = GeneratorShape(2, 1, 2 * width, halvings, blocks)
    torch.manual_seed(halvings + 10 * blocks)
    generator = Generator(shape)
    size = 2 * shape.reach + 4 * shape.multiple
    maps = torch.rand(1, 2, size, size, requires_grad=True)
    middle = size // 2 + 1
    generator(maps)[0, 0, middle, middle].backward()
    assert maps.grad is not None
    rows, columns = np.nonzero(maps.grad[0].abs().sum(dim=0).numpy())
    away = max(np.abs(rows - middle).max(), np.abs(columns - middle).max())
    assert 0 < away <= shape.reach


def test_sizes_come_back_and_it_begins_near_nothing() -> None:
    torch.manual_seed(0)
    generator = Generator(GeneratorShape(3, 2, 4, 2, 1))
    answer = generator(torch.rand(2, 3, 16, 24))
    assert answer.shape == (2, 2, 16, 24)
    assert answer.detach().abs().max().item() < 1.0


def test_discriminators_see_three_sizes() -> None:
    torch.manual_seed(0)
    answers = MultiScaleDiscriminator(2, width=2)(torch.rand(1, 2, 32, 32))
    assert len(answers) == 3
    assert all(len(scale) == 5 for scale in answers)  # four layers and a verdict
    sides = [scale[0].shape[-1] for scale in answers]
    assert sides[0] > sides[1] > sides[2]


def test_losses_by_hand() -> None:
    one = [[torch.tensor([[2.0, 4.0]]), torch.tensor([[0.0, 0.5]])], [torch.tensor([[1.0]]), torch.tensor([[3.0]])]]
    two = [[torch.tensor([[1.0, 1.0]]), torch.tensor([[9.0, 9.0]])], [torch.tensor([[4.0]]), torch.tensor([[9.0]])]]
    # Real: ((0 - 1)^2 + (0.5 - 1)^2) / 2 + (3 - 1)^2; made: (0 + 0.25) / 2 + 9.
    assert float(lsgan_loss(one, real=True)) == pytest.approx(0.625 + 4.0)
    assert float(lsgan_loss(one, real=False)) == pytest.approx(0.125 + 9.0)
    # Layers but the verdicts: (1 + 3) / 2, and 3.
    assert float(feature_matching_loss(one, two)) == pytest.approx(2.0 + 3.0)
    valid = torch.tensor([1.0, 0.0, 1.0])
    assert float(masked_l1(torch.tensor([1.0, 5.0, 2.0]), torch.zeros(3), valid)) == pytest.approx(1.5)
    assert float(masked_l1(torch.ones(3), torch.zeros(3), torch.zeros(3))) == 0.0


def test_features_of_the_truth_are_not_pulled_towards_what_was_made() -> None:
    made, true = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    verdict = torch.zeros(1)
    feature_matching_loss([[made, verdict]], [[true, verdict]]).backward()
    assert made.grad is not None
    assert true.grad is None
