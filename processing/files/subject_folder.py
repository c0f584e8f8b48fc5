"""The folders of a subject: which are takes, and which hold photographs and are none.

A take's folder is `<k>_<name>`, as in 2_smile; what people write for that is understood: 2_Smile, 03-mouth stretch.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.take_codes import TakeLabel
from processing.errors import TakeError
from processing.files.take_photographs import looks_like_photograph, natural_order

_WRITTEN = re.compile(r"0*(?P<position>[1-9]\d{0,5})[ _.-]+(?P<name>[a-z][a-z0-9 _.-]*)")
_SEPARATORS = re.compile(r"[ _.-]+")
_FOLDERS = 20_000  # that are looked into
_NAMED = 4  # folders of one kind that are named one by one


@dataclass(frozen=True)
class SubjectFolders:
    """What a subject's folder holds."""

    takes: Mapping[TakeLabel, Path]  # in the order of their numbers
    passed_over: tuple[str, ...]  # of each other folder with photographs or a params.json: which, and why it is no take


def label_of_folder(folder: Path) -> TakeLabel | None:
    """The take that a folder's name means: 2_smile of 2_smile, 2_Smile and "02 smile"; None where it means none."""
    name = folder.resolve().name
    written = _WRITTEN.fullmatch(name.lower())
    if written is None:
        return TakeLabel.find(name)
    return TakeLabel(int(written["position"]), _SEPARATORS.sub("_", written["name"]).rstrip("_"))


def find_takes(subject: Path, besides: Path | None = None) -> SubjectFolders:
    """The takes `<k>_<name>` of a subject, and every other folder in it that holds photographs or a params.json.

    besides: a folder of results, which is not looked into. Raises TakeError where there is no take, or where two
    folders mean the same one.
    """
    subject = Path(subject)
    if not subject.is_dir():
        raise TakeError(f"{subject} is not a folder; give a subject: a folder of takes <k>_<name>/")
    takes: dict[TakeLabel, Path] = {}
    for folder in sorted((p for p in subject.iterdir() if p.is_dir()), key=lambda p: natural_order(p.name)):
        label = label_of_folder(folder)
        if label is None or (besides is not None and folder.resolve() == besides.resolve()):
            continue
        if TakeLabel.find(folder.name) is None and not any(map(_of_take, folder.iterdir())):
            continue  # "3 notes"
        if label in takes:
            raise TakeError(f"{takes[label]} and {folder.name} are both take {label}; rename or remove one of them")
        takes[label] = folder
    passed = _passed_over(subject, set(takes.values()), besides)
    if not takes:
        if (subject / "params.json").is_file():
            hint = "it is a take itself: give the folder above it"
        else:
            hint = "none found" if not passed else "\n".join(["these hold photographs:", *(f"  {p}" for p in passed)])
        raise TakeError(f"{subject} has no take folders <k>_<name> such as 1_neutral; {hint}")
    return SubjectFolders(dict(sorted(takes.items())), passed)


def _of_take(file: Path) -> bool:
    return file.name == "params.json" or looks_like_photograph(file.name)


def _passed_over(subject: Path, takes: set[Path], besides: Path | None) -> tuple[str, ...]:
    """Told one by one, or by the folder that they lie in where that has many."""
    found: dict[str, list[tuple[str, str]]] = {}
    for folder, holds in _with_photographs(subject, besides):
        if folder in takes:
            continue
        inside = folder.relative_to(subject).parts
        found.setdefault(inside[0] if inside else ".", []).append(("/".join(inside) or str(subject), holds))
    told: list[str] = []
    for top, folders in sorted(found.items(), key=lambda item: natural_order(item[0])):
        if len(folders) > _NAMED:
            told.append(
                f"{top} is passed over: {len(folders)} folders in it hold photographs or a params.json, such as "
                f"{folders[0][0]}; a subject's takes lie in the subject's folder itself"
            )
            continue
        for name, holds in folders:
            why = "its name is no take's (<k>_<name>, as in 2_smile)"
            if top == ".":
                why = "photographs belong into a take's folder <k>_<name>"
            elif name != top:
                why = "a subject's takes lie in the subject's folder itself"
            told.append(f"{name} is passed over: it holds {holds}, and {why}")
    return tuple(told)


def _with_photographs(subject: Path, besides: Path | None) -> Iterator[tuple[Path, str]]:
    """Folders, the subject's own first, with what they hold. Links to folders are looked into where they lie on top."""
    skipped = None if besides is None else besides.resolve()
    tops = [subject, *(p for p in subject.iterdir() if p.is_symlink() and p.is_dir())]
    count = 0
    for top in tops:
        for where, folders, files in os.walk(top):
            folders[:] = sorted(f for f in folders if skipped is None or (Path(where) / f).resolve() != skipped)
            count += 1
            if count > _FOLDERS:
                return
            pictures = sum(map(looks_like_photograph, files))
            holds = [f"{pictures} photograph{'s' if pictures > 1 else ''}"] if pictures else []
            holds += ["a params.json"] if "params.json" in files else []
            if holds:
                yield Path(where), " and ".join(holds)
