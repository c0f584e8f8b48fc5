"""Gets photographs from a camera into the spool, each under its own exposure; what is no exposure's into the tray.

Everything here runs in the node's worker thread, outside the fire window.  attribution.py decides whose a file is, the
journal remembers, the spool keeps.  A file stays on the card until the studio has stored it.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from camera_nodes import exposure_journal
from camera_nodes.attribution import SAME_MOMENT_S, Sighting, assign, companion
from camera_nodes.camera import BodyFile, CameraBase, CameraState, Heard
from camera_nodes.errors import (
    CameraFault,
    CameraMissing,
    CardFull,
    EquipmentError,
    FileCut,
    FileGone,
    FileKept,
    NotIdle,
    PhotoDamaged,
    SpoolError,
    SpoolFull,
)
from camera_nodes.exposure_journal import CardFile, ExposureRecord
from camera_nodes.file_kinds import capture_time, jpeg_fault, kind_of, read_name
from camera_nodes.spool import Entry, Spool, Stray, entry_key
from camera_nodes.wire import FileKind

log = logging.getLogger(__name__)

QUIET_S = 0.05  # a body that has said nothing for so long has nothing more to say just now
_DRAIN_S = 10.0  # ... and one that does not stop within this is not drained further
_NOTHING_S = 0.05  # pause of a camera that answers at once that there is nothing
_READS = 3
_AGAIN_S = (2.0, 5.0, 15.0, 60.0)  # between attempts at a file that cannot be read
_DOUBT_S = 3.0  # ... and one whose release failed, for this long
_GRACE_S = 10.0  # after a restart an exposure that may never have been is waited for this long


@dataclass(frozen=True)
class Spooled:
    """A file of an exposure is safe on the node's disk."""

    entry: Entry


@dataclass(frozen=True)
class Trouble:
    """Something that the studio is told.  fire_id: that fire brings no photograph from this camera (yet)."""

    code: str
    text: str
    fire_id: str | None = None
    take_id: str | None = None


Report = Spooled | Trouble


@dataclass
class _Unread:
    """A file that the body has and that is not read yet."""

    file: BodyFile
    tries: int = 0
    next_s: float = 0.0  # monotonic
    error: str = ""
    code: str = "photo_missing"


@dataclass
class _Undecided:
    """A file that was read, and nobody's yet."""

    sighting: Sighting
    file: BodyFile
    data: bytes = field(repr=False)
    problem: str = ""  # it is not whole


class Unresolved(CameraFault):
    """An earlier exposure has no photograph yet, so whose the next one is could not be told."""

    code = "unresolved"


