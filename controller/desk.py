"""Where news of takes meet: stamps and faults from the control link, photographs from ingest, rows for the records."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from camera_nodes import wire
from controller.errors import FrameRejected
from controller.filing import Arrival
from controller.lag_shots import is_lag_shot
from controller.photo import Photo
from controller.records import Records
from controller.tally import Tally
from db.absences import LateArrival
from db.errors import RecordError

log = logging.getLogger(__name__)

REMEMBERED = 200


class Desk:
    """Listener of the control link and Book of ingest. Late news about an older take still find their tally."""

    def __init__(
        self,
        records: Records,
        filed: Callable[[str, str, str], None] = lambda *_: None,
        late: Callable[[LateArrival], object] = lambda _: None,
    ) -> None:
        """filed: told the take, camera and hash of each photograph that has its row. late: of those that came late."""
        self._records = records
        self._filed = filed
        self._late = late
        self._tallies: OrderedDict[str, Tally] = OrderedDict()
        self._lock = threading.Lock()
        self.stopped = False

    def open(self, tally: Tally) -> None:
        with self._lock:
            self._tallies[tally.take] = tally
            while len(self._tallies) > REMEMBERED:
                self._tallies.popitem(last=False)

    def tally(self, take: str) -> Tally | None:
        with self._lock:
            return self._tallies.get(take)

    def stop_waiting(self) -> None:
        """The controller ends: whoever waits for a take goes home, and the take stays as it is in the records."""
        with self._lock:
            self.stopped = True
            tallies = list(self._tallies.values())
        for tally in tallies:
            tally.stop_waiting()

    # --- from the control link: must return at once ---

    def stamps(self, message: wire.Stamps) -> None:
        tally = self.tally(message.take_id)
        if tally is not None:
            tally.add_stamps(message)

    def spooled(self, message: wire.FrameSpooled) -> None:
        tally = self.tally(message.take_id)
        if tally is not None and message.kind == "jpeg":
            tally.add_spooled(message.camera)

    def node_fault(self, message: wire.NodeFault) -> None:
        tally = self.tally(message.take_id) if message.take_id else None
        if tally is not None and message.fire_id:
            tally.add_fault(message.camera, f"{message.text} ({message.code})")

    # --- from ingest ---

    def judge(self, offer: wire.Offer) -> Literal["want", "stored"]:
        if is_lag_shot(offer.take_id):
            return "stored"  # it has told its lag; nobody wants the photograph
        filed = self._records.filed(offer.take_id, offer.camera, offer.kind)
        if filed is None:
            tally = self.tally(offer.take_id)
            aside = (
                self._records.was_aside(offer.take_id, offer.camera) if tally is None else offer.camera in tally.aside
            )
            if aside:
                raise FrameRejected(f"{offer.camera} was aside when {offer.take_id} was fired: it is not of this take")
            return "want"
        if filed != offer.sha256:
            what = "raw file" if offer.kind == "raw" else "photograph"
            raise FrameRejected(f"{offer.camera} has another {what} in {offer.take_id} already")
        return "stored"

    def commit(self, arrival: Arrival) -> None:
        tally = self.tally(arrival.take_id)
        late = self._records.add_file(arrival, tally.stamps_of(arrival.camera) if tally else None)
        if tally is not None and isinstance(arrival.content, Photo):
            expected, found = self._records.serial(arrival.camera), arrival.content.exif.serial
            if expected and found and expected != found:
                tally.add_note(
                    arrival.camera, f"its photograph was made by the body {found}; rig.toml has {expected} here"
                )
            if late is None:
                self._filed(arrival.take_id, arrival.camera, arrival.sha256)
            tally.add_frame(arrival.camera, arrival.content)
        if late is not None:
            self._late(late)

    def rejected(self, offer: wire.Offer, reason: str) -> None:
        with suppress(RecordError):  # the log has it, and the node keeps the file
            self._records.note_rejection(offer, reason)
        tally = self.tally(offer.take_id)
        if tally is None:
            return
        if offer.kind == "raw":
            tally.add_note(offer.camera, f"its raw file was rejected: {reason}")
        elif offer.camera not in tally.frames:
            tally.add_fault(offer.camera, f"its photograph was rejected: {reason}")
