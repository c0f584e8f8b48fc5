"""Gets photographs from a camera into the spool, each under its own exposure; what is no exposure's into the tray.

Everything here runs in the node's worker thread, outside the fire window.  exposure_matching.py decides whose a file
is, the journal remembers, the spool keeps.  A file stays on the card until the studio has stored it.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from camera_nodes.camera import Camera, CameraState, EventPoll
from camera_nodes.errors import CameraFault, CardFull, EquipmentError
from camera_nodes.photo_collection import exposure_journal
from camera_nodes.photo_collection.card_cleanup import CardCleanup
from camera_nodes.photo_collection.collection_state import (
    CollectionEvent,
    CollectionFault,
    CollectionState,
    FileSpooled,
    fault_code,
)
from camera_nodes.photo_collection.exposure_journal import ExposureRecord
from camera_nodes.photo_collection.exposure_matching import SAME_MOMENT_S
from camera_nodes.photo_collection.file_assignment import FileAssignment
from camera_nodes.photo_collection.unread_files import UnreadFiles
from camera_nodes.photo_transfer.spool import Spool
from common.photograph_facts import PhotographFacts

__all__ = ["CollectionEvent", "CollectionFault", "Collector", "FileSpooled", "UnresolvedExposure", "fault_code"]

log = logging.getLogger(__name__)

_DRAIN_S = 10.0  # a body that does not stop telling news within this is not drained further
_NOTHING_S = 0.05  # pause of a camera that answers at once that there is nothing
_DOUBT_S = 2 * SAME_MOMENT_S + 1.0  # an exposure whose release failed is waited for; also to keep two apart by time
_OTHER_S = 5.0  # a file that may be an earlier exposure's is its own take's when no other has come for so long
_SEARCH_S = 30.0  # between searches of the card while a photograph is missing
_GRACE_S = 10.0  # after a restart an exposure that may never have been is waited for this long


class UnresolvedExposure(CameraFault):
    """An earlier exposure has no photograph yet, so whose the next one is could not be told."""

    code = "unresolved"


class Collector:
    """One camera's files.  `stop` tells whether the node is ending: waiting then ends early."""

    def __init__(self, camera: Camera, spool: Spool, name: str, stop: Callable[[], bool] = lambda: False) -> None:
        self._camera = camera
        self._name = name
        self._stop = stop
        self._journal = exposure_journal.load(spool.folder)
        for one in self._journal.live():  # the node ended between arming and fire
            if one.state == "armed" and exposure_journal.certainly_not_fired(spool.folder, one.fire_id):
                self._journal.exposures.remove(one)
        self._collection = CollectionState(camera, spool, name, self._journal)
        self._unread = UnreadFiles(self._collection)
        self._assignment = FileAssignment(self._collection, self._unread)
        self._copies = CardCleanup(self._collection, self._unread)
        self._since = time.monotonic()  # of this connection
        self._came = 0.0  # when a file came last, monotonic
        self._next_search = 0.0  # for what is missing, monotonic
        self.unresolved = ""  # the take of the oldest exposure that has no file yet

    @property
    def strays(self) -> int:
        """Files in the tray."""
        return self._assignment.strays

    @property
    def clock_error_ms(self) -> int | None:
        """The body's clock face, read as UTC, minus UTC, as far as it is known and means anything."""
        clock_s = self._collection.clock_s
        return None if clock_s is None else round(clock_s * 1e3)

    # --- the camera comes

    def connect(self) -> list[CollectionEvent]:
        """The camera was opened: what has it that was not fetched?  Raises CameraFault."""
        self._since, self._collection.clock_void = time.monotonic(), not self._camera.tells_time
        serial = self._camera.info.serial
        journal = self._journal
        if journal.serial and serial and serial != journal.serial:
            self._exchanged(serial)
        journal.serial = serial or journal.serial
        self._read_clock()
        if journal.last_number is None:
            journal.last_number = self._camera.counter
        self._look_round()
        self._copies.offer_again()
        self._drain()
        self._assignment.settle()
        self._collection.save()
        return self.take_reports()

    def _read_clock(self) -> None:
        """What the body says of its clock; a capture time tells more, as long as they agree but for the time zone."""
        reading_s, known_s = self._camera.body_clock_s(), self._journal.clock_s
        if reading_s is not None and (known_s is None or abs((known_s - reading_s + 450) % 900 - 450) > SAME_MOMENT_S):
            self._journal.clock_s, self._journal.clock_proven = reading_s, False

    def _exchanged(self, serial: str) -> None:
        journal = self._journal
        for one in journal.live():
            one.state = "written_off"
            said = (
                f"the body {journal.serial} was exchanged for {serial} before it gave its photograph of {one.take_id}"
            )
            self._collection.tell("written_off", f"{said}; look for it on that body's card", take_id=one.take_id)
        for one in journal.exposures:
            for kept in one.files:
                kept.state = "kept" if kept.state != "deleted" else kept.state
        journal.known, journal.last_number, journal.clock_s, journal.first = [], None, None, True
        journal.clock_proven = False

    def _look_round(self, *, fresh: bool = False) -> None:
        """Search the card: what was not there before, and is no exposure's yet, is as good as announced."""
        journal = self._journal
        found = self._camera.search(fresh=fresh)
        there = {file.path for file in found}
        new = [f for f in found if f.path not in journal.known and not journal.ours(f.path) and not self._waits(f.path)]
        if journal.first:
            journal.first = False
            journal.known = sorted(there)  # perhaps of another body: they tell nothing of this one's counter
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
        for file in new:
            self._unread.add(file)

    def _waits(self, path: str) -> bool:
        return self._unread.holds(path) or self._assignment.holds(path)

    # --- before, during and after an exposure

    def before_arming(self) -> tuple[list[str], list[CollectionEvent]]:
        """Read away what the body has to say, and make sure that no exposure is unresolved.

        Returns warnings, and what to tell.  Raises UnresolvedExposure, or CameraFault.
        """
        self._drain()
        self._assignment.settle()
        warnings = []
        for one in self._journal.live():
            if one.file("jpeg") is None:
                warnings.append(self._resolve(one))
        stuck = self._unread.stuck()
        if stuck is not None and self._journal.live():
            raise UnresolvedExposure(f"{stuck.file.path} is on its card and cannot be read: {stuck.error}")
        return [text for text in warnings if text], self.take_reports()

    def _resolve(self, one: ExposureRecord) -> str:
        """Find its photograph, or write it off where a later file can be told apart.  Raises UnresolvedExposure."""
        since_s = time.time() - (one.released_s or one.armed_s)
        patience_s = self._camera.file_s
        if one.state == "armed":  # the node was killed: it may never have been
            since_s = time.monotonic() - self._since
            patience_s = _GRACE_S if self._times_tell else patience_s
        if one.doubtful:
            self._listen_on(min(_DOUBT_S, patience_s) - since_s)
        elif patience_s - since_s > _DOUBT_S:
            raise UnresolvedExposure(
                f"its exposure of {one.take_id} has given no photograph yet: wait {patience_s - since_s:.0f} s more, or"
                f" write it off:  mien rig write-off {self._name}"
            )
        else:  # the little that is left is waited for here
            self._listen_on(patience_s - since_s)
        self._look_round(fresh=True)
        self._drain()
        self._assignment.settle()
        if one.file("jpeg") is not None:
            return ""
        if one.doubtful or (one.state == "armed" and (self._times_tell or not self._camera.tells_time)):
            # So long after, on a connection made anew, it was not released; if it was, its time will tell it yet.
            one.state, one.number = "written_off", None
            return f"the release that failed or was not written down for {one.take_id} has made no photograph"
        if one.state == "waiting" and not self._times_tell and one.number is None:
            raise UnresolvedExposure(
                f"its exposure of {one.take_id} has given no photograph, and whether the next one is of it could not be"
                f" told: write it off:  mien rig write-off {self._name}"
            )
        return self._write_off(one, "its body has no photograph of it")

    @property
    def _times_tell(self) -> bool:
        """Whether a file that comes later can be told by its capture time."""
        return self._collection.clock_s is not None and self._journal.clock_proven

    def _listen_on(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stop():
            self._turn(min(0.5, max(0.001, end - time.monotonic())))

    def write_off(self, take_id: str, why: str) -> list[CollectionEvent]:
        """Give up an exposure by name: the camera may be armed again."""
        with suppress(EquipmentError):  # what the body has of it is not to be the next one's
            self._look_round()
            self._drain()
            self._assignment.settle()
        for one in self._journal.live():
            if not take_id or one.take_id == take_id:
                self._write_off(one, why or "written off by the operator")
        self._collection.save()
        return self.take_reports()

    def _write_off(self, one: ExposureRecord, why: str) -> str:
        one.state = "written_off"
        text = f"its exposure of {one.take_id} is written off: {why}"
        self._collection.tell("written_off", text, take_id=one.take_id)
        return text

    def arming(self, fire_id: str, take_id: str, *, keeps_raw: bool) -> None:
        """Write the exposure down before it can be made.  Raises SpoolError."""
        self._journal.exposures.append(
            ExposureRecord(
                fire_id=fire_id, take_id=take_id, armed_s=time.time(), number=self._journal.next_number(),
                keeps_raw=keeps_raw,
            )
        )  # fmt: skip
        exposure_journal.note_fire(self._collection.spool.folder, "")
        self._collection.save()

    def firing(self, fire_id: str) -> None:
        """The fire was accepted.  May be called from the loop's thread, ahead of the window."""
        exposure_journal.note_fire(self._collection.spool.folder, fire_id)

    def not_released(self, fire_id: str) -> None:
        """The shutter was surely not released."""
        found = self._journal.find(fire_id)
        if found is not None and found.state == "armed":
            self._journal.exposures.remove(found)
            self._collection.save(durable=False)

    def released(self, fire_id: str, at_s: float, *, doubtful: bool = False) -> None:
        """The shutter was released, or (`doubtful`) may have been; at_s: UTC."""
        found = self._journal.find(fire_id)
        if found is not None:
            found.state, found.released_s, found.doubtful = "waiting", at_s, doubtful
            self._collection.save()

    def collect(self, fire_id: str, patience_s: float | None = None) -> list[CollectionEvent]:
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
                self._assignment.settle(final=True)
        except CameraFault as error:
            problem = str(error)
        if self._camera.state is CameraState.EXPOSED:
            self._camera.finish()
        if one.state == "waiting" and not self._stop():
            self._conclude(one, problem, full=full)
        self._collection.save()
        return self.take_reports()

    def _conclude(self, one: ExposureRecord, problem: str, *, full: bool) -> None:
        """Say why its photograph is not there."""
        stuck = self._unread.stuck()
        if stuck is not None:
            self._collection.tell(
                stuck.code, f"{stuck.file.path} is on its card and is not read yet: {stuck.error}", one
            )
        elif problem:
            self._collection.tell("photo_missing", f"no photograph yet: {problem}", one)
        elif full:
            one.state = "done"
            self._collection.tell("card_full", "its card is full; no photograph was kept", one)
        else:
            said = f"no photograph within {self._camera.file_s:g} s of the release"
            if self._assignment.clock_doubted and not self._journal.clock_proven:
                self._journal.clock_s = None  # the next one tells it
            self._collection.tell("photo_missing", f"{said}; if it comes yet, it is filed in its take", one)

    def _full(self) -> bool:
        try:
            return self._camera.check().photos_left == 0
        except CardFull:
            return True
        except EquipmentError:
            return False

    def idle(self, timeout_s: float = 0.1) -> list[CollectionEvent]:
        """Between takes: hear the body, read what could not be read, delete what the studio has stored.

        Raises CameraMissing or another CameraFault that lasts.
        """
        self._turn(timeout_s)
        waits_s = self._assignment.undecided_s
        if waits_s is not None:
            certain = any(not one.doubtful for one in self._journal.live())
            self._assignment.settle(final=not certain or waits_s > self._camera.file_s)
        self._copies.tidy()
        self._miss_raw_files()
        self._search_for_missing()
        return self.take_reports()

    def _search_for_missing(self) -> None:
        """What has not come may be on the card, its announcement lost."""
        if self._journal.live() and time.monotonic() >= self._next_search:
            self._look_round()
            self._next_search = time.monotonic() + _SEARCH_S

    def _miss_raw_files(self) -> None:
        """Raw files that the body said it keeps, and that have not come."""
        for one in self._journal.exposures:
            late = time.time() - (one.released_s or one.armed_s) > self._camera.file_s
            if late and one.file("jpeg") is not None and not one.complete:
                self._look_round()
                if self._unread.fresh:
                    return
                one.keeps_raw = False  # told once; if it comes yet, it is filed
                said = f"{one.take_id}: its raw file has not come within {self._camera.file_s:g} s of the release"
                self._collection.tell("raw_missing", said, take_id=one.take_id)

    # --- hearing and reading

    def _turn(self, timeout_s: float) -> None:
        heard = self._camera.listen(timeout_s)
        self._hear(heard)
        came = self._unread.read_due(self._assignment.look_at)
        if came:
            self._drain()
            self._assignment.settle()
            self._came = time.monotonic()
        elif self._assignment.undecided_s is not None and time.monotonic() - self._came > _OTHER_S:
            self._assignment.settle(patient=True)
        elif not heard.files and timeout_s > 0.2:
            time.sleep(_NOTHING_S if heard.quiet else 0)

    def _hear(self, heard: EventPoll) -> None:
        for file in heard.files:
            self._unread.add(file)
        if heard.interrupted:
            self._look_round()

    def _drain(self, limit_s: float = _DRAIN_S) -> None:
        """Until the body has nothing more to say; what it announces is read."""
        end = time.monotonic() + limit_s
        while True:
            heard = self._camera.listen(self._camera.quiet_s)
            self._hear(heard)
            self._unread.read_due(self._assignment.look_at)
            if (heard.quiet and not heard.files) or time.monotonic() > end or self._stop():
                return

    def stored(self, entry: PhotographFacts) -> list[CollectionEvent]:
        """The studio has stored it: the card's copies may go, at the next quiet moment."""
        self._copies.stored(entry)
        return self.take_reports()

    def rejected(self, entry: PhotographFacts, reason: str) -> list[CollectionEvent]:
        """The studio has no use for it as it is: once more from the card, where it is still."""
        self._copies.rejected(entry, reason)
        return self.take_reports()

    def take_reports(self) -> list[CollectionEvent]:
        """What there is to tell, once."""
        reports, self._collection.reports = self._collection.reports, []
        live = [one for one in self._journal.live() if one.state == "waiting"]
        self.unresolved = live[0].take_id if live else ""
        return reports
