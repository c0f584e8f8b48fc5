"""The examples on the studio's page: one of each expression of the protocol, as the built-in head performs it."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import controller.console
from db.protocols import EXPRESSIONS
from processing.template.expression_examples import draw_examples

STATIC = Path(controller.console.__file__).parent / "static"


def test_every_expression_of_the_protocol_has_its_picture() -> None:
    assert {path.stem for path in (STATIC / "expressions").glob("*.jpg")} == set(EXPRESSIONS)


def test_the_page_knows_which_expressions_have_a_picture() -> None:
    listed = re.search(r"new Set\(\[(.*?)\]\)", (STATIC / "shoot" / "examples.js").read_text(), re.S)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == set(EXPRESSIONS)


@pytest.mark.slow
def test_the_pictures_are_those_that_are_drawn() -> None:
    """To make them anew: mien template examples --out controller/console/static/expressions"""
    for name, drawn in draw_examples():
        kept = cv2.imread(str(STATIC / "expressions" / f"{name}.jpg"))
        assert kept.shape == drawn.shape
        assert np.abs(kept.astype(int) - drawn).mean() < 3.0, name
