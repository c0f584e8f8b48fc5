"""What kind of file a path of a release is, for grants that allow some kinds alone."""

from fnmatch import fnmatchcase

from processing.release.holder.fetch import KINDS, subject_and_take_of

PHOTOGRAPHS = "photographs"
SHARED_FILES = ""  # lists, conventions, topology: they come with every grant
DEFAULT_KINDS = tuple(kind for kind in KINDS if kind != PHOTOGRAPHS)


def kind_of(path: str) -> str:
    """One of KINDS, or EVERYBODYS. What is a person's and of no known kind counts as a photograph: nobody gets it by
    mistake.
    """
    if path.startswith("img/"):
        return PHOTOGRAPHS
    for kind, patterns in KINDS.items():
        if any(fnmatchcase(path, pattern) for pattern in patterns):
            return kind
    return SHARED_FILES if subject_and_take_of(path)[0] is None else PHOTOGRAPHS
