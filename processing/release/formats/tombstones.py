"""Tombstones: what a version of a release says of earlier ones, what must be deleted, what is merely not part any more.

A tombstone names a subject, a kind of thing, the expressions that it is about and the versions that hold it, so that
whoever holds one of these versions knows which files to delete, and nobody deletes more than that. A rig is made of all
takes of its subject, so it goes with any of them. A tombstone of a face model names the model, of which a member left,
and the version that does without.
"""

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

import msgspec

from processing.release.formats.released_files import LANDMARK_CHECK, LAYOUT, MODEL, PHOTOGRAPH

What = Literal["everything", "take", "photographs", "eyes", "model"]
# In the order in which a person wants to read them.
ORDER: tuple[What, ...] = ("everything", "take", "photographs", "eyes", "model")
IN_WORDS = {
    "everything": "everything",
    "take": "expressions",
    "photographs": "photographs",
    "eyes": "pictures that show the eyes",
    "model": "the face model, which a member has left",
}
WhyNot = Literal["left_out", "quality", "unprocessed", "replaced", "not_asked", "not_available"]
WHY_NOT = {
    "left_out": "left out by the studio",
    "quality": "does not meet this version's rules of quality",
    "unprocessed": "is being processed anew",
    "replaced": "was captured anew",
    "not_asked": "this version was asked for other subjects",
    "not_available": "is not accepted or not available any more",
}


class Tombstone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a subject of earlier versions has withdrawn, by taking a consent back or by narrowing it; or a model of
    earlier versions, of which a member has left."""

    #: The studio's code of the subject; the name and version of a model, 'faces-2'.
    code: str
    #: The subject's folder in every layout; 0 of a model.
    index: int
    #: The newest version that holds it.
    last_version: int
    #: 'everything' of the subject; 'take': all of the expressions in `takes`; 'photographs'; 'eyes': pictures in which
    #: they can be seen (photographs, textures, colours of scans); 'model'.
    what: What
    #: Labels ('2_smile'); none: all of the subject's.
    takes: tuple[str, ...] = ()
    #: Those that hold it; none: every one up to last_version.
    versions: tuple[int, ...] = ()
    #: Of a model: the one that takes its place, 'faces-3'; empty where there is none yet.
    next: str = ""

    @property
    def of_model(self) -> bool:
        """Whether it is about a model, not about a subject."""
        return self.what == "model"

    def concerns(self, version: int) -> bool:
        """Whether a version of the release holds what is withdrawn."""
        return version in self.versions if self.versions else version <= self.last_version

    def holds(self, path: str) -> bool:
        """Whether a file of such a version is withdrawn by this."""
        if not self.of_model and path == LANDMARK_CHECK.at(
            self.index
        ):  # drawn over one of the takes; nobody can tell which
            return self.what in ("everything", "take")
        return any(_within(path, place) for place in self.places())

    def places(self) -> tuple[str, ...]:
        """What to delete, as folders and patterns of paths."""
        if self.of_model:
            return (MODEL.root.format(model=self.code),)
        if self.what == "everything":
            return LAYOUT.roots(self.index)
        if self.what == "photographs":
            folders = tuple(PHOTOGRAPH.place(self.index, label) for label in self.takes)
            return folders or (PHOTOGRAPH.root.format(index=self.index),)
        if self.what == "eyes":
            seen = [file for file in LAYOUT.take_files if file.shows_eyes and file is not PHOTOGRAPH]
            patterns = [file.path.replace("{view}", "*") for file in (PHOTOGRAPH, *seen)]
        else:
            patterns = _without_covered(tuple(file.tombstone_pattern for file in LAYOUT.take_files))
        labels = self.takes or ("*",)
        places = [pattern.format(index=self.index, label=label) for label in labels for pattern in patterns]
        if self.what == "take":
            made_of_all = (file for file in LAYOUT.subject_files if file is not LANDMARK_CHECK)
            places += [file.root.format(index=self.index) for file in made_of_all]
        return tuple(dict.fromkeys(places))

    def in_words(self) -> str:
        """As in 'photographs of 2_smile'."""
        words = IN_WORDS[self.what]
        if self.next:
            words += f"; {self.next} takes its place"
        if not self.takes:
            return words
        return f"{words} {', '.join(self.takes)}" if self.what == "take" else f"{words} of {', '.join(self.takes)}"


class NoLonger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression of an earlier version, or its photographs, that this one does not have although its consent stands.

    Holders may keep it.
    """

    #: The studio's code of the subject.
    code: str
    #: The subject's folder in every layout.
    index: int
    #: The expression's label, '2_smile'.
    take: str
    #: The newest version that has it.
    last_version: int
    what: Literal["take", "photographs"]
    #: See WHY_NOT.
    why: WhyNot


@lru_cache(maxsize=8)
def _without_covered(patterns: tuple[str, ...]) -> list[str]:
    """Patterns in order, without those whose files an earlier one names already."""
    kept: list[str] = []
    for pattern in patterns:
        if not any(_within(pattern, earlier) for earlier in kept):
            kept.append(pattern)
    return kept


def _within(path: str, place: str) -> bool:
    """Whether a path is a place, in it, or like it. A '*' stands for one part of a path at most."""
    parts, wanted = path.split("/"), place.split("/")
    return len(parts) >= len(wanted) and all(fnmatchcase(part, like) for part, like in zip(parts, wanted, strict=False))
