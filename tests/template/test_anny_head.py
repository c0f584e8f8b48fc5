"""The head model: identities, face units, eyes."""

import numpy as np
import pytest

from processing.template.anny_data import AVERAGE, TEETH, TONGUE, HeadDataError
from processing.template.anny_head import load_head
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN


@pytest.fixture(scope="module")
def head():
    return load_head()


def test_parts_units_and_recipes_fit_together(head):
    count = len(head.vertices_mm)
    assert head.quads.max() == count - 1
    assert set(np.unique(head.parts)) == {SKIN, EYE, MOUTH_INTERIOR, TEETH, TONGUE}
    assert len(head.units) == 52
    assert all(d.shape == (count, 3) for d in head.units.values())
    assert len(EXPRESSION_RECIPES) == 20
    assert {u for recipe in EXPRESSION_RECIPES.values() for u in recipe} <= set(head.units)
    assert 0.4 < head.masks["lips"][head.parts == SKIN].mean() * 20 < 5


def test_left_units_mirror_right_ones(head):
    v = head.vertices_mm
    for name in ("mouthSmile", "eyeBlink", "browDown"):
        left, right = head.units[f"{name}Left"], head.units[f"{name}Right"]
        assert np.linalg.norm(left, axis=1).sum() == pytest.approx(np.linalg.norm(right, axis=1).sum(), rel=0.08)
        assert (v[np.linalg.norm(left, axis=1) > 2, 0] > 0).mean() > 0.85
        assert (v[np.linalg.norm(right, axis=1) > 2, 0] < 0).mean() > 0.85


def test_an_identity_follows_from_its_seed(head):
    first, vertices = head.identity(np.random.default_rng(5))
    again, same = head.identity(np.random.default_rng(5))
    other = head.identity(np.random.default_rng(6))[1]
    assert first == again
    assert (vertices == same).all()
    assert np.linalg.norm(vertices - other, axis=1).mean() > 1
    assert np.linalg.norm(vertices - head.vertices_mm, axis=1).max() < 60


def test_no_spread_is_the_average(head):
    assert head.identity(np.random.default_rng(5), spread=0.0)[1] == pytest.approx(head.vertices_mm)
    assert head.shape(AVERAGE) == pytest.approx(head.vertices_mm)


@pytest.mark.parametrize("expression", ["neutral", "eye_closed", "mouth_stretch"])
def test_the_surface_between_the_lids_stays_on_the_eyeball(head, expression):
    neutral = head.identity(np.random.default_rng(3))[1]
    posed = head.express(neutral, expression)
    for side, (centre, radius) in head.eyeballs(neutral).items():
        inside = posed[head.eye_patches[side].inside]
        assert np.linalg.norm(inside - centre, axis=1) == pytest.approx(radius, abs=1e-6)
        assert inside[:, 2].min() > centre[2], "nothing of it is behind the eye"


def test_units_add_up(head):
    v = head.vertices_mm
    skin = head.parts == SKIN
    both = head.pose(v, {"jawOpen": 0.5, "mouthSmileLeft": 1.0})
    expected = v + 0.5 * head.units["jawOpen"] + head.units["mouthSmileLeft"]
    assert both[skin] == pytest.approx(expected[skin])
    assert head.express(v, "smile", 0.0) == pytest.approx(v)


def test_unknown_names_are_refused(head):
    with pytest.raises(HeadDataError, match="jawOpn"):
        head.pose(head.vertices_mm, {"jawOpn": 1.0})
    with pytest.raises(HeadDataError, match="wink"):
        head.express(head.vertices_mm, "wink")
