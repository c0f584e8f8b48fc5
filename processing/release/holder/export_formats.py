"""Table of export formats: an entry for each, which `mien release export` offers, explains and writes with.

A format is a writer and its entry here. The table imports no writer: each is imported when it is asked for, since some
need packages that not everybody has.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from processing.release.formats.errors import ReleaseError


@dataclass(frozen=True)
class ExportFormat:
    """A format that a release can be written in."""

    #: As --format names it.
    name: str
    #: What it writes, in the command's help.
    about: str
    #: `module:function`. Of a subject: SubjectWriter of release_export; of a take: TakeWriter.
    writer: str
    #: Behind a subject's index; empty where the writer makes a folder.
    ending: str = ""
    #: Whether it writes takes, into <index>/<label>, not subjects.
    of_take: bool = False
    #: What is said of a release none of whose takes has what it needs.
    lacking: str = ""

    @property
    def unit(self) -> str:
        """What it writes one of after another."""
        return "takes" if self.of_take else "subjects"

    def load_writer(self) -> Any:
        """Its writer, imported now."""
        module, _, function = self.writer.partition(":")
        return getattr(import_module(module), function)


EXPORT_FORMATS = (
    ExportFormat("gltf", "gltf", "processing.files.morph_targets.gltf:write_glb", ".glb"),
    ExportFormat("usd", "usd (needs the usd extra)", "processing.files.morph_targets.usd:write_usd", ".usdc"),
    ExportFormat("obj", "obj: a folder of meshes", "processing.files.morph_targets.obj_folder:write_obj_folder"),
    ExportFormat(
        "colmap", "colmap: a model a take", "processing.release.holder.colmap_export:write_colmap_take", of_take=True,
        lacking="no photographs here: COLMAP's models need them; see missing.csv",
    ),
)  # fmt: skip


def export_format(name: str) -> ExportFormat:
    """The format of this name. Raises ReleaseError, naming those that there are."""
    for one in EXPORT_FORMATS:
        if one.name == name:
            return one
    raise ReleaseError(f"there is no format '{name}'; there are: {', '.join(one.name for one in EXPORT_FORMATS)}")


def formats_in_words() -> str:
    """All of them, as the command's help has them."""
    *others, last = (one.about for one in EXPORT_FORMATS)
    return f"{', '.join(others)}, or {last}."
