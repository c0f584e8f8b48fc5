""" "Did you mean": the name that a misspelling was most likely meant to be."""

import difflib
from collections.abc import Iterable

_LIKENESS = 0.6  # of difflib's ratio: one letter wrong in three


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `given`; None when none is."""
    found = difflib.get_close_matches(given, sorted(known), n=1, cutoff=_LIKENESS)
    return found[0] if found else None
