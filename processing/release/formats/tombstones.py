"""What a later version of a release says of earlier ones: what must be deleted, and what is merely not part any more.

A tombstone names a subject, a kind of thing, the expressions that it is about and the versions that hold it, so that
whoever holds one of these versions knows which files to delete, and nobody deletes more than that.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Literal, Protocol

import msgspec

What = Literal["everything", "take", "photographs", "eyes"]
# In the order in which a person wants to read them.
ORDER: tuple[What, ...] = ("everything", "take", "photographs", "eyes")
IN_WORDS = {
    "everything": "everything",
    "take": "expressions",
    "photographs": "photographs",
    "eyes": "pictures that show the eyes",
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
    """What a subject of earlier versions has withdrawn, by taking a consent back or by narrowing it.

    what: 'everything' of the subject; 'take': all of the expressions in `takes`; 'photographs'; 'eyes': pictures in
    which they can be seen (photographs, textures, colours of scans).  takes: labels ('2_smile'), none: all of the
    subject's.  versions: those that hold it, none: every one up to last_version, the newest that does.
    """

    code: str
    index: int
    last_version: int
    what: What
    takes: tuple[str, ...] = ()
    versions: tuple[int, ...] = ()

    def concerns(self, version: int) -> bool:
        """Whether a version of the release holds what is withdrawn."""
        return version in self.versions if self.versions else version <= self.last_version

    def holds(self, path: str) -> bool:
        """Whether a file of such a version is withdrawn by this."""
        parts = PurePosixPath(path).parts
        own = str(self.index)
        if parts[0] == "checks":  # drawn over one of the takes; nobody can tell which
            return self.what in ("everything", "take") and path == f"checks/{own}.png"
        return any(_within(path, place) for place in self.places())

    def places(self) -> tuple[str, ...]:
        """What to delete, as folders and patterns of paths."""
        i = self.index
        if self.what == "everything":
            return (f"{i}", f"mesh/{i}", f"img/{i}", f"meta/{i}", f"checks/{i}.png")
        labels = self.takes or ("*",)
        if self.what == "photographs":
            return tuple(f"img/{i}/{label}" for label in self.takes) or (f"img/{i}",)
        kinds: tuple[str, ...]
        if self.what == "eyes":
            kinds = (f"img/{i}/{{}}/*.jpg", f"{i}/models_reg/{{}}.jpg", f"mesh/{i}/{{}}.ply")
        else:
            kinds = (f"{i}/*/{{}}.*", f"mesh/{i}/{{}}.*", f"img/{i}/{{}}", f"meta/{i}/{{}}.json")
        return tuple(kind.format(label) for label in labels for kind in kinds)

    def in_words(self) -> str:
        """As in 'photographs of 2_smile'."""
        words = IN_WORDS[self.what]
        if not self.takes:
            return words
        return f"{words} {', '.join(self.takes)}" if self.what == "take" else f"{words} of {', '.join(self.takes)}"


class NoLonger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression of an earlier version, or its photographs, that this one does not have although its consent stands.

    Holders may keep it. why: see WHY_NOT.
    """

    code: str
    index: int
    take: str
    last_version: int
    what: Literal["take", "photographs"]
    why: WhyNot


class PublishedTake(Protocol):
    """A take in a version of a release, as the records have it (db.release_records.releases.EarlierTake)."""

    @property
    def version(self) -> int: ...
    @property
    def subject_id(self) -> int: ...
    @property
    def code(self) -> str: ...
    @property
    def take_id(self) -> int: ...
    @property
    def label(self) -> str: ...
    @property
    def photographs(self) -> bool: ...
    @property
    def mosaicked(self) -> bool: ...


def tombstones_of(
    held: Iterable[PublishedTake],
    *,
    may_leave: frozenset[int],
    may_show: frozenset[int],
    masked: frozenset[int],
    withdrawn_takes: frozenset[int],
) -> tuple[Tombstone, ...]:
    """Tombstones of all that earlier versions hold and the consents do not allow. Sets: ids of subjects, of takes."""
    by_subject: dict[int, list[PublishedTake]] = {}
    for take in held:
        by_subject.setdefault(take.subject_id, []).append(take)
    stones: list[Tombstone] = []
    for subject_id, takes in by_subject.items():
        if subject_id not in may_leave:
            stones += _stones("everything", takes)
            continue
        alone = [take for take in takes if take.take_id in withdrawn_takes]
        by_versions: dict[tuple[int, ...], list[PublishedTake]] = {}
        for label in dict.fromkeys(take.label for take in alone):
            same = [take for take in alone if take.label == label]
            by_versions.setdefault(_versions(same), []).extend(same)
        for same in by_versions.values():
            stones += _stones("take", same, sorted({take.label for take in same}, key=_position))
        if subject_id not in may_show:
            stones += _stones("photographs", [take for take in takes if take.photographs])
        if subject_id in masked:
            stones += _stones("eyes", [take for take in takes if not take.mosaicked])
    return tuple(stones)


def _stones(what: What, takes: Sequence[PublishedTake], labels: Iterable[str] = ()) -> list[Tombstone]:
    if not takes:
        return []
    versions, code = _versions(takes), takes[0].code
    return [Tombstone(code, int(code[1:]), versions[-1], what, tuple(labels), versions)]


def _versions(takes: Iterable[PublishedTake]) -> tuple[int, ...]:
    return tuple(sorted({take.version for take in takes}))


def _position(label: str) -> tuple[int, str]:
    number = label.partition("_")[0]
    return (int(number) if number.isdecimal() else 0, label)


def _within(path: str, place: str) -> bool:
    """Whether a path is a place, in it, or like it. A '*' stands for one part of a path at most."""
    parts, wanted = path.split("/"), place.split("/")
    return len(parts) >= len(wanted) and all(fnmatchcase(part, like) for part, like in zip(parts, wanted, strict=False))
