"""Which template file a command or a studio works with, and the files beside it that stages read."""

import shutil
from collections.abc import Callable
from pathlib import Path

from common.files.hashes import file_sha256
from processing.errors import DataError
from processing.stages.base import FACE_UNITS, MEMBERS, TEMPLATE
from processing.stages.discovery import Stages

# What the files of outside sources are called where a run reads them; the template keeps its suffix.
FILE_NAMES = {FACE_UNITS: "face-units.npz", MEMBERS: "members.json"}
UNITS_SUFFIX = ".units.npz"  # of the face units beside a template's file


def template_file(given: str | None, message: Callable[[str], None] = lambda _text: None) -> Path:
    """The template's file: the given one, or Mien's own (built at the first use). Raises DataError."""
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise DataError(f"there is no template file {path}; mien template build makes one")
        return path
    from processing.template.builtin_template import cache_path, default_template

    message("preparing the template")
    default_template()
    return cache_path()


def studio_template(home: Path, given: str | None, message: Callable[[str], None] = lambda _text: None) -> Path:
    """The template of a studio's farm: the given one, or the one that its first run used.

    Mien's own is built on each machine, so two machines' may differ in a last digit and with it in their hash; the
    studio keeps one, or every daemon would make everything anew.
    """
    from common.files.atomic_write import atomic_write

    kept = home / "template.npz"
    if given is None and not kept.is_file():
        with atomic_write(kept) as temporary:
            shutil.copyfile(template_file(None, message), temporary)
    return template_file(given or str(kept), message)


def shared_files(
    template: Path, stages: Stages, message: Callable[[str], None] = lambda _text: None, folder: Path | None = None
) -> dict[str, Path]:
    """Outside source -> file, of those that these stages need and all takes have in common.

    folder: as face_units_file has it.
    """
    files = {TEMPLATE: template}
    if any(need.source == FACE_UNITS for stage in stages.values() for _, need in stage.parsed_needs()):
        files[FACE_UNITS] = face_units_file(template, message, folder)
    return files


def face_units_file(
    template: Path, message: Callable[[str], None] = lambda _text: None, folder: Path | None = None
) -> Path:
    """The template's face units: `<template>.units.npz` beside it; else those that are made for it at the first use.

    folder: where these are kept; None: beside the template. Raises DataError for a template whose units cannot be made,
    and where they cannot be kept.
    """
    own = template.with_name(f"{template.stem}{UNITS_SUFFIX}")
    if own.is_file():
        return own
    folder = folder or template.parent
    kept = folder / f"{template.stem}-{file_sha256(template)[:16]}{UNITS_SUFFIX}"
    if not kept.is_file():
        from processing.registration.unit_transfer import units_for
        from processing.template.face_units import write_units
        from processing.template.template_file import read_template

        message("preparing the face units")
        units = units_for(read_template(template))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_units(kept, units)
        except PermissionError as error:
            raise DataError(f"the face units of {template} cannot be kept in {folder}: {error.strerror}") from None
    return kept
