"""A map made in overlapping tiles is the map made at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.array_types import Floats32
from processing.errors import ShapeError
from processing.learning.detail.tiling import tiled, tiles
from processing.learning.networks.pix2pix_hd import Generator, GeneratorShape

TOLERANCE = 2e-6  # of an answer of size 1: float32's rounding in another order


def answers(generator: Generator, inputs: Floats32, tile_px: int) -> Floats32:
    shape = generator.shape

    def draw(top: int, left: int, height: int, width: int) -> Floats32:
        cut = np.ascontiguousarray(inputs[:, top : top + height, left : left + width])
        with torch.no_grad():
            return np.asarray(generator(torch.from_numpy(cut[None]))[0].numpy(), np.float32)

    return tiled(draw, inputs.shape[1], tile_px=tile_px, reach_px=shape.reach, multiple=shape.multiple)


def network(blocks: int = 1, width: int = 3) -> Generator:
    torch.manual_seed(5)
    generator = Generator(GeneratorShape(2, 1, width, 2, blocks))
    with torch.no_grad():
        generator.last.weight.mul_(100)  # answers of about 1
    return generator


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 12), st.integers(2, 20))
def test_tiles_equal_the_whole(tile: int, side: int) -> None:
    size = 4 * side
    inputs = np.random.default_rng(side).normal(size=(2, size, size)).astype(np.float32)
    whole = answers(network(), inputs, size)
    np.testing.assert_allclose(
        answers(network(), inputs, 4 * tile), whole, atol=TOLERANCE * max(1, np.abs(whole).max())
    )


def test_seamless_at_1024() -> None:
    inputs = np.random.default_rng(0).normal(size=(2, 1024, 1024)).astype(np.float32)
    generator = network(blocks=0, width=2)
    whole = answers(generator, inputs, 1024)
    assert np.abs(answers(generator, inputs, 384) - whole).max() <= TOLERANCE * np.abs(whole).max()


@pytest.mark.slow
def test_seamless_at_4096() -> None:
    inputs = np.random.default_rng(0).normal(size=(2, 4096, 4096)).astype(np.float32)
    generator = network(blocks=1, width=2)
    whole = answers(generator, inputs, 4096)
    assert np.abs(answers(generator, inputs, 512) - whole).max() <= TOLERANCE * np.abs(whole).max()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10), st.sampled_from([1, 2, 4, 8]))
def test_every_texel_is_kept_once(size: int, tile: int, reach: int, multiple: int) -> None:
    size, tile, reach = size * multiple, tile * multiple, reach * multiple
    count = np.zeros((size, size), int)
    for one in tiles(size, tile, reach, multiple):
        count[one.keep_top : one.keep_bottom, one.keep_left : one.keep_right] += 1
        assert not {one.top % multiple, one.left % multiple, one.bottom % multiple, one.right % multiple} - {0}
    assert (count == 1).all()


def test_sizes_that_are_no_multiples_are_refused() -> None:
    with pytest.raises(ShapeError):
        next(tiles(30, 8, 8, 4))
