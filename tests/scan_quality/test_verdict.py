import numpy as np
import pytest

from processing.errors import DataError
from processing.scan_quality.verdict import Findings, check_rising


def test_the_worst_finding_decides_and_comes_first() -> None:
    found = Findings()
    found.at_most(2.0, (1.0, 3.0), "off a little")
    found.at_least(0.1, (0.9, 0.5), "half is missing")
    found.at_most(0.5, (1.0, 3.0), "well within")
    review = found.review({"a": 1})
    assert (review.verdict, review.reasons) == ("redo", ("half is missing", "off a little"))
    assert review.figures == {"a": 1}


def test_what_is_not_known_is_not_held_against_a_result() -> None:
    found = Findings()
    for value in (None, float("nan"), np.nan):
        found.at_most(value, (0.0, 0.0), "unknown")
        found.at_least(value, (1.0, 1.0), "unknown")
    assert found.review({}).verdict == "accept"


def test_limits_rise() -> None:
    check_rising({"a": (0.0, 0.0), "b": (0.1, 0.2)}, DataError)
    with pytest.raises(DataError, match="b rises from 0"):
        check_rising({"a": (0.0, 1.0), "b": (0.3, 0.2)}, DataError)
