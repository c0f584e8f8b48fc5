"""What is known of a photograph, from the camera's card to its row in the records: declared once and carried.

A node describes a file of an exposure when it comes off the camera; the spool writes the description beside the file,
the wire carries it in its messages, and the studio files the photograph by it.
"""

import re
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

# An identifier is also a file name on the node, so it has no separators and does not begin with a dot.
Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")]
FileName = Annotated[str, Meta(pattern=r"\A[^/\\\x00-\x1f]{1,200}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=2**53)]
ClockError = Annotated[int, Meta(ge=-(10**13), le=10**13)]  # ms: 300 years, for a body whose clock was never set
FileKind = Literal["jpeg", "raw"]  # what a body that keeps both gives for one exposure

_UNFIT_FOR_A_NAME = re.compile(r"[/\\\x00-\x1f]")


class PhotographFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """A photograph, or the raw file of the same exposure. The order of the fields is that of the encoded bytes."""

    entry: Id  # unique for ever: see entry_key
    fire_id: Id  # of the Fire that exposed it
    take_id: Id  # the take's code
    camera: Id  # the rig's name of the camera
    name: FileName  # as the camera called it
    sha256: Sha256  # of the file
    bytes: Count  # the file's length
    kind: FileKind = "jpeg"
    body_clock_error_ms: ClockError | None = None  # the body's clock face, read as UTC, minus UTC, when it was taken

    def facts(self) -> dict[str, Any]:
        """These fields alone, for what carries them and more."""
        return {name: getattr(self, name) for name in PhotographFacts.__struct_fields__}


def entry_key(fire_id: str, camera: str, kind: FileKind) -> str:
    """How a spool names an exposure's photograph, or its raw file: unique whatever the camera calls its files.

    A camera's name has no dot.
    """
    return f"{fire_id}.{camera}.raw" if kind == "raw" else f"{fire_id}.{camera}"


def file_name(text: str) -> str:
    """What the camera calls a file, without the signs that no file may have in its name."""
    return _UNFIT_FOR_A_NAME.sub("_", text)[:200] or "photo"
