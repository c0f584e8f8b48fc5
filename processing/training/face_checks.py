"""What a study's files are, looked at before an hour is spent on them: whether each is there, whole and of its kind.

Cheap looks: bytes are read once and nothing is decoded. A file that is whole and says nonsense is found where it is
prepared for learning, which is still before the first step.
"""

import hashlib
import os
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from common.bounded.files import open_regular_file, read_bytes
from common.bounded.jpeg_integrity import check_layout, check_size
from common.bounded.limits import MAX_MAP_BYTES, MAX_MESH_BYTES
from common.progress import Progress, no_progress
from common.take_codes import TakeLabel
from processing.errors import DataError
from processing.files.mesh_files import read_mesh
from processing.geometry.topology import topology_id
from processing.training.study_faces import StudyError, StudyFaces

#: What a task may need of every subject; NEUTRAL_TEXTURE: of the face at rest alone.
MESH, TEXTURE, NEUTRAL_TEXTURE, DISPLACEMENT = PARTS = ("mesh", "texture", "neutral_texture", "displacement")
_SHOWN = 12  # problems that are named
_NO_NUMBER = re.compile(rb"\nv [^\n]*(?:nan|inf)", re.IGNORECASE)
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class FaceProblem:
    """Why a subject cannot be learned from."""

    subject: str
    path: str  # within the study; empty: about the subject
    why: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.path + ' ' if self.path else ''}{self.why}"


def check_faces(
    faces: StudyFaces, subjects: Sequence[str], parts: Iterable[str], *, progress: Progress = no_progress
) -> tuple[FaceProblem, ...]:
    """All that is wrong with these subjects' files, in order of subject. parts: of PARTS."""
    look = _Look(faces, frozenset(parts))
    found: list[FaceProblem] = []
    for number, subject in enumerate(subjects):
        progress(number / len(subjects), f"looking at the files of {subject} ({number + 1} of {len(subjects)})")
        found += look.of(subject)
    return tuple(found)


def require_sound(problems: Sequence[FaceProblem], subjects: int) -> None:
    """Raises StudyError with what, which and what to do."""
    if not problems:
        return
    who = list(dict.fromkeys(problem.subject for problem in problems))
    listed = "\n".join(f"  {problem}" for problem in problems[:_SHOWN])
    more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    raise StudyError(
        f"{len(who)} of {subjects} subjects cannot be learned from:\n{listed}{more}\nMend these (a release: mien "
        "release verify, then fetch again; a folder: process the takes again), or train without those subjects: "
        "--skip-incomplete, or --leave-out CODE"
    )


class _Look:
    """What is alike for all subjects is found once."""

    def __init__(self, faces: StudyFaces, parts: frozenset[str]) -> None:
        unknown = parts - set(PARTS)
        if unknown:
            raise StudyError(f"there is no part '{min(unknown)}'; there are {', '.join(PARTS)}")
        self.faces, self.parts = faces, parts
        self.sizes: Mapping[str, int] = faces.manifest_sizes

    @cached_property
    def reference(self) -> tuple[int, str]:
        """Vertices, and the digest of the faces' lines of the first subject's neutral."""
        first = self.faces.subjects[0]
        data = read_bytes(self.faces.files(first, self.faces.neutral(first)).mesh, MAX_MESH_BYTES)
        return _counted(data), _faces_digest(data)

    def of(self, subject: str) -> list[FaceProblem]:
        labels = self.faces.labels(subject)
        if not any(label.is_neutral for label in labels):
            return [FaceProblem(subject, "", "has no neutral (<k>_neutral.obj), from which everything is told")]
        found = []
        for label in labels:
            for path, look in self._looks(subject, label):
                why = self._why(path, look)
                if why:
                    found.append(FaceProblem(subject, str(path.relative_to(self.faces.folder)), why))
        return found

    def _looks(self, subject: str, label: TakeLabel) -> list[tuple[Path, Callable[[Path], str]]]:
        files = self.faces.files(subject, label)
        textured = TEXTURE in self.parts or (NEUTRAL_TEXTURE in self.parts and label.is_neutral)
        looks: list[tuple[Path, Callable[[Path], str]]] = [(files.mesh, self._mesh)] if MESH in self.parts else []
        looks += [(files.texture, _texture)] if textured else []
        looks += [(files.displacement, _displacement)] if DISPLACEMENT in self.parts else []
        return looks

    def _why(self, path: Path, look: Callable[[Path], str]) -> str:
        if not path.is_file():
            return "is not there"
        said = self.sizes.get(path.relative_to(self.faces.folder).as_posix())
        if said is not None and path.stat().st_size != said:
            return f"has {path.stat().st_size:,} bytes, and the manifest says {said:,}"
        try:
            return look(path)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        except (DataError, ValueError) as error:
            return f"is damaged: {error}"

    def _mesh(self, path: Path) -> str:
        data = read_bytes(path, MAX_MESH_BYTES)
        vertices, faces = self.reference
        if (count := _counted(data)) != vertices:
            return f"has {count} vertices, and the others have {vertices}: it is of another topology, or cut short"
        if _faces_digest(data) != faces and topology_id(read_mesh(path)) != self.faces.topology:
            return "has other triangles than the others: it is of another topology, or cut short"
        return "has vertices that are no numbers" if _NO_NUMBER.search(data) else ""


def _counted(data: bytes) -> int:
    return data.count(b"\nv ") + data.startswith(b"v ")


def _faces_digest(data: bytes) -> str:
    """Of all lines from the first face on: the same for meshes that one program wrote."""
    return hashlib.sha256(data[data.find(b"\nf ") :]).hexdigest()


def _texture(path: Path) -> str:
    data = read_bytes(path, MAX_MAP_BYTES)
    width, height = check_size(data)
    check_layout(data)
    return "" if width == height else f"is {width} x {height}; a texture over UVs is square"


def _displacement(path: Path) -> str:
    """The chunks of a PNG follow each other to its end (ISO/IEC 15948, section 5)."""
    with os.fdopen(open_regular_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(33)
        if head[:8] != _PNG or head[12:16] != b"IHDR" or len(head) < 33:
            return "is no PNG"
        width, height, bits, colour = struct.unpack(">IIBB", head[16:26])
        if width != height:
            return f"is {width} x {height}; a displacement map is square"
        if bits != 16 or colour != 0:
            return f"has {bits} bits a channel; a displacement map is a 16-bit grey PNG"
        at = 33
        while at + 12 <= size:
            file.seek(at)
            length, name = struct.unpack(">I4s", file.read(8))
            at += 12 + length
            if name == b"IEND":
                return "" if at <= size else "is cut short"
    return "is cut short"
