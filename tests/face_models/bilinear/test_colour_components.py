"""Albedo: the study's colours come back whatever each camera's gains were, unseen texels do not darken anybody."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import egg_template
from small_study import texture

from common.array_types import Floats
from processing.errors import DataError
from processing.face_models.bilinear.colour_components import (
    ColourMatching,
    ColourSettings,
    colour_components,
    from_linear,
    to_linear,
)
from processing.face_models.face_model import Albedo
from processing.template.face_mask import uv_mask
from processing.template.template import EYE

SIZE, SOURCE, COUNT = 64, 128, 12
WHITE = np.array([0.7, 0.68, 0.66])
Read = Callable[[int], tuple[np.ndarray, np.ndarray | None]]


def eye_texels() -> np.ndarray:
    """(SOURCE, SOURCE) those that the template's eyes lie on, generously."""
    template = egg_template()
    drawn = uv_mask(template.mesh, template.parts == EYE, SOURCE)[..., 0]
    return np.asarray(cv2.dilate(drawn, np.ones((5, 5), np.uint8)) > 0)


def study(gains: Floats | None = None, unseen: Callable[[int], slice] | None = None) -> Read:
    """gains: (COUNT, 3) in linear light."""
    eyes = eye_texels()

    def read(number: int) -> tuple[np.ndarray, np.ndarray | None]:
        linear = texture(number, SOURCE)
        linear[eyes] = WHITE
        if gains is not None:
            linear = linear * gains[number]
        picture = np.rint(from_linear(linear)).clip(0, 255).astype(np.uint8)
        if unseen is None:
            return picture, None
        seen = np.full((SOURCE, SOURCE), 255, dtype=np.uint8)
        rows = unseen(number)
        rows = slice(rows.start * SOURCE // SIZE, rows.stop * SOURCE // SIZE)
        seen[rows] = picture[rows] = 0
        return picture, seen

    return read


def components(read: Read, matching: ColourMatching = ColourMatching.EYES, count: int = COUNT) -> tuple[Albedo, Floats]:
    template = egg_template()
    return colour_components(count, read, template.mesh, template.parts, ColourSettings(SIZE, 6, matching))


@given(seed=st.integers(0, 1000), matching=st.sampled_from([ColourMatching.EYES, ColourMatching.MEAN]))
@settings(max_examples=10)
def test_gains_of_the_pictures_do_not_matter(seed: int, matching: ColourMatching) -> None:
    gains = np.random.default_rng(seed).uniform(0.75, 1.2, (COUNT, 3))
    plain, changed = components(study(), matching)[0], components(study(gains), matching)[0]
    # All by one common gain: that of the member in the middle.
    ratio = np.median(to_linear(changed.mean) / to_linear(plain.mean), axis=0)
    assert (np.abs(ratio - 1) < 0.25).all()
    assert np.abs(from_linear(to_linear(plain.mean) * ratio) - changed.mean).max() < 2.5
    assert np.allclose(plain.deviations[:2], changed.deviations[:2], rtol=0.12)


def test_eyes_keep_who_is_dark_and_the_mean_does_not() -> None:
    by_eyes, by_mean = (components(study(), m)[0] for m in (ColourMatching.EYES, ColourMatching.MEAN))
    tone = [float(np.abs(a.components[0].mean(axis=0)).max() * np.sqrt(len(a.mean))) for a in (by_eyes, by_mean)]
    assert by_eyes.deviations[0] > 1.5 * by_mean.deviations[0]
    assert tone[0] > 0.4


def test_colours_of_few_patterns_are_a_few_components() -> None:
    _, explained = components(study(), ColourMatching.NONE)
    assert explained[3] > 0.98
    assert (np.diff(explained) >= 0).all()


def test_what_nobody_saw_is_not_coloured_and_what_one_did_not_see_is_the_others() -> None:
    def hidden(number: int) -> slice:
        return slice(20, 24) if number else slice(20, 44)

    plain, _ = components(study(), ColourMatching.NONE)
    part, _ = components(study(unseen=hidden), ColourMatching.NONE)
    assert not part.mask[20:24].any()
    assert plain.mask[20:24].any()
    whole, seen = plain.picture().astype(int), part.picture().astype(int)
    inside = part.mask & plain.mask
    inside[19:25] = inside[43:45] = False
    assert np.abs(whole - seen)[inside].max() < 12
    assert np.abs(whole - seen)[inside].mean() < 2
    assert (part.picture()[20:24] == np.array(part.fill)).all()


def test_seams_have_colour_on_both_sides() -> None:
    plain, _ = components(study(), ColourMatching.NONE)
    template = egg_template()
    assert template.mesh.uvs is not None
    # Whoever samples between texels at a chart's edge reads texels of the model alone.
    at = template.mesh.uvs * [SIZE, -SIZE] + [-0.5, SIZE - 0.5]
    for dx in (0, 1):
        for dy in (0, 1):
            columns, rows = np.floor(at + np.array([dx, dy])).astype(int).clip(0, SIZE - 1).T
            assert plain.mask[rows, columns].all()


def test_linear_light_and_back() -> None:
    values = np.arange(256, dtype=np.float32)
    assert np.allclose(from_linear(to_linear(values)), values, atol=1e-2)


def test_a_texture_that_is_no_square_is_refused() -> None:
    with pytest.raises(DataError, match="square"):
        components(lambda _: (np.zeros((8, 9, 3), np.uint8), None))
    with pytest.raises(DataError, match="mask"):
        components(lambda _: (np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4), np.uint8)))
