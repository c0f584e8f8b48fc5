"""Faults that nodes report outside a fire: shown to the operator, and kept in the audit log; bounded in number."""

import re
import threading
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Engine

from camera_nodes import wire
from common.guarding.safe_text import plain
from controller.background_writer import BackgroundWriter
from db.engine import reading, utc_now
from db.rigs.camera_events import events_of, record_event

REMEMBERED = 20  # kinds of trouble of one camera
RECORDED = 50  # entries of one camera in the audit log, an hour
SHOWN_FOR = timedelta(hours=12)
NAMES_FILES = {"stray", "unresolved", "written_off", "not_deleted", "photo_damaged", "raw_missing", "rejected"}


@dataclass(frozen=True)
class CameraFault:
    """One kind of trouble of one camera, as its node told it last."""

    camera: str  # its name
    code: str  # as in wire.NodeFault
    text: str  # the node's words, made fit for display
    take: str  # the take that it is about; "" for none
    first_at: datetime  # UTC
    last_at: datetime  # UTC
    count: int = 1  # how often it was told since first_at

    def line(self) -> str:
        """For the operator; times are UTC, as everywhere."""
        often = f" ({self.count} times since {self.first_at:%H:%M})" if self.count > 1 else ""
        return f"{self.last_at:%H:%M} UTC  {self.code}: {self.text}{often}"


class CameraFaultLog:
    """The newest faults by camera. add() returns at once; any thread may call anything."""

    def __init__(self, engine: Engine, rig: str, writer: BackgroundWriter) -> None:
        self._engine = engine
        self._rig = rig
        self._writer = writer
        self._lock = threading.Lock()
        self._faults: dict[str, OrderedDict[tuple[str, str], CameraFault]] = defaultdict(OrderedDict)
        self._recorded: dict[str, deque[datetime]] = defaultdict(lambda: deque(maxlen=RECORDED))

    def recall(self) -> None:
        """What an earlier studio was told lately."""
        with reading(self._engine) as tx:
            events = events_of(tx, self._rig, "camera.fault", utc_now() - SHOWN_FOR)
        for event in events:
            code, text = str(event.detail.get("code", "")), str(event.detail.get("text", ""))
            self._note(CameraFault(event.camera, code, text, str(event.detail.get("take") or ""), event.at, event.at))

    def add(self, message: wire.NodeFault) -> None:
        """A NodeFault without a fire. A kind of trouble goes into the audit log when it is new, or was long ago."""
        now = utc_now()
        fault = CameraFault(message.camera, message.code, plain(message.text), message.take_id or "", now, now)
        if not self._note(fault):
            return
        with self._lock:
            lately = self._recorded[message.camera]
            if len(lately) == RECORDED and now - lately[0] < timedelta(hours=1):
                return
            lately.append(now)
        detail = {"code": fault.code, "text": fault.text[:300], "take": fault.take or None}
        self._writer.write(lambda tx: record_event(tx, self._rig, fault.camera, "camera.fault", detail))

    def _note(self, fault: CameraFault) -> bool:
        """Remember it; whether it is news."""
        words = fault.text if fault.code in NAMES_FILES else re.sub(r"[\d.]+", "#", fault.text)
        with self._lock:
            known = self._faults[fault.camera]
            old = known.pop((fault.code, words), None)
            again = old is not None and fault.last_at - old.last_at < timedelta(hours=1)
            if again and old is not None:
                fault = replace(fault, first_at=old.first_at, count=old.count + 1)
            known[fault.code, words] = fault
            while len(known) > REMEMBERED:
                known.popitem(last=False)
        return not again

    def faults(self, camera: str, most: int = REMEMBERED, within: timedelta = SHOWN_FOR) -> list[CameraFault]:
        """The camera's newest kinds of trouble, the last told first."""
        oldest = utc_now() - within
        with self._lock:
            found = [fault for fault in self._faults.get(camera, {}).values() if fault.last_at >= oldest]
        return found[::-1][:most]
