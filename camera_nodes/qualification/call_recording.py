"""What libgphoto2 was asked and what it answered, noted between the camera layer and the library.

The camera layer tries again what fails for a moment, and hears events that it has no use for; how a body really answers
shows only here.  `recording` puts a note-taker into the place where gphoto2 is imported, for as long as it is entered.
"""

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from camera_nodes import gphoto_camera

_KINDS = 100  # so many different events are told apart
_EVENTS = ("GP_EVENT_UNKNOWN", "GP_EVENT_TIMEOUT", "GP_EVENT_FILE_ADDED", "GP_EVENT_FOLDER_ADDED",
           "GP_EVENT_CAPTURE_COMPLETE", "GP_EVENT_FILE_CHANGED")  # fmt: skip


@dataclass
class CallRecord:
    """Notes of all calls to the library.  Times in seconds."""

    gp: Any = None  # the library
    camera: Any = None  # its camera object of the newest connection
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # how long calls took, by call
    errors: Counter[tuple[str, int]] = field(default_factory=Counter)  # how often, by call and code
    example: dict[tuple[str, int], str] = field(default_factory=dict)  # the newest text of each
    events: Counter[str] = field(default_factory=Counter)  # how often, by kind
    added: list[str] = field(default_factory=list)  # paths announced, in order
    # how much longer each poll for events lasted than the time it was given
    polls_over: list[float] = field(default_factory=list)
    dry_polls: int = 0  # polls that found no event
    busy_answers: int = 0  # calls that were answered "busy"
    busy_longest_s: float = 0.0  # the longest that it stayed busy
    _busy_since: dict[str, float] = field(default_factory=dict)  # by call

    def heard(self) -> int:
        """How many events there were, other than "nothing happened"."""
        return self.events.total()

    def failed(self, name: str, code: int, text: str, began: float) -> None:
        """A call raised."""
        self.errors[name, code] += 1
        self.example[name, code] = text
        if code == getattr(self.gp, "GP_ERROR_CAMERA_BUSY", None):
            self.busy_answers += 1
            self._busy_since.setdefault(name, began)

    def succeeded(self, name: str, began: float) -> None:
        """A call came back."""
        now = time.monotonic()
        self.seconds[name].append(now - began)
        since = self._busy_since.pop(name, None)
        if since is not None:
            self.busy_longest_s = max(self.busy_longest_s, now - since)

    def event(self, kind: int, data: Any, given_ms: int, took_s: float) -> None:
        """A poll for events came back with one, or with nothing."""
        name = next((name for name in _EVENTS if getattr(self.gp, name, None) == kind), str(kind))
        name = name.removeprefix("GP_EVENT_").lower()
        self.polls_over.append(max(0.0, took_s - given_ms / 1e3))
        if name == "timeout":
            self.dry_polls += 1
            return
        if name == "file_added":
            self.added.append(f"{str(data.folder).rstrip('/')}/{data.name}")
        if name == "unknown" and isinstance(data, str):
            name = data[:60]
        self.events[name if name in self.events or len(self.events) < _KINDS else "others"] += 1


class _Camera:
    """The library's camera object, noted."""

    def __init__(self, record: CallRecord) -> None:
        self._record = record
        self._camera = record.gp.Camera()
        record.camera = self._camera

    def __getattr__(self, name: str) -> Any:
        there = getattr(self._camera, name)
        record = self._record

        def call(*arguments: Any) -> Any:
            began = time.monotonic()
            try:
                found = there(*arguments)
            except record.gp.GPhoto2Error as error:
                record.failed(name, int(error.code), str(error), began)
                raise
            record.succeeded(name, began)
            if name == "wait_for_event":
                record.event(found[0], found[1], int(arguments[0]), time.monotonic() - began)
            return found

        return call


class _Gphoto2:
    """The gphoto2 module, whose cameras are noted."""

    def __init__(self, record: CallRecord) -> None:
        self._record = record

    def Camera(self) -> _Camera:
        return _Camera(self._record)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record.gp, name)


@contextlib.contextmanager
def recording() -> Iterator[CallRecord]:
    """Cameras opened in here are noted in the record that this gives."""
    record = CallRecord()
    real = gphoto_camera._import_gphoto2

    def import_noted(photos: str | None, url: str) -> Any:
        record.gp = real(photos, url)
        return _Gphoto2(record)

    gphoto_camera._import_gphoto2 = import_noted
    try:
        yield record
    finally:
        gphoto_camera._import_gphoto2 = real
