"""The watch over one studio: its judgement as often as it is asked for, and since when each fault lasts.

The records are read again when this studio has written them, and once a second, as other processes write them too.
"""

import threading
import time
import weakref
from datetime import datetime

from controller.readiness.fault import Readiness, since_when
from controller.readiness.judgement import judge
from controller.readiness.look import RecordsView, look_at, read_records
from controller.studio import Studio
from db.engine import utc_now

TOPICS = ("records", "take")  # of the bell, after which the records may be others
BELIEVED_S = 1.0  # the records, as others may write them


class ReadinessWatch:
    """Thread-safe."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._records: RecordsView | None = None
        self._read_at = 0.0
        self._seen = -1
        self._since: dict[str, datetime] = {}
        self._broken: tuple[object, tuple[str, ...]] = (None, ())

    def look(self, records: RecordsView | None = None, countdown: int | None = None) -> Readiness:
        """The judgement now. countdown: seconds until a fire, when one is near.

        records: see look.records_view; without them they are read here, which raises RecordError while they cannot be.
        """
        with self._lock:
            records = records if records is not None else self._read()
            found = judge(look_at(self._studio, records, self._rules_broken(records), countdown))
            found = since_when(found, self._since, utc_now())
            self._since = {fault.id: fault.since for fault in found.faults if fault.since is not None}
            return found

    def _read(self) -> RecordsView:
        bell, now = self._studio.bell, time.monotonic()
        if bell.quiet and self._records is not None:
            return self._records  # a fire is near: nothing else is asked of the database
        if self._records is None or now - self._read_at > BELIEVED_S or bell.any_since(TOPICS, self._seen):
            self._seen = bell.count
            self._records = read_records(self._studio)
            self._read_at = now
        return self._records

    def _rules_broken(self, records: RecordsView) -> tuple[str, ...]:
        """Which cameras are neighbours is in the calibration, which is large: it is read when something is another."""
        aside = tuple(self._studio.cameras_aside())
        asked = aside, records.calibration[0]
        if self._broken[0] != asked:
            self._broken = asked, tuple(self._studio.asides.broken(aside))
        return self._broken[1]


_watches: "weakref.WeakKeyDictionary[Studio, ReadinessWatch]" = weakref.WeakKeyDictionary()
_making = threading.Lock()


def watch_of(studio: Studio) -> ReadinessWatch:
    """The one watch over this studio, so that everybody is told the same of it."""
    with _making:
        found = _watches.get(studio)
        if found is None:
            found = _watches[studio] = ReadinessWatch(studio)
        return found
