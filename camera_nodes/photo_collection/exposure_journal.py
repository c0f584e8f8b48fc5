"""What a node remembers of its camera's exposures and files across restarts and power cuts: a small file in the spool.

An exposure is written down before the camera is armed, so that a node which is killed anywhere after that knows that a
file may come.  What became of each file (spooled, stored by the studio, deleted on the card, left there) follows.
"""

from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from camera_nodes.errors import SpoolError
from camera_nodes.photo_collection.exposure_matching import (
    FiledFile,
    PendingExposure,
    ResolvedExposure,
    expected_number,
)
from camera_nodes.photo_collection.file_types import Kind, read_name
from common.computer import BOOT
from common.files.atomic_write import write_whole

NAME = "exposures.json"
_FIRING = "firing"
_REMEMBERED = 48  # finished exposures: what comes late is late by seconds, at most by some takes
_STRAYS = 16
_KNOWN = 4000  # paths of files that are nobody's

FileState = Literal["spooled", "stored", "deleted", "kept"]
ExposureState = Literal["armed", "waiting", "done", "written_off"]


class CardFile(Struct, kw_only=True):
    """A file of an exposure and where it is."""

    folder: str  # on the body
    name: str  # there
    kind: Kind  # what its bytes are
    sha256: str  # of its bytes
    bytes: int  # how many
    epoch: int = 0  # connection on which it was announced; 0: a search found it
    # spooled: on node and card; stored: the studio has it; deleted: it went; kept: it stays for good
    state: FileState = "spooled"
    copy: bool = False  # the same bytes as another file of the exposure
    damaged: bool = False  # it came in pieces, however often it was read

    @property
    def path(self) -> str:
        return f"{self.folder.rstrip('/')}/{self.name}"


class ExposureRecord(Struct, kw_only=True):
    """One arming, and what came of it."""

    fire_id: str  # of the Arm
    take_id: str  # of the Arm
    armed_s: float  # when, UTC
    state: ExposureState = "armed"  # how far it is
    released_s: float | None = None  # when the shutter was released, UTC; None: it is not known to have been
    number: int | None = None  # what the body's counter should give it
    doubtful: bool = False  # the release failed in a way that leaves open whether there was one
    keeps_raw: bool = False  # a raw file is to come beside the photograph
    stem: str = ""  # of its files' names
    taken_s: float | None = None  # capture time by the body's clock face, read as UTC
    files: list[CardFile] = field(default_factory=list)  # that it has

    def file(self, kind: Kind) -> CardFile | None:
        """Its own file of that kind."""
        return next((one for one in self.files if one.kind == kind and not one.copy), None)

    @property
    def complete(self) -> bool:
        """Whether all is there that the body makes of an exposure."""
        return self.file("jpeg") is not None and (not self.keeps_raw or self.file("raw") is not None)


