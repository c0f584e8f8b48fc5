"""Events of takes: stamps and faults from the control link, photographs from ingest, rows for the records."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

from camera_nodes import wire
from common.take_codes import SessionCode, TakeCode
from controller.errors import FrameRejected
from controller.image_files.exif_consistency import (
    UNSTAMPED,
    FileNumberCounter,
    StampedExposure,
    capture_time_mismatch,
    file_number,
)
from controller.image_files.photograph_reader import PhotographHeader
from controller.ingest.file_commit import ReceivedPhotograph
from controller.rig_shots.shot_names import is_rig_shot
from controller.sessions.session_store import SessionStore
from controller.shutter_lag.lag_measurement import is_lag_shot
from controller.takes.take_progress import TakeProgress
from db.errors import RecordError
from db.takes.missing_photographs import LateArrival

log = logging.getLogger(__name__)

REMEMBERED = 200
_JOURNALLED_BEFORE = timedelta(seconds=40)  # a fire comes soon after the journal's entry; more is another clock


class NodeEventListener(Protocol):
    """Listener of what nodes say outside a fire. Called in the control thread: return at once."""

    def fault(self, message: wire.NodeFault) -> None: ...

    def recover_step(self, message: wire.RecoverStep) -> None: ...

    def view_state(self, message: wire.ViewState) -> None: ...

    def body_acted(self, message: wire.BodyActed) -> None: ...


class ShotReceiver(Protocol):
    """Receiver of photographs that belong to no take (controller.rig_shots)."""

    def judge(self, offer: wire.Offer) -> Literal["want", "stored"]: ...

    def keep(self, take_id: str, camera: str, path: Path, sha256: str) -> None: ...

    def fault(self, take_id: str, camera: str, text: str) -> None: ...


class TakeEvents:
    """ControlListener of the control link and CommitLog of ingest; late events find the progress of an older take."""

    def __init__(
        self,
        records: SessionStore,
        filed: Callable[[str, str, str], None] = lambda *_: None,
        late: Callable[[LateArrival], object] = lambda _: None,
        listener: NodeEventListener | None = None,
        shots: ShotReceiver | None = None,
    ) -> None:
        """filed: told the take, camera and hash of each photograph that has its row. late: of those that came late."""
        self._records = records
        self._listener = listener
        self._shots = shots
        self._filed = filed
        self._late = late
        self._takes: OrderedDict[str, TakeProgress] = OrderedDict()
        self._fired: OrderedDict[str, datetime] = OrderedDict()  # when, by take, as journalled
        self._counters: dict[tuple[SessionCode, str], FileNumberCounter] = {}  # by session and camera
        self._lock = threading.Lock()
        self.stopped = False

    def open(self, progress: TakeProgress) -> None:
        with self._lock:
            self._takes[progress.take] = progress
            while len(self._takes) > REMEMBERED:
                self._takes.popitem(last=False)

    def progress_of(self, take: str) -> TakeProgress | None:
        with self._lock:
            return self._takes.get(take)

    def stop_waiting(self) -> None:
        """The controller ends: whoever waits for a take goes home, and the take stays as it is in the records."""
        with self._lock:
            self.stopped = True
            under_way = list(self._takes.values())
        for progress in under_way:
            progress.stop_waiting()

    # --- from the control link: must return at once ---

    def stamps(self, message: wire.Stamps) -> None:
        progress = self.progress_of(message.take_id)
        if progress is not None:
            progress.add_stamps(message)

    def spooled(self, message: wire.FrameSpooled) -> None:
        progress = self.progress_of(message.take_id)
        if progress is not None and message.kind == "jpeg":
            progress.add_spooled(message.camera)

    def node_fault(self, message: wire.NodeFault) -> None:
        progress = self.progress_of(message.take_id) if message.take_id else None
        if progress is not None and message.fire_id:
            progress.add_fault(message.camera, f"{message.text} ({message.code})")
        elif self._shots is not None and message.take_id and is_rig_shot(message.take_id):
            self._shots.fault(message.take_id, message.camera, f"{message.text} ({message.code})")
        elif self._listener is not None and not message.fire_id:
            self._listener.fault(message)

    def recover_step(self, message: wire.RecoverStep) -> None:
        if self._listener is not None:
            self._listener.recover_step(message)

    def view_state(self, message: wire.ViewState) -> None:
        if self._listener is not None:
            self._listener.view_state(message)

    def body_acted(self, message: wire.BodyActed) -> None:
        if self._listener is not None:
            self._listener.body_acted(message)

    # --- from ingest ---

    def judge(self, offer: wire.Offer) -> Literal["want", "stored"]:
        progress = self.progress_of(offer.take_id)
        waited_for = set(progress.cameras) - progress.frames if progress is not None else set()
        if offer.kind == "jpeg" and offer.camera in waited_for and offer.take_id in self._fired:
            return "want"  # a TakeProgress knows of all that is filed of its take: no need to ask the records
        if is_rig_shot(offer.take_id):
            return self._shots.judge(offer) if self._shots is not None else "stored"
        if is_lag_shot(offer.take_id):
            return "stored"  # it has told its lag; nobody wants the photograph
        filed = self._records.filed(offer.take_id, offer.camera, offer.kind)
        if filed is None:
            progress = self.progress_of(offer.take_id)
            aside = (
                self._records.was_aside(offer.take_id, offer.camera)
                if progress is None
                else offer.camera in progress.aside
            )
            if aside:
                raise FrameRejected(f"{offer.camera} was aside when {offer.take_id} was fired: it is not of this take")
            self._fired_at(offer.take_id)
            return "want"
        if filed != offer.sha256:
            what = "raw file" if offer.kind == "raw" else "photograph"
            raise FrameRejected(f"{offer.camera} has another {what} in {offer.take_id} already")
        return "stored"

    def put_elsewhere(self, arrival: ReceivedPhotograph, path: Path) -> bool:
        """Rig shots hold no participant and never go into the store."""
        if self._shots is None or not is_rig_shot(arrival.take_id):
            return False
        self._shots.keep(arrival.take_id, arrival.camera, path, arrival.sha256)
        return True

    def prove(self, arrival: ReceivedPhotograph) -> None:
        """A photograph that was taken at another time than its take is not its take's."""
        if not isinstance(arrival.content, PhotographHeader) or arrival.body_clock_error_ms is None:
            return
        exposed = self._exposed(arrival)
        if exposed is not None and (
            reason := capture_time_mismatch(arrival.content.exif, exposed, arrival.body_clock_error_ms)
        ):
            raise FrameRejected(reason)

    def _exposed(self, arrival: ReceivedPhotograph) -> StampedExposure | None:
        """When the exposure was, by its stamps; without them, or with those of another run's clock, by the journal."""
        fired = self._fired_at(arrival.take_id)
        if fired is None:
            return None
        progress = self.progress_of(arrival.take_id)
        stamps = progress.stamps_of(arrival.camera) if progress is not None else None
        if stamps is not None:
            ago = timedelta(microseconds=(time.monotonic_ns() - stamps.commanded_at_ns) / 1000)
            at, slack = datetime.now(UTC) - ago, timedelta(microseconds=stamps.clock_uncertainty_ns / 1000)
            if abs(at - fired) <= _JOURNALLED_BEFORE and slack <= _JOURNALLED_BEFORE:
                return StampedExposure(at, slack)
        return StampedExposure(fired, UNSTAMPED)

    def _fired_at(self, take: str) -> datetime | None:
        fired = self._fired.get(take) or self._records.fired_at(take)
        if fired is not None:
            with self._lock:
                self._fired[take] = fired
                while len(self._fired) > REMEMBERED:
                    self._fired.popitem(last=False)
        return fired

    def _count(self, arrival: ReceivedPhotograph) -> str:
        """What is odd about the number in the file's name."""
        number = file_number(arrival.name)
        if number is None:
            return ""
        key = TakeCode.parse(arrival.take_id).session, arrival.camera
        with self._lock:
            known = self._counters.get(key)
            self._counters[key], odd = known.follow(number) if known is not None else (FileNumberCounter(number), "")
        return odd

    def commit(self, arrival: ReceivedPhotograph) -> None:
        progress = self.progress_of(arrival.take_id)
        late = self._records.add_file(arrival, progress.stamps_of(arrival.camera) if progress else None)
        if progress is not None and isinstance(arrival.content, PhotographHeader):
            expected, found = self._records.serial(arrival.camera), arrival.content.exif.serial
            if expected and found and expected != found:
                progress.add_note(
                    arrival.camera, f"its photograph was made by the body {found}; rig.toml has {expected} here"
                )
            if odd := self._count(arrival):
                progress.add_note(arrival.camera, odd)
            if late is None:
                self._filed(arrival.take_id, arrival.camera, arrival.sha256)
            progress.add_frame(arrival.camera, arrival.content, arrival.sha256)
        if late is not None:
            self._late(late)

    def rejected(self, offer: wire.Offer, reason: str) -> None:
        if is_rig_shot(offer.take_id):
            if self._shots is not None:
                self._shots.fault(offer.take_id, offer.camera, f"its photograph was rejected: {reason}")
            return
        with suppress(RecordError):  # the log has it, and the node keeps the file
            self._records.note_rejection(offer, reason)
        progress = self.progress_of(offer.take_id)
        if progress is None:
            return
        if offer.kind == "raw":
            progress.add_note(offer.camera, f"its raw file was rejected: {reason}")
        elif offer.camera not in progress.frames:
            progress.add_fault(offer.camera, f"its photograph was rejected: {reason}")
