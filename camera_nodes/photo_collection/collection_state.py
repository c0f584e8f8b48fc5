"""What the parts of a collector share: camera, spool, journal, and what there is to tell the studio."""

import hashlib
from dataclasses import dataclass, field

from camera_nodes.camera import Camera
from camera_nodes.errors import CameraFault, EquipmentError, SpoolError, SpoolFull
from camera_nodes.photo_collection import exposure_journal
from camera_nodes.photo_collection.exposure_journal import ExposureRecord, Journal
from camera_nodes.photo_transfer.spool import Spool
from common.photograph_facts import FileKind, PhotographFacts, entry_key, file_name


@dataclass(frozen=True)
class FileSpooled:
    """A file of an exposure is safe on the node's disk."""

    photo: PhotographFacts  # what is known of it


@dataclass(frozen=True)
class CollectionFault:
    """Something that the studio is told."""

    code: str  # of wire.NodeFault
    text: str  # in words
    fire_id: str | None = None  # that fire brings no photograph from this camera (yet)
    take_id: str | None = None  # the take that it is about


CollectionEvent = FileSpooled | CollectionFault


@dataclass
class CollectionState:
    """What is known of one camera's exposures and files."""

    camera: Camera  # whose
    spool: Spool  # where its photographs go
    name: str  # the rig's name of the camera
    journal: Journal  # of its exposures, on the disk
    reports: list[CollectionEvent] = field(default_factory=list)  # what the studio is to be told
    clock_void: bool = False  # capture times in its photographs mean nothing

    @property
    def clock_s(self) -> float | None:
        """The body's clock face, read as UTC, minus UTC, as far as it is known and means anything."""
        return None if self.clock_void else self.journal.clock_s

    def tell(self, code: str, text: str, of: ExposureRecord | None = None, take_id: str | None = None) -> None:
        """Have the studio told; `of`: this exposure brings no photograph, or not yet."""
        self.reports.append(
            CollectionFault(
                code, text, of.fire_id if of is not None else None, of.take_id if of is not None else take_id
            )
        )

    def put(
        self, of: ExposureRecord, name: str, kind: FileKind, data: bytes, clock_s: float | None = None,
        sha256: str = "",
    ) -> PhotographFacts:  # fmt: skip
        """A file of an exposure into the spool, and reported.  Raises SpoolError."""
        known_s = self.clock_s if clock_s is None else clock_s
        photo = PhotographFacts(
            entry=entry_key(of.fire_id, self.name, kind),
            fire_id=of.fire_id,
            take_id=of.take_id,
            camera=self.name,
            name=file_name(name),
            sha256=sha256 or hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            kind=kind,
            body_clock_error_ms=None if known_s is None else round(known_s * 1e3),
        )
        there = self.spool.get(photo.entry)
        if there is not None and there.sha256 == photo.sha256:
            return there  # the node ended before it could write that down
        self.spool.put(photo, data)
        self.reports.append(FileSpooled(photo))
        return photo

    def save(self, *, durable: bool = True) -> None:
        """Write the journal.  Raises SpoolError."""
        exposure_journal.save(self.journal, self.spool.folder, durable=durable)


def fault_code(error: EquipmentError) -> str:
    """The short name of what went wrong with a camera or the spool."""
    if isinstance(error, SpoolError):
        return "spool_full" if isinstance(error, SpoolFull) else "spool_fault"
    return error.code if isinstance(error, CameraFault) else "camera_fault"