class Journal(Struct, kw_only=True, forbid_unknown_fields=True):
    """See the module."""

    v: Literal[1] = 1  # of this form
    serial: str = ""  # of the body that it is about
    exposures: list[ExposureRecord] = field(default_factory=list)  # the oldest first
    known: list[str] = field(default_factory=list)  # paths on the card that are no exposure's
    strays: list[str] = field(default_factory=list)  # paths of the last photographs that were nobody's
    last_number: int | None = None  # newest counter seen
    clock_s: float | None = None  # what the body's clock face adds to UTC; None: not known
    clock_proven: bool = False  # a photograph's capture time has told clock_s; else the body said it
    first: bool = True  # no camera was ever searched

    def find(self, fire_id: str) -> ExposureRecord | None:
        """The exposure of that fire."""
        return next((one for one in reversed(self.exposures) if one.fire_id == fire_id), None)

    def waiting(self) -> list[PendingExposure]:
        """Exposures without a photograph, in the order of release."""
        return [
            PendingExposure(
                one.fire_id, one.released_s, one.number, one.state == "written_off" or one.doubtful, one.armed_s
            )
            for one in self.exposures
            if one.state in ("armed", "waiting", "written_off") and one.file("jpeg") is None
        ]

    def live(self) -> list[ExposureRecord]:
        """Exposures that may have been made and are neither resolved nor written off."""
        return [one for one in self.exposures if one.state in ("armed", "waiting") and one.file("jpeg") is None]

    def holders(self) -> list[ResolvedExposure]:
        """Exposures that have files."""
        return [
            ResolvedExposure(
                one.fire_id,
                one.stem,
                tuple(FiledFile(f.path, f.kind, f.sha256, f.epoch) for f in one.files),
                one.taken_s,
            )
            for one in self.exposures
            if one.files
        ]

    def next_number(self) -> int | None:
        """What the counter gives the next exposure."""
        last = max((n for n, one in enumerate(self.exposures) if one.file("jpeg") is not None), default=-1)
        since = {one.fire_id for one in self.exposures[last + 1 :]}  # what is before it has its number before it
        before = [w for w in self.waiting() if w.number is not None and w.fire_id in since]
        return expected_number(self.last_number, len(before))

    def number_used(self, number: int | None) -> None:
        """A photograph has this number: an exposure given up that should have had it never was, or is in the tray."""
        for one in self.exposures:
            if one.state == "written_off" and one.number is not None and one.number == number:
                one.state = "done"

    def saw(self, name: str) -> None:
        """A file of this name exists: the counter is there, or past it."""
        found = read_name(name)
        if found.number is None or found.made_up:
            return
        behind = self.last_number is not None and 0 <= self.last_number - found.number < 5000
        if not behind:
            self.last_number = found.number

    def recount(self, number: int) -> None:
        """The counter was not where it was thought to be: what was expected of it is open."""
        self.last_number = number
        for one in self.live():
            one.number = None

    def ours(self, path: str) -> tuple[ExposureRecord, CardFile] | None:
        """The newest exposure that has this path, and its file."""
        for exposure in reversed(self.exposures):
            for one in exposure.files:
                if one.path == path and one.state != "deleted":
                    return exposure, one
        return None

    def forget_old(self) -> None:
        """Drop what nothing can come of any more."""
        finished = [one for one in self.exposures if one.state in ("done", "written_off")]
        for one in finished[: max(0, len(finished) - _REMEMBERED)]:
            if all(file.state in ("deleted", "kept") for file in one.files):
                self.known += [file.path for file in one.files if file.state == "kept"]
                self.exposures.remove(one)
        del self.strays[: max(0, len(self.strays) - _STRAYS)]
        del self.known[: max(0, len(self.known) - _KNOWN)]


def note_fire(folder: Path, fire_id: str) -> None:
    """Note that this fire was accepted ("": none since the last arming): quick, for the moments before the window.

    It outlives the node, not the machine, and says so: certainly_not_fired() believes it within one boot alone.
    """
    with suppress(OSError), (folder / _FIRING).open("w") as stream:
        stream.write(f"{_boot()}\n{fire_id}\n")


def certainly_not_fired(folder: Path, fire_id: str) -> bool:
    """Whether the node ended before it accepted this fire."""
    try:
        boot, noted = (folder / _FIRING).read_text().splitlines()
    except (OSError, ValueError):
        return False
    return bool(boot) and boot == _boot() and noted != fire_id


def _boot() -> str:
    with suppress(OSError):
        return BOOT.read_text().strip()
    return ""


def load(folder: Path) -> Journal:
    """The journal of this spool; an empty one when there is none.  A damaged one is set aside and begun anew."""
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Journal)
    except FileNotFoundError:
        return Journal()
    except (OSError, msgspec.MsgspecError):
        try:
            path.rename(path.with_suffix(".damaged"))
        except OSError as error:
            raise SpoolError(f"{path} is damaged and cannot be set aside: {error.strerror}") from None
        return Journal()


def save(journal: Journal, folder: Path, *, durable: bool = True) -> None:
    """Write it whole; when this returns it survives a power cut (only the node's end, unless `durable`).

    Raises SpoolError.
    """
    journal.forget_old()
    path = folder / NAME
    try:
        write_whole(path, msgspec.json.encode(journal), durable=durable)
    except OSError as error:
        raise SpoolError(f"{path} cannot be written: {error.strerror}") from None
