"""Files that were read: each to its exposure, into the tray, or undecided until more is known."""

import hashlib
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from camera_nodes.camera import BodyFile
from camera_nodes.errors import PhotoDamaged, SpoolError
from camera_nodes.photo_collection import exposure_journal
from camera_nodes.photo_collection.collection_state import CollectionState
from camera_nodes.photo_collection.exposure_journal import CardFile, ExposureRecord
from camera_nodes.photo_collection.exposure_matching import (
    SAME_MOMENT_S,
    CandidateFile,
    companion,
    copy_in_other_slot,
    match_files,
    twins,
)
from camera_nodes.photo_collection.file_types import capture_time, kind_by_name, kind_of, read_name
from camera_nodes.photo_collection.unread_files import UnreadFiles
from camera_nodes.photo_transfer.spool import StrayFile
from common.photograph_facts import FileKind

log = logging.getLogger(__name__)


@dataclass
class _Undecided:
    """A file that was read, and nobody's yet."""

    candidate: CandidateFile  # what is known of it
    file: BodyFile  # on the body
    data: bytes = field(repr=False)  # its bytes
    problem: str = ""  # it is not whole
    since: float = field(default_factory=lambda: time.monotonic())  # when it was read, monotonic s


class FileAssignment:
    """See the module.  `strays`: files in the tray."""

    def __init__(self, collection: CollectionState, unread: UnreadFiles) -> None:
        self._collection = collection
        self._unread = unread
        self._undecided: list[_Undecided] = []
        self._last_own: tuple[float, float] | None = None  # capture time and release of the last one that is certain
        self.clock_doubted = False  # what the body says of its clock made a stray, and no photograph has borne it out
        self.strays = len(collection.spool.strays())

    @property
    def undecided_s(self) -> float | None:
        """For how long a file has waited for more to be known; None when there is none."""
        return max((time.monotonic() - one.since for one in self._undecided), default=None)

    def holds(self, path: str) -> bool:
        """Whether a file of this path was read and is undecided."""
        return any(one.file.path == path for one in self._undecided)

    def look_at(self, file: BodyFile, data: bytes, problem: str) -> None:
        """Find out what a file is; it is then filed, undecided, a stray, or known already."""
        ours = self._collection.journal.ours(file.path)
        if ours is not None and ours[1].damaged and ours[1].epoch == file.epoch:
            self._mended(*ours, data, problem)
            return
        kind = (problem and kind_by_name(file.name)) or kind_of(file.name, data)
        taken_s = capture_time(data)
        digest = hashlib.sha256(data).hexdigest()
        candidate = CandidateFile(file.folder, file.name, kind, digest, taken_s, file.epoch, file.heard_s)
        if any(one.candidate.path == candidate.path and one.candidate.sha256 == digest for one in self._undecided):
            return
        undecided = _Undecided(candidate, file, data, problem)
        if not self._accompany(undecided):
            if kind == "other":
                self._stray(undecided, "it is neither a photograph nor a raw file")
            else:
                self._undecided.append(undecided)

    def _accompany(self, one: _Undecided) -> bool:
        """File it with the exposure that it belongs to by its stem; whether there is one."""
        candidate = one.candidate
        found = companion(candidate, self._collection.journal.holders())
        if found is None:
            return False
        exposure = self._collection.journal.find(found.fire_id)
        assert exposure is not None  # holders are the journal's
        if found.copy:
            self._copied(exposure, one)
        elif candidate.kind == "other":
            self._stray(one, f"it lies beside the photograph of {exposure.take_id}", exposure.take_id)
        elif exposure.file(candidate.kind) is not None:
            self._stray(one, f"{exposure.take_id} has another file of that name", exposure.take_id)
        else:
            self._file(exposure, one)
        return True

    def _copied(self, exposure: ExposureRecord, one: _Undecided) -> None:
        """The same bytes in another place, such as the second slot, or told a second time."""
        same = next((f for f in exposure.files if f.path == one.candidate.path), None)
        if same is not None:
            return
        original = next(f for f in exposure.files if f.sha256 == one.candidate.sha256)
        state: exposure_journal.FileState = "stored" if original.state == "deleted" else original.state
        exposure.files.append(_card_file(one, state, copy=True))

    def _mended(self, exposure: ExposureRecord, file: CardFile, data: bytes, problem: str) -> None:
        """A photograph that came in pieces was read once more."""
        if problem:
            raise PhotoDamaged(problem)
        entry = self._collection.put(exposure, file.name, "raw" if file.kind == "raw" else "jpeg", data)
        file.sha256, file.bytes, file.state, file.damaged = entry.sha256, entry.bytes, "spooled", False

    def settle(self, *, final: bool = False, patient: bool = False) -> None:
        """Give what was read to the exposures whose it is; final, patient: as assign()."""
        journal = self._collection.journal
        for one in list(self._undecided):  # their exposure may have its first file by now
            if self._accompany(one):
                self._undecided.remove(one)
        for one in [
            o for o in self._undecided if any(copy_in_other_slot(o.candidate, path) for path in journal.strays)
        ]:
            self._undecided.remove(one)
            self._stray(one, "the file of that name in the other slot is one")
        photographs = [one for one in self._undecided if one.candidate.kind == "jpeg"]
        if not photographs:
            self._settle_raw(final)
            return
        clock_s = self._known_clock(photographs)
        counts = self._collection.camera.tells_time
        firsts = _one_each([one.candidate for one in photographs])
        proven = journal.clock_proven
        verdict = match_files(
            firsts,
            journal.waiting(),
            clock_s,
            final=final,
            patient=patient,
            newest=journal.last_number if counts else None,
            counts=counts,
            proven=proven,
        )
        self.clock_doubted |= verdict.by_time and not proven
        for fire_id, candidate in verdict.own.items():
            one = next(o for o in photographs if o.candidate is candidate)
            exposure = journal.find(fire_id)
            assert exposure is not None
            self._undecided.remove(one)
            self._file(exposure, one)
            if exposure.file("jpeg") is None:
                continue  # it could not be kept
            if candidate.taken_s is not None and exposure.released_s is not None:
                journal.clock_proven = True
                self._last_own = (candidate.taken_s, exposure.released_s)
        if not self._collection.clock_void and verdict.clock_s is not None:
            journal.clock_s = verdict.clock_s
        for one in [o for o in photographs if o in self._undecided]:
            if self._accompany(one):  # in the other slot
                self._undecided.remove(one)
        for candidate, reason in verdict.strays:
            for one in [o for o in self._undecided if o.candidate is candidate or twins(o.candidate, candidate)]:
                self._undecided.remove(one)
                self._stray(one, reason)
        for candidate in verdict.behind:
            if candidate.number is not None:
                journal.recount(candidate.number)
        if verdict.ambiguous:
            for exposure in journal.live():
                exposure.state = "done"
                self._collection.tell(
                    "photo_missing", f"{verdict.strays[0][1]}; they are in the tray and on the card", exposure
                )
        self._settle_raw(final)

    def _settle_raw(self, final: bool) -> None:
        for one in list(self._undecided):
            if one.candidate.kind == "raw" and (self._accompany(one) or (final or not self._collection.journal.live())):
                self._undecided.remove(one)
                if self._collection.journal.ours(one.candidate.path) is None:
                    self._stray(one, "no photograph has its name")

    def _known_clock(self, photographs: list[_Undecided]) -> float | None:
        """The body's clock, unless it stands still: then capture times mean nothing."""
        if self._collection.clock_void:
            return None
        for one in photographs:
            if self._last_own is None or one.candidate.taken_s != self._last_own[0]:
                continue
            if any(
                w.released_s and w.released_s - self._last_own[1] > SAME_MOMENT_S
                for w in self._collection.journal.waiting()
            ):
                log.warning(
                    "%s: its photographs all say the same time; capture times are left out of account",
                    self._collection.name,
                )
                self._collection.clock_void, self._collection.journal.clock_s = True, None
                return None
        return self._collection.journal.clock_s

    def _file(self, exposure: ExposureRecord, one: _Undecided) -> None:
        """Into the spool under its exposure."""
        candidate = one.candidate
        clock_s = None if self._collection.clock_void else self._collection.journal.clock_s
        if (
            candidate.kind == "jpeg"
            and clock_s is None
            and not self._collection.clock_void
            and exposure.released_s
            and candidate.taken_s
        ):
            clock_s = candidate.taken_s - exposure.released_s
        kind: FileKind = "raw" if candidate.kind == "raw" else "jpeg"
        if one.problem:
            self._damaged(exposure, one)
            return
        try:
            self._collection.put(exposure, candidate.name, kind, one.data, clock_s, candidate.sha256)
        except SpoolError as error:
            self._unread.postpone_new(one.file, error)
            return
        exposure.files.append(_card_file(one, "spooled"))
        if kind == "jpeg":
            exposure.stem, exposure.taken_s = candidate.stem, candidate.taken_s
            exposure.state = "done"
            self._collection.journal.number_used(candidate.number)
        elif not exposure.stem:
            exposure.stem = candidate.stem
        self._collection.journal.saw(candidate.name)
        if self._collection.camera.tells_time and read_name(candidate.name).made_up:
            said = f"{exposure.take_id}: its photograph {candidate.path} was in the body's memory, not on its card"
            self._collection.tell(
                "capture_target", f"{said}: a failure before it was fetched loses it", take_id=exposure.take_id
            )

    def _damaged(self, exposure: ExposureRecord, one: _Undecided) -> None:
        """A file of it is on the card in pieces: it stays there, is named, and is read again later."""
        file = _card_file(one, "kept")
        file.damaged = True
        exposure.files.append(file)
        exposure.stem = exposure.stem or one.candidate.stem
        self._collection.journal.saw(one.candidate.name)
        self._unread.read_again(one.file, one.problem)
        text = f"{file.path} stays on its card: {one.problem}"
        if file.kind == "jpeg":
            exposure.state = "done"
            self._collection.tell("photo_damaged", text, exposure)
        else:
            self._collection.tell("photo_damaged", text, take_id=exposure.take_id)

    def _stray(self, one: _Undecided, reason: str, take_id: str = "") -> None:
        """Into the tray, and told; the body's copy stays."""
        candidate = one.candidate
        if candidate.kind == "jpeg":
            self._collection.journal.number_used(candidate.number)
        self._collection.journal.saw(candidate.name)
        if candidate.kind == "jpeg":
            self._collection.journal.strays.append(candidate.path)
        if candidate.path not in self._collection.journal.known:
            self._collection.journal.known.append(candidate.path)
        stray = StrayFile(
            camera=self._collection.name,
            path=candidate.path,
            sha256=candidate.sha256,
            bytes=len(one.data),
            reason=reason,
            found_at=datetime.now(UTC).isoformat(timespec="seconds"),
            take_id=take_id,
        )
        try:
            kept = f"it is kept in {self._collection.spool.put_stray(stray, one.data)} and on the card"
            self.strays = len(self._collection.spool.strays())
        except SpoolError as error:
            kept = f"it is on the card; the tray cannot take it: {error}"
        self._collection.tell(
            "stray", f"{candidate.path} is filed in no take: {reason}; {kept}", take_id=take_id or None
        )


def _one_each(candidates: list[CandidateFile]) -> list[CandidateFile]:
    """Of a photograph in two slots the first."""
    firsts: list[CandidateFile] = []
    for one in candidates:
        if not any(twins(one, first) for first in firsts):
            firsts.append(one)
    return firsts


def _card_file(one: _Undecided, state: exposure_journal.FileState, *, copy: bool = False) -> CardFile:
    candidate = one.candidate
    return CardFile(
        folder=candidate.folder, name=candidate.name, kind=candidate.kind, sha256=candidate.sha256, bytes=len(one.data),
        epoch=candidate.epoch, state=state, copy=copy,
    )  # fmt: skip