class Collector:
    """One camera's files.  `stop` tells whether the node is ending: waiting then ends early."""

    def __init__(self, camera: CameraBase, spool: Spool, name: str, stop: Callable[[], bool] = lambda: False) -> None:
        self._camera = camera
        self._spool = spool
        self._name = name
        self._stop = stop
        self._journal = exposure_journal.load(spool.folder)
        self._unread: list[_Unread] = []
        self._undecided: list[_Undecided] = []
        self._reports: list[Report] = []
        self._clock_void = False
        self._last_own: tuple[float, float] | None = None  # capture time and release of the last one that is certain
        self._since = time.monotonic()  # of this connection
        self.unresolved = ""  # the take of the oldest exposure that has no file yet
        self.strays = len(spool.strays())  # files in the tray

    # --- the camera comes

    def connect(self) -> list[Report]:
        """The camera was opened: what has it that was not fetched?  Raises CameraFault."""
        self._since, self._clock_void = time.monotonic(), not self._camera.tells_time
        serial = self._camera.info.serial
        journal = self._journal
        if journal.serial and serial and serial != journal.serial:
            self._exchanged(serial)
        journal.serial = serial or journal.serial
        self._read_clock()
        if journal.last_number is None:
            journal.last_number = self._camera.counter
        self._look_round()
        self._offer_again()
        self._drain()
        self._settle()
        self._save()
        return self.take_reports()

    def _read_clock(self) -> None:
        """What the body says of its clock; a capture time tells more, as long as they agree but for the time zone."""
        reading_s, known_s = self._camera.body_clock_s(), self._journal.clock_s
        if reading_s is not None and (known_s is None or abs((known_s - reading_s + 450) % 900 - 450) > SAME_MOMENT_S):
            self._journal.clock_s = reading_s

    def _offer_again(self) -> None:
        """Files that left the spool and of which it was not written down whether the studio stored them: ask it."""
        for exposure in self._journal.exposures:
            for file in exposure.files:
                if file.state != "spooled" or file.copy or file.kind == "other":
                    continue
                if self._spool.holds(entry_key(exposure.fire_id, self._name, file.kind)):
                    continue
                file.state = "kept"
                with suppress(CameraFault, SpoolError):
                    data = self._read_whole(BodyFile(file.folder, file.name))
                    if hashlib.sha256(data).hexdigest() == file.sha256:
                        self._put(exposure, file.name, file.kind, data, None)
                        file.state = "spooled"

    def _exchanged(self, serial: str) -> None:
        journal = self._journal
        for one in journal.live():
            one.state = "written_off"
            said = (
                f"the body {journal.serial} was exchanged for {serial} before it gave its photograph of {one.take_id}"
            )
            self._tell("written_off", f"{said}; look for it on that body's card", take_id=one.take_id)
        for one in journal.exposures:
            for kept in one.files:
                kept.state = "kept" if kept.state != "deleted" else kept.state
        journal.known, journal.last_number, journal.clock_s, journal.first = [], None, None, True

    def _look_round(self, *, fresh: bool = False) -> None:
        """Search the card: what was not there before, and is no exposure's yet, is as good as announced."""
        journal = self._journal
        found = self._camera.search(fresh=fresh)
        there = {file.path for file in found}
        waiting = {one.file.path for one in self._unread} | {one.file.path for one in self._undecided}
        new = [f for f in found if f.path not in journal.known and f.path not in waiting and not journal.ours(f.path)]
        if journal.first:
            journal.first = False
            journal.known = sorted(there)
            for file in found:
                journal.saw(file.name)
            if found:
                log.warning(
                    "%s: its card has %d files that no take made, such as %s: they stay there",
                    self._name, len(found), found[-1].path,
                )  # fmt: skip
            return
        journal.known = [path for path in journal.known if path in there]
        for one in journal.exposures:
            for ours in one.files:
                if ours.path not in there and ours.state in ("stored", "kept"):
                    ours.state = "deleted"
        self._unread += [_Unread(file) for file in new]

    # --- before, during and after an exposure

    def before_arming(self) -> tuple[list[str], list[Report]]:
        """Read away what the body has to say, and make sure that no exposure is unresolved.

        Returns warnings, and what to tell.  Raises Unresolved, or CameraFault.
        """
        self._drain()
        self._settle()
        warnings = []
        for one in self._journal.live():
            if one.file("jpeg") is None:
                warnings.append(self._resolve(one))
        stuck = [one for one in self._unread if one.tries]
        if stuck and self._journal.live():
            raise Unresolved(f"{stuck[0].file.path} is on its card and cannot be read: {stuck[0].error}")
        return [text for text in warnings if text], self.take_reports()

    def _resolve(self, one: ExposureRecord) -> str:
        """Find its photograph, or write it off where a later file can be told apart.  Raises Unresolved."""
        since_s = time.time() - (one.released_s or one.armed_s)
        patience_s = self._camera.file_s
        if one.state == "armed":  # the node was killed: it may never have been
            since_s, patience_s = time.monotonic() - self._since, _GRACE_S
        if one.doubtful:
            self._listen_on(min(_DOUBT_S, patience_s) - since_s)
        elif since_s < patience_s:
            raise Unresolved(
                f"its exposure of {one.take_id} has given no photograph yet: wait {patience_s - since_s:.0f} s more, or"
                f" write it off:  mien rig write-off {self._name}"
            )
        self._look_round(fresh=True)
        self._drain()
        self._settle()
        if one.file("jpeg") is not None:
            return ""
        if one.doubtful:
            one.state = "done"  # so long after the release, on a connection made anew: it was not released
            return f"the release that failed for {one.take_id} has made no photograph"
        if one.state == "waiting" and self._journal.clock_s is None and one.number is None:
            raise Unresolved(
                f"its exposure of {one.take_id} has given no photograph, and whether the next one is of it could not be"
                f" told: write it off:  mien rig write-off {self._name}"
            )
        return self._write_off(one, "its body has no photograph of it")

    def _listen_on(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stop():
            self._turn(min(0.5, max(0.001, end - time.monotonic())))

    def write_off(self, take_id: str, why: str) -> list[Report]:
        """Give up an exposure by name: the camera may be armed again."""
        for one in self._journal.live():
            if not take_id or one.take_id == take_id:
                self._write_off(one, why or "written off by the operator")
        self._save()
        return self.take_reports()

    def _write_off(self, one: ExposureRecord, why: str) -> str:
        one.state = "written_off"
        text = f"its exposure of {one.take_id} is written off: {why}"
        self._tell("written_off", text, take_id=one.take_id)
        return text

    def arming(self, fire_id: str, take_id: str, *, keeps_raw: bool) -> None:
        """Write the exposure down before it can be made.  Raises SpoolError."""
        self._journal.exposures.append(
            ExposureRecord(
                fire_id=fire_id, take_id=take_id, armed_s=time.time(), number=self._journal.next_number(),
                keeps_raw=keeps_raw,
            )
        )  # fmt: skip
        self._save()

    def not_released(self, fire_id: str) -> None:
        """The shutter was surely not released."""
        found = self._journal.find(fire_id)
        if found is not None and found.state == "armed":
            self._journal.exposures.remove(found)

    def released(self, fire_id: str, at_s: float, *, doubtful: bool = False) -> None:
        """The shutter was released, or (`doubtful`) may have been; at_s: UTC."""
        found = self._journal.find(fire_id)
        if found is not None:
            found.state, found.released_s, found.doubtful = "waiting", at_s, doubtful
            self._save()

    def collect(self, fire_id: str, patience_s: float | None = None) -> list[Report]:
        """Wait for the exposure's photograph and put it into the spool; its raw file follows, now or later."""
        one = self._journal.find(fire_id)
        if one is None:
            return []
        end = time.monotonic() + (self._camera.file_s if patience_s is None else patience_s)
        problem, full = "", False
        try:
            while one.state == "waiting" and time.monotonic() < end and not self._stop():
                self._turn(min(0.5, max(0.001, end - time.monotonic())))
            self._drain(limit_s=1.0)
            self._camera.finish()
            if one.state == "waiting" and not self._stop():
                full = self._full()
                self._look_round(fresh=True)
                self._drain()
                self._settle(final=True)
        except CameraFault as error:
            problem = str(error)
        if self._camera.state is CameraState.EXPOSED:
            self._camera.finish()
        if one.state == "waiting" and not self._stop():
            self._conclude(one, problem, full=full)
        self._save()
        return self.take_reports()

    def _conclude(self, one: ExposureRecord, problem: str, *, full: bool) -> None:
        """Say why its photograph is not there."""
        stuck = next((u for u in self._unread if u.tries), None)
        if stuck is not None:
            self._tell(stuck.code, f"{stuck.file.path} is on its card and is not read yet: {stuck.error}", one)
        elif problem:
            self._tell("photo_missing", f"no photograph yet: {problem}", one)
        elif full:
            one.state = "done"
            self._tell("card_full", "its card is full; no photograph was kept", one)
        else:
            said = f"no photograph within {self._camera.file_s:g} s of the release"
            self._tell("photo_missing", f"{said}; if it comes yet, it is filed in its take", one)

    def _full(self) -> bool:
        try:
            return self._camera.check().photos_left == 0
        except CardFull:
            return True
        except EquipmentError:
            return False

    def idle(self, timeout_s: float = 0.1) -> list[Report]:
        """Between takes: hear the body, read what could not be read, delete what the studio has stored.

        Raises CameraMissing or another CameraFault that lasts.
        """
        self._turn(timeout_s)
        if self._undecided and not any(not one.doubtful for one in self._journal.live()):
            self._settle(final=True)
        self._tidy()
        self._miss_raw_files()
        return self.take_reports()

    def _miss_raw_files(self) -> None:
        """Raw files that the body said it keeps, and that have not come."""
        for one in self._journal.exposures:
            late = time.time() - (one.released_s or one.armed_s) > self._camera.file_s
            if late and one.file("jpeg") is not None and not one.complete:
                one.keeps_raw = False  # told once; if it comes yet, it is filed
                said = f"{one.take_id}: its raw file has not come within {self._camera.file_s:g} s of the release"
                self._tell("raw_missing", said, take_id=one.take_id)

    # --- hearing and reading

    def _turn(self, timeout_s: float) -> None:
        heard = self._camera.listen(timeout_s)
        self._hear(heard)
        came = self._read_due()
        if came:
            self._drain()
            self._settle()
        elif not heard.files and timeout_s > 0.2:
            time.sleep(_NOTHING_S if heard.quiet else 0)

    def _hear(self, heard: Heard) -> None:
        for file in heard.files:
            waiting = any(one.file.path == file.path and one.file.epoch == file.epoch for one in self._unread)
            if not waiting:
                self._unread.append(_Unread(file))
        if heard.interrupted:
            self._look_round()

    def _drain(self, limit_s: float = _DRAIN_S) -> None:
        """Until the body has nothing more to say; what it announces is read."""
        end = time.monotonic() + limit_s
        while True:
            heard = self._camera.listen(QUIET_S)
            self._hear(heard)
            self._read_due()
            if (heard.quiet and not heard.files) or time.monotonic() > end or self._stop():
                return

    def _read_due(self) -> bool:
        """Read the files that are to be read now; whether one was."""
        came = False
        for one in list(self._unread):
            if one.next_s > time.monotonic():
                continue
            try:
                self._look_at(one.file)
                came = True
            except FileGone:
                if self._journal.ours(one.file.path) is None:
                    log.warning("%s: %s was announced and is not there", self._name, one.file.path)
            except (CameraMissing, NotIdle):
                raise
            except EquipmentError as error:
                self._postpone(one, error)
                continue
            self._unread.remove(one)
        return came

    def _postpone(self, one: _Unread, error: EquipmentError) -> None:
        one.next_s = time.monotonic() + _AGAIN_S[min(one.tries, len(_AGAIN_S) - 1)]
        one.tries += 1
        if isinstance(error, PhotoDamaged) and one.tries > len(_AGAIN_S):
            one.next_s = float("inf")  # named, on the card, and no better for being read once more
        first, one.error = not one.error, str(error)
        one.code = code_of(error)
        if first:
            self._tell(one.code, f"{one.file.path} stays on its card and is read again later: {error}")

    def _look_at(self, file: BodyFile) -> None:
        """Read a file and find out what it is; it is then filed, undecided, a stray, or known already."""
        problem = ""
        try:
            data = self._read_whole(file)
        except PhotoDamaged as damage:
            data, problem = damage.data, str(damage)
        ours = self._journal.ours(file.path)
        if ours is not None and ours[1].damaged and ours[1].epoch == file.epoch:
            self._mended(*ours, data, problem)
            return
        kind = "jpeg" if problem else kind_of(file.name, data)
        taken_s = capture_time(data)
        digest = hashlib.sha256(data).hexdigest()
        sighting = Sighting(file.folder, file.name, kind, digest, taken_s, file.epoch)
        if any(one.sighting.path == sighting.path and one.sighting.sha256 == digest for one in self._undecided):
            return
        undecided = _Undecided(sighting, file, data, problem)
        if not self._accompany(undecided):
            if kind == "other":
                self._stray(undecided, "it is neither a photograph nor a raw file")
            else:
                self._undecided.append(undecided)

    def _accompany(self, one: _Undecided) -> bool:
        """File it with the exposure that it belongs to by its stem; whether there is one."""
        sighting = one.sighting
        found = companion(sighting, self._journal.holders())
        if found is None:
            return False
        exposure = self._journal.find(found.fire_id)
        assert exposure is not None  # holders are the journal's
        if found.copy:
            self._copied(exposure, one)
        elif sighting.kind == "other":
            self._stray(one, f"it lies beside the photograph of {exposure.take_id}", exposure.take_id)
        elif exposure.file(sighting.kind) is not None:
            self._stray(one, f"{exposure.take_id} has another file of that name", exposure.take_id)
        else:
            self._file(exposure, one)
        return True

    def _copied(self, exposure: ExposureRecord, one: _Undecided) -> None:
        """The same bytes in another place, such as the second slot, or told a second time."""
        same = next((f for f in exposure.files if f.path == one.sighting.path), None)
        if same is not None:
            return
        original = next(f for f in exposure.files if f.sha256 == one.sighting.sha256)
        state: exposure_journal.FileState = "stored" if original.state == "deleted" else original.state
        exposure.files.append(_card_file(one, state, copy=True))

    def _read_whole(self, file: BodyFile) -> bytes:
        """The file, whole.  Raises PhotoDamaged when it is not, however often it is read; FileGone; CameraFault."""
        problem, before = "", b""
        for _ in range(_READS):
            try:
                data = self._camera.read(file)
            except FileCut as cut:
                data, problem = cut.data, str(cut)
            else:
                problem = "" if data else "it is empty"
            is_jpeg = data.startswith(b"\xff\xd8") or file.name.lower().endswith((".jpg", ".jpeg"))
            if is_jpeg and (fault := jpeg_fault(data)):
                problem = fault
            elif problem and data and data == before:
                return data  # the same bytes twice: the size that the body states is wrong
            if not problem:
                return data
            before = data
        raise PhotoDamaged(f"{problem}, {_READS} times", data)

    def _mended(self, exposure: ExposureRecord, file: CardFile, data: bytes, problem: str) -> None:
        """A photograph that came in pieces was read once more."""
        if problem:
            raise PhotoDamaged(problem)
        entry = self._put(exposure, file.name, "jpeg", data, self._journal.clock_s)
        file.sha256, file.bytes, file.state, file.damaged = entry.sha256, entry.bytes, "spooled", False
        self._reports.append(Spooled(entry))

    # --- deciding

    def _settle(self, *, final: bool = False) -> None:
        """Give what was read to the exposures whose it is."""
        journal = self._journal
        for one in list(self._undecided):  # their exposure may have its first file by now
            if self._accompany(one):
                self._undecided.remove(one)
        photographs = [one for one in self._undecided if one.sighting.kind == "jpeg"]
        if not photographs:
            self._settle_raw(final)
            return
        clock_s = self._known_clock(photographs)
        verdict = assign([one.sighting for one in photographs], journal.waiting(), clock_s, final=final)
        for fire_id, sighting in verdict.own.items():
            one = next(o for o in photographs if o.sighting is sighting)
            exposure = journal.find(fire_id)
            assert exposure is not None
            self._undecided.remove(one)
            self._file(exposure, one)
            if sighting.taken_s is not None and exposure.released_s is not None:
                self._last_own = (sighting.taken_s, exposure.released_s)
        if not self._clock_void and verdict.clock_s is not None:
            journal.clock_s = verdict.clock_s
        for sighting, reason in verdict.strays:
            one = next(o for o in photographs if o.sighting is sighting)
            self._undecided.remove(one)
            self._stray(one, reason)
        if verdict.ambiguous:
            for exposure in journal.live():
                exposure.state = "done"
                self._tell("photo_missing", f"{verdict.strays[0][1]}; they are in the tray and on the card", exposure)
        self._settle_raw(final)

    def _settle_raw(self, final: bool) -> None:
        for one in list(self._undecided):
            if one.sighting.kind == "raw" and (self._accompany(one) or (final or not self._journal.live())):
                self._undecided.remove(one)
                if self._journal.ours(one.sighting.path) is None:
                    self._stray(one, "no photograph has its name")

    def _known_clock(self, photographs: list[_Undecided]) -> float | None:
        """The body's clock, unless it stands still: then capture times mean nothing."""
        if self._clock_void:
            return None
        for one in photographs:
            if self._last_own is None or one.sighting.taken_s != self._last_own[0]:
                continue
            if any(w.released_s and w.released_s - self._last_own[1] > SAME_MOMENT_S for w in self._journal.waiting()):
                log.warning(
                    "%s: its photographs all say the same time; capture times are left out of account", self._name
                )
                self._clock_void, self._journal.clock_s = True, None
                return None
        return self._journal.clock_s

    def _file(self, exposure: ExposureRecord, one: _Undecided) -> None:
        """Into the spool under its exposure."""
        sighting = one.sighting
        clock_s = None if self._clock_void else self._journal.clock_s
        if (
            sighting.kind == "jpeg"
            and clock_s is None
            and not self._clock_void
            and exposure.released_s
            and sighting.taken_s
        ):
            clock_s = sighting.taken_s - exposure.released_s
        kind: FileKind = "raw" if sighting.kind == "raw" else "jpeg"
        if one.problem:
            self._damaged(exposure, one)
            return
        try:
            entry = self._put(exposure, sighting.name, kind, one.data, clock_s)
        except SpoolError as error:
            self._unread.append(unread := _Unread(one.file))
            self._postpone(unread, error)
            return
        exposure.files.append(_card_file(one, "spooled"))
        if kind == "jpeg":
            exposure.stem, exposure.taken_s = sighting.stem, sighting.taken_s
            exposure.state = "done"
        elif not exposure.stem:
            exposure.stem = sighting.stem
        self._journal.saw(sighting.name)
        self._reports.append(Spooled(entry))
        if self._camera.tells_time and read_name(sighting.name).made_up:
            said = f"{exposure.take_id}: its photograph {sighting.path} was in the body's memory, not on its card"
            self._tell("capture_target", f"{said}: a failure before it was fetched loses it", take_id=exposure.take_id)

    def _damaged(self, exposure: ExposureRecord, one: _Undecided) -> None:
        """Its photograph is on the card in pieces: it stays there, is named, and is read again later."""
        file = _card_file(one, "kept")
        file.damaged = True
        exposure.files.append(file)
        exposure.stem, exposure.state = one.sighting.stem, "done"
        self._journal.saw(one.sighting.name)
        self._unread.append(_Unread(one.file, 1, time.monotonic() + _AGAIN_S[0], one.problem, "photo_damaged"))
        self._tell("photo_damaged", f"{file.path} stays on its card: {one.problem}", exposure)

    def _put(self, of: ExposureRecord, name: str, kind: FileKind, data: bytes, clock_s: float | None) -> Entry:
        return self._spool.put(
            fire_id=of.fire_id, take_id=of.take_id, camera=self._name, name=name, data=data, kind=kind,
            body_clock_error_ms=None if clock_s is None else round(clock_s * 1e3),
        )  # fmt: skip

    def _stray(self, one: _Undecided, reason: str, take_id: str = "") -> None:
        """Into the tray, and told; the body's copy stays."""
        sighting = one.sighting
        for waiting in self._journal.exposures:
            if waiting.state == "written_off" and waiting.number is not None and waiting.number == sighting.number:
                waiting.state = "done"  # its number is used
        self._journal.saw(sighting.name)
        if sighting.path not in self._journal.known:
            self._journal.known.append(sighting.path)
        stray = Stray(
            camera=self._name, path=sighting.path, sha256=sighting.sha256, bytes=len(one.data), reason=reason,
            found_at=datetime.now(UTC).isoformat(timespec="seconds"), take_id=take_id,
        )  # fmt: skip
        try:
            kept = f"it is kept in {self._spool.put_stray(stray, one.data)} and on the card"
            self.strays = len(self._spool.strays())
        except SpoolError as error:
            kept = f"it is on the card; the tray cannot take it: {error}"
        self._tell("stray", f"{sighting.path} is filed in no take: {reason}; {kept}", take_id=take_id or None)

    # --- what the studio says of a file

    def stored(self, entry: Entry) -> list[Report]:
        """The studio has stored it: the card's copies may go, at the next quiet moment."""
        found = self._journal.find(entry.fire_id)
        for file in found.files if found is not None else ():
            if file.sha256 == entry.sha256 and file.state == "spooled":
                file.state = "stored"
        exposure_journal.save(self._journal, self._spool.folder, durable=False)
        return []

    def rejected(self, entry: Entry, reason: str) -> list[Report]:
        """The studio has no use for it as it is: once more from the card, where it is still."""
        exposure = self._journal.find(entry.fire_id)
        file = next((f for f in exposure.files if f.sha256 == entry.sha256 and not f.copy), None) if exposure else None
        if exposure is None or file is None or file.state in ("kept", "deleted"):
            return []
        file.state = "kept"
        try:
            data = self._read_whole(BodyFile(file.folder, file.name))
        except EquipmentError as error:
            log.warning("%s: %s was not read again: %s", self._name, file.path, error)
            data = b""
        if data and hashlib.sha256(data).hexdigest() != file.sha256:
            again = self._put(exposure, file.name, entry.kind, data, self._journal.clock_s)
            file.sha256, file.bytes, file.state = again.sha256, again.bytes, "spooled"
            self._reports.append(Spooled(again))
        else:
            text = f"{entry.take_id}: {file.path} stays on the card: the studio rejected it: {reason}"
            self._tell("rejected", text, take_id=entry.take_id)
        self._save()
        return self.take_reports()

    def _tidy(self) -> None:
        """Delete from the card what the studio has stored."""
        acted = False
        for exposure in self._journal.exposures:
            for file in exposure.files:
                if file.state != "stored" or any(one.file.path == file.path for one in self._unread):
                    continue
                if (newer := self._journal.ours(file.path)) is not None and newer[1] is not file:
                    file.state, acted = "deleted", True  # the body has written over it
                    continue
                file.state, acted = self._delete(file), True
        if acted:
            self._save()

    def _delete(self, file: CardFile) -> exposure_journal.FileState:
        try:
            gone = self._camera.delete(BodyFile(file.folder, file.name, file.bytes))
        except FileGone:
            return "deleted"
        except FileKept as error:
            self._tell("not_deleted", f"{file.path} is stored and stays on the card: {error}")
            return "kept"
        return "deleted" if gone else "kept"

    # --- small things

    def _tell(self, code: str, text: str, of: ExposureRecord | None = None, take_id: str | None = None) -> None:
        self._reports.append(
            Trouble(code, text, of.fire_id if of is not None else None, of.take_id if of is not None else take_id)
        )

    @property
    def clock_error_ms(self) -> int | None:
        """The body's clock face, read as UTC, minus UTC, as far as it is known and means anything."""
        clock_s = self._journal.clock_s
        return None if clock_s is None or self._clock_void else round(clock_s * 1e3)

    def take_reports(self) -> list[Report]:
        """What there is to tell, once."""
        reports, self._reports = self._reports, []
        live = [one for one in self._journal.live() if one.state == "waiting"]
        self.unresolved = live[0].take_id if live else ""
        return reports

    def _save(self) -> None:
        exposure_journal.save(self._journal, self._spool.folder)


def code_of(error: EquipmentError) -> str:
    """The short name of what went wrong with a camera or the spool."""
    if isinstance(error, SpoolError):
        return "spool_full" if isinstance(error, SpoolFull) else "spool_fault"
    return error.code if isinstance(error, CameraFault) else "camera_fault"


def _card_file(one: _Undecided, state: exposure_journal.FileState, *, copy: bool = False) -> CardFile:
    sighting = one.sighting
    return CardFile(
        folder=sighting.folder, name=sighting.name, kind=sighting.kind, sha256=sighting.sha256, bytes=len(one.data),
        epoch=sighting.epoch, state=state, copy=copy,
    )  # fmt: skip
