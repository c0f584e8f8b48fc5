"""ShuffleNet v2: as large as published, channels shuffled as drawn, maps of the size that the strides say."""

import pytest
import torch

from processing.learning.networks.shufflenet_v2 import CHANNELS, STRIDE, ShuffleNetV2, Trunk, Unit, shuffled


@pytest.mark.parametrize(("width", "millions"), [(0.5, 1.37), (1.0, 2.28), (1.5, 3.50), (2.0, 7.39)])
def test_it_has_as_many_parameters_as_published(width, millions):
    """At 1000 classes; the paper's table 8 has 2.3 M for 1.0x, implementations 2,278,604."""
    count = sum(p.numel() for p in ShuffleNetV2(width, 1000).parameters())
    assert round(count / 1e6, 2) == millions
    assert width != 1.0 or count == 2_278_604


def test_channels_of_two_halves_alternate():
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert shuffled(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    assert shuffled(x, groups=3).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_a_unit_of_stride_one_leaves_half_of_the_channels_as_they_are():
    unit = Unit(8, 8, 1).eval()
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(unit(x)[:, ::2], x[:, :4])
    with pytest.raises(ValueError, match="keeps its channels"):
        Unit(8, 16, 1)


@pytest.mark.parametrize("size", [64, 96])
def test_the_trunk_makes_maps_of_a_thirty_second(size):
    trunk = Trunk(0.5).eval()
    assert trunk(torch.zeros(1, 3, size, size)).shape == (1, CHANNELS[0.5][2], size // STRIDE, size // STRIDE)


def test_a_width_that_nobody_published_is_refused():
    with pytest.raises(ValueError, match=r"there are 0\.5, 1\.0"):
        Trunk(0.7)
