"""Which file of a take's folder is which view's photograph, as cameras, people and programs name them.

A view's photograph is named by its number: 7.jpg. Read as that too: 7.JPG, 7.jpeg, 07.jpg, 7.png, 7.tif, and what
params.json names as '7_ori' where no file has the number. Whatever else lies there is told where a view has none.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from common.bounded.limits import MAX_VIEWS

JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")
ENDINGS = (*JPEG_ENDINGS, ".png", ".tif", ".tiff")  # that are read; JPEG goes before the others
#: Photographs that are not read: no decoder of ours says of them whether they are whole.
OTHER_ENDINGS = (
    ".bmp", ".webp", ".heic", ".heif", ".avif", ".gif", ".jp2", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".dng",
    ".raf", ".orf", ".rw2", ".pef", ".srw", ".3fr", ".iiq", ".raw",
    ".mpo", ".jxl", ".jxr", ".psd", ".exr", ".tga", ".ppm",
)  # fmt: skip
_NAMED = 6  # files that a message names
_NUMBER = re.compile(r"\d+")
_OF_PHOTOGRAPHS = frozenset((*ENDINGS, *OTHER_ENDINGS))


def looks_like_photograph(name: str) -> bool:
    """By an ending that photographs have, also under another: 7.jpg.part."""
    return not name.startswith(".") and not _OF_PHOTOGRAPHS.isdisjoint(s.lower() for s in PurePosixPath(name).suffixes)


@dataclass(frozen=True)
class TakePhotographs:
    """The photographs in a take's folder."""

    folder: Path
    of_view: Mapping[int, Path]  # view -> its photograph
    doubled: Mapping[int, tuple[str, ...]]  # view -> names of files that each could be its photograph
    others: tuple[str, ...]  # what else looks like a photograph, by its path in the folder, in natural order

    def why_none(self, view: int) -> str:
        """Why a view has no photograph, and what lies there instead."""
        if view in self.doubled:
            names = self.doubled[view]
            return f"{' and '.join(names)} are there: leave one of them"
        found = [name for name in self.others if view in _numbers_of(name)]
        if not found:
            return f"{view}.jpg is missing"
        what, shown = "them" if len(found) > 1 else "it", ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
        ending = PurePosixPath(found[0]).suffix.lower()
        do = f"if this is view {view}, name it {view}{ending}"
        if ending not in ENDINGS:
            do = f"{ending} is not read: make {view}.jpg, {view}.png or {view}.tif of {what}"
        elif len(found) > 1:
            do = f"name the one of view {view} {view}{ending}"
        return f"{view}.jpg is missing; {shown} {'are' if len(found) > 1 else 'is'} there: {do}"

    def counted_from_one(self, views: Collection[int]) -> bool:
        """Whether files are numbered 1 to N where the cameras of `views` are 0 to N - 1."""
        last = max(views, default=-1)
        return last > 0 and set(views) == set(range(last + 1)) and set(self.of_view) == set(range(1, last + 2))

    def unnamed(self) -> str:
        """What lies there that is no view's, in words; empty where there is nothing."""
        if not self.others:
            return ""
        shown = ", ".join(self.others[:_NAMED]) + (" …" if len(self.others) > _NAMED else "")
        return (
            f"{len(self.others)} files there look like photographs and are named by no view ({shown}): name each by "
            "its view's number, as in 7.jpg, or name it in params.json as '7_ori'"
        )


def find_photographs(folder: Path, params: Mapping[str, Any]) -> TakePhotographs:
    """Look at a take folder's file names, not yet at what is in them. params: of its params.json, for '<v>_ori'."""
    numbered: dict[int, list[Path]] = {}
    others: list[str] = []
    for path in folder.iterdir():
        ending = path.suffix.lower()
        if path.is_dir():
            others += [f"{path.name}/{p.name}" for p in _photographs_in(path)]
        elif ending in ENDINGS and path.stem.isdecimal() and len(path.stem) <= 6:
            numbered.setdefault(int(path.stem), []).append(path)
        elif looks_like_photograph(path.name):
            others.append(path.name)
    of_view: dict[int, Path] = {}
    doubled: dict[int, tuple[str, ...]] = {}
    for view, paths in numbered.items():
        jpegs = [p for p in paths if p.suffix.lower() in JPEG_ENDINGS]
        best = jpegs or paths  # a PNG beside a JPEG of the same number is its mask as a rule
        if len(best) == 1:
            of_view[view] = best[0]
        else:
            doubled[view] = tuple(sorted(p.name for p in best))
    for view, name in _originals(params).items():
        if view not in of_view and view not in doubled and name in others:
            of_view[view] = folder / name
    used = {path.relative_to(folder).as_posix() for path in of_view.values()}
    rest = sorted((name for name in others if name not in used), key=natural_order)
    return TakePhotographs(folder, dict(sorted(of_view.items())), doubled, tuple(rest))


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that puts cam2 before cam10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _photographs_in(folder: Path) -> list[Path]:
    if folder.name.startswith("."):
        return []
    return [p for p in list(folder.iterdir())[:MAX_VIEWS] if looks_like_photograph(p.name)]


def _originals(params: Mapping[str, Any]) -> dict[int, str]:
    """View -> the name that params.json gives its photograph, where it is no other view's number."""
    found = {}
    for key, name in params.items():
        if (match := re.fullmatch(r"(\d{1,6})_ori", key)) and isinstance(name, str):
            path = PurePosixPath(name.replace("\\", "/"))
            if path.suffix.lower() in ENDINGS and not (len(path.parts) == 1 and path.stem.isdecimal()):
                found[int(match[1])] = path.as_posix()
    return found


def _numbers_of(name: str) -> set[int]:
    """Views that a file may be the photograph of, by the last number of its folder, or else of its own name."""
    path = PurePosixPath(name)
    for part in (path.parent.as_posix(), path.stem):
        if numbers := _NUMBER.findall(part):
            return {int(numbers[-1][:9])}
    return set()
